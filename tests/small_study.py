import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import torch
from torch import nn

from lrbench.policy import parse
from lrbench.store import Store, open_store
from lrbench.study.study import Study, StudyPolicy
from lrbench.tasks import SGD, Data, Task


def vectors(samples: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Three classes in eight dimensions, told apart by which entry of a noisy vector is largest."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (samples,), generator=generator)
    inputs = torch.randn(samples, 8, generator=generator)
    inputs[torch.arange(samples), 2 * labels] += 2
    return inputs, labels


@pytest.fixture(scope="session")
def task() -> Task:
    return Task(
        name="thirds",
        model=lambda: nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 3)),
        data=Data.from_arrays(vectors(150, 1), vectors(40, 2)),
        optimizer=SGD(momentum=0.9),
        batch_size=16,
        steps=40,
        eval_every=5,
    )


@pytest.fixture
def study(task: Task) -> Callable[..., Study]:
    """A study of a few policies by their texts, of one small task and two seeds."""

    def make(*texts: str, **changes: Any) -> Study:
        policies = tuple(StudyPolicy(text, parse(text)) for text in texts)
        asked: dict[str, Any] = {"name": "small", "tasks": (task,), "policies": policies, "seeds": (0, 1), **changes}
        return Study(**asked)

    return make


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where a store can be made: a file, or a schema of a server."""
    monkeypatch.chdir(tmp_path)
    if request.param == "sqlite":
        return str(tmp_path / "runs.db")
    return request.getfixturevalue("server").url(f"s{uuid4().hex}")


@pytest.fixture
def sql(location: str) -> Callable[[str], None]:
    """Statements that reach a store behind its back."""

    def execute(statements: str) -> None:
        if location.startswith("postgresql:"):
            with psycopg.connect(location) as connection:
                connection.execute(statements)
        else:
            with closing(sqlite3.connect(location)) as connection:
                connection.executescript(statements)

    return execute


@pytest.fixture
def store(location: str) -> Iterator[Store]:
    with open_store(location) as store:
        yield store
