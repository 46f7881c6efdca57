"""LeNet on MNIST by the fastest loop that we can write with PyTorch's own operations, for this experiment alone.

The images lie in memory as bytes, a batch is a slice of a permutation, the network is in channels-last order, the
optimizer is fused, and the learning rates are a table.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice

import torch
from harness import serve
from torch import Tensor
from torch.nn import functional as F
from torchvision.datasets import MNIST

from baselines.lenet import lenet

STEPS = 10_000


def main(data_root: str, iterations: int, precision: str) -> None:
    data = MNIST(data_root)
    images, labels = data.data.unsqueeze(1), data.targets
    model = lenet().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, fused=True)
    (group,) = optimizer.param_groups
    batches = zip([0.01 * (1 + 1e-4 * t) ** -0.75 for t in range(STEPS)], _batches(len(images)), strict=False)

    def train() -> None:
        for lr, chosen in islice(batches, iterations):
            inputs = images[chosen].float().sub_(0.1307 * 255).mul_(1 / (0.3081 * 255))
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                outputs = model(inputs)
            optimizer.zero_grad()
            F.cross_entropy(outputs.float(), labels[chosen]).backward()
            group["lr"] = lr
            optimizer.step()

    serve(train)


def _batches(samples: int) -> Iterator[Tensor]:
    while True:
        yield from torch.randperm(samples).split(100)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
