import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Tests run side by side; more threads than cores would make each of them slower."""
    torch.set_num_threads(1)
