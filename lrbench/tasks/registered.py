"""The registered tasks."""

from lrbench.tasks.optimizers import SGD
from lrbench.tasks.registry import register_task
from lrbench.tasks.settings import Choice, TaskSettings


@register_task("mnist1d-mlp")
def mnist1d_mlp() -> TaskSettings:
    """MNIST-1D with a multilayer perceptron: the quickstart's task, under half a second a run, no download."""
    return TaskSettings(
        name="mnist1d-mlp",
        dataset=Choice("mnist1d"),
        model=Choice("mlp", {"hidden": (100, 100)}),
        optimizer=SGD(momentum=0.9),
        batch_size=64,
        steps=2000,
    )
