"""From predictions to numbers."""

import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lrbench
from lrbench.engine import Predictions, advance, begin
from lrbench.tasks import Data, Metric, Task
from lrbench.training.measure import final, objective


def bootstrapped(outputs: Tensor, targets: Tensor) -> float:
    """A mean over samples that are drawn from every global generator."""
    rows = [*torch.randint(len(outputs), (5,)), *np.random.randint(len(outputs), size=5)]  # noqa: NPY002
    return float(outputs[[int(row) for row in rows]].mean()) + random.random()


def generators() -> tuple[object, ...]:
    """What the global generators of PyTorch, NumPy and Python would draw from next."""
    numpy = np.random.get_state(legacy=False)["state"]["key"].tolist()  # noqa: NPY002
    return torch.get_rng_state().tolist(), numpy, random.getstate()


def test_a_metric_that_draws_gives_one_number_and_leaves_the_callers_generators() -> None:
    inputs, targets = torch.randn(40, 4), torch.randn(40, 1)
    data = Data.from_arrays((inputs, targets), (inputs, targets))
    metric = Metric("bootstrapped", bootstrapped, 0.0)
    task = Task(
        name="drawn",
        batch_size=8,
        model=lambda: nn.Linear(4, 1),
        data=data,
        steps=5,
        loss=nn.functional.mse_loss,
        metric=metric,
    )
    predictions = Predictions(torch.randn(40, 1), targets, 0.0)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    before = generators()
    first = objective(task, predictions)
    assert generators() == before
    random.seed(1)
    assert objective(task, predictions) == first


LANGUAGE = {"kind": "grammar", "symbols": 4, "rules": 2, "depth": 3, "train": 400, "validation": 100, "test": 100}
TINY = {"base": "grammar-gpt", "model": {"layers": 1, "heads": 2, "width": 16}, "dataset": LANGUAGE, "steps": 20}


def test_a_run_on_a_language_is_measured_from_its_entropy() -> None:
    task = lrbench.load_task(TINY)
    assert task.data.language is not None

    _, seen = advance(task, begin(task, 0), np.full(20, 0.01))
    found, loss = final(task, seen[-1]), seen[-1].val.loss

    assert found["perplexity"] == pytest.approx(math.exp(loss))
    assert found["floor"] == pytest.approx((math.log(4) + 7 * math.log(2)) / 8)
    assert found["above_floor"] == pytest.approx(loss - found["floor"])
    assert 0 < found["above_floor"] < task.chance - found["floor"]
    assert found["tokens"] == 20 * 32 * 8
    assert "bits_per_byte" not in found


def test_bits_per_byte_are_those_of_the_text_whatever_its_tokens(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("äöüß " * 900)
    dataset = {"kind": "text", "path": str(tmp_path / "text"), "context": 16}

    def bits(tokens: str) -> float:
        task = lrbench.load_task({**TINY, "dataset": {**dataset, "tokens": tokens}})
        _, seen = advance(task, begin(task, 0), np.full(20, 0.0))
        return float(final(task, seen[-1])["bits_per_byte"])

    # Untrained, every token is as probable: 8 bits for a byte, and log2(5) bits for 9/5 bytes.
    assert bits("bytes") == pytest.approx(8, abs=0.05)
    assert bits("characters") == pytest.approx(math.log2(5) / (9 / 5), abs=0.05)


def test_a_language_model_whose_losses_stay_over_twice_the_first_has_diverged() -> None:
    task = lrbench.load_task(TINY)

    state, _ = advance(task, begin(task, 0), np.full(20, 10.0))
    learning, _ = advance(task, begin(task, 0), np.full(20, 0.01))

    assert state.diverged_at is not None
    assert learning.diverged_at is None
