"""LeNet on MNIST the way of PyTorch's official example (pytorch/examples, mnist/main.py).

Kept of it: torchvision's MNIST with its transforms and a DataLoader in the main process. Changed to what the others
train: the network, batch 100, SGD with momentum, and Caffe's schedule, stepped each iteration by LambdaLR.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice

import torch
from harness import serve
from torch import Tensor
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from baselines.lenet import lenet


def main(data_root: str, iterations: int) -> None:
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    loader = DataLoader(datasets.MNIST(data_root, transform=transform), batch_size=100, shuffle=True)
    model = lenet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    scheduler = LambdaLR(optimizer, lambda t: (1 + 1e-4 * t) ** -0.75)
    batches = _epochs(loader)
    model.train()

    def train() -> None:
        for inputs, targets in islice(batches, iterations):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(inputs), targets)
            loss.backward()
            optimizer.step()
            scheduler.step()

    serve(train)


def _epochs(loader: DataLoader[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from loader


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
