from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from lrbench.policy_search import Between, Search, Space, function_names
from lrbench.store import open_store
from lrbench.tasks import SGD, Data, Task
from lrbench.training.trainer import Trainer
from tests.small_study import vectors

LR = Between(0.003, 1.0, log=True)
SERIAL: dict[str, Any] = {"device": "cpu", "workers": 1, "engine": "serial"}


@pytest.fixture(scope="session")
def task() -> Task:
    """A network that is trained in some milliseconds and that constant rates above 1 or so break."""
    return Task(
        name="thirds",
        model=lambda: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)),
        data=Data.from_arrays(vectors(300, 1), vectors(60, 2)),
        optimizer=SGD(momentum=0.9),
        batch_size=16,
        steps=40,
        eval_every=10,
    )


@pytest.fixture(scope="session")
def make(task: Task) -> Callable[..., Search]:
    """A small search of a small task, with changes."""

    def search(**changes: Any) -> Search:
        space = Space(function_names(["FIX", "POLY", "STEP", "TRI"]), LR)
        usual = {"policies": 12, "batch": 4, "rungs": 2, "reduction": 2, "confirm": 2}
        asked: dict[str, Any] = {"name": "hunt", "task": task, "space": space, **usual, **changes}
        return Search(**asked)

    return search


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator[Trainer]:
    with open_store(tmp_path / "runs.db") as store:
        yield Trainer(store, **SERIAL)


@pytest.fixture(scope="module")
def lasting_trainer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainer]:
    """A bench that keeps what the tests of a module have trained."""
    with open_store(tmp_path_factory.mktemp("lasting") / "runs.db") as store:
        yield Trainer(store, **SERIAL)
