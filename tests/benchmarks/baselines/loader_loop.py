"""LeNet on MNIST by a hand-written loop over torch's DataLoader, whose dataset has torchvision's transforms."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from harness import serve
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, RandomSampler
from torchvision.datasets import MNIST
from torchvision.transforms import v2

from baselines.lenet import lenet

BATCH = 100


def digits(data_root: Path | str, train: bool) -> MNIST:
    """MNIST as images that are cropped at random where they are to be trained on."""
    crop: list[Any] = [v2.RandomCrop(28, padding=2)] if train else []
    numbers = [v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.1307], [0.3081])]
    return MNIST(data_root, train, v2.Compose([v2.PILToTensor(), *crop, *numbers]))


def main(data_root: str, iterations: int, workers: int) -> None:
    dataset = digits(data_root, train=True)
    sampler = RandomSampler(dataset, num_samples=BATCH * iterations)
    batches: DataLoader[tuple[Tensor, Tensor]] = DataLoader(
        dataset, BATCH, sampler=sampler, num_workers=workers, persistent_workers=workers > 0
    )
    model = lenet().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, fused=True)

    def train() -> None:
        for inputs, labels in batches:
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), labels).backward()
            optimizer.step()

    serve(train)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
