"""The registries that tests register into, and forget what they registered."""

from typing import Any

import pytest

from lrbench.metrics import METRICS
from lrbench.modifiers.registry import MODIFIERS
from lrbench.policy.function import FUNCTIONS
from lrbench.registry import Registry
from lrbench.report.plot import PLOTS
from lrbench.tasks.augment import AUGMENTATIONS
from lrbench.tasks.mixtures import MIXTURES
from lrbench.tasks.optimizers import OPTIMIZERS
from lrbench.tasks.registry import datasets, models, tasks

REGISTRIES: tuple[Registry[Any], ...] = (
    FUNCTIONS,
    METRICS,
    MODIFIERS,
    PLOTS,
    OPTIMIZERS,
    AUGMENTATIONS,
    MIXTURES,
    datasets,
    models,
    tasks,
)


def forget_registrations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget at the end of a test what it registers."""
    for registry in REGISTRIES:
        monkeypatch.setattr(registry, "_entries", dict(registry._loaded()))
