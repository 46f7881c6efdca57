"""The numbers of an evaluation that are stored."""

import pytest
import torch
from torch import nn

import lrbench
from lrbench.tasks import Data


def test_samples_without_a_label_count_in_no_metric_of_a_classifier() -> None:
    """Losses of torch leave out the label -100."""
    inputs = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    labels = (inputs[:, 0] > 0).long()
    known = list(zip(inputs, labels.tolist(), strict=True))
    half = [(row, label if place % 2 else -100) for place, (row, label) in enumerate(known)]

    def scored(test: list[tuple[torch.Tensor, int]]) -> dict[str, float | None]:
        data = Data.from_datasets(known, known, test, num_classes=2)
        task = lrbench.Task(name="mine", model=lambda: nn.Linear(3, 2), data=data, batch_size=10, steps=20)
        card = lrbench.score("FIX(k0=0.5)", task, seeds=1, store=":memory:", workers=1)
        return {name: card.metrics[name].mean for name in ("test_top1", "ac", "ece", "brier", "test_loss")}

    assert scored(half) == pytest.approx(scored(known[1::2]))
    assert scored([(row, -100) for row, _ in known])["ac"] is None
