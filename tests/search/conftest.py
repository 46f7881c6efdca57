from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from lrbench.search.bench import Bench
from lrbench.study.store import open_store
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


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with open_store(tmp_path / "runs.db") as store:
        yield Bench(store, {"device": "cpu", "workers": 1, "engine": "serial"})
