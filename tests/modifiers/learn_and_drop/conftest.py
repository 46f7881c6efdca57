from tests.engine.conftest import cnn_task, mlp_task

__all__ = ["cnn_task", "mlp_task"]
