"""The forward operations of training that a schedule of drops saves: counted, with nothing trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def forward_flops(network: nn.Module, input_shape: Sequence[int]) -> list[int]:
    """Count the floating-point operations of each unit of a network for one sample.

    The network may lie on torch's `meta` device, where nothing is computed. Torch's counter counts matrix products and
    convolutions, a multiply-add as two operations.

    Args:
        input_shape: of a sample, without the axis of samples.

    Raises:
        TaskError: the network has no units.
    """
    import torch

    from lrbench.engine.flops import counted
    from lrbench.modifiers.learn_and_drop.units import units_of

    network.eval()
    device = next(network.parameters()).device
    outputs, counts = torch.zeros(1, *input_shape, device=device), []
    with torch.no_grad():
        for unit in units_of(network):
            with counted() as counter:
                outputs = unit(outputs)
            counts.append(counter.get_total_flops())
    return counts


def saved_share(flops: Sequence[int], dropped: Mapping[int, int], epochs: int) -> float:
    """Compute the share of the forward operations of training that drops save, the storing of outputs included.

    Args:
        flops: of each unit, for one sample.
        dropped: the units that are dropped from then on, by the number of epochs done.
        epochs: of the training.

    >>> saved_share([3, 1], {5: 1}, epochs=10)  # 3 of 4 for five epochs, less one pass to store: 12 of 40
    0.3
    """
    spent, gone = 0, 0
    for epoch in range(epochs):
        if epoch in dropped:
            spent += sum(flops[gone : dropped[epoch]])
            gone = dropped[epoch]
        spent += sum(flops[gone:])
    return 1 - spent / (epochs * sum(flops))
