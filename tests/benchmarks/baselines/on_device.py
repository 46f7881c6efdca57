"""Loops that train a network on a device: as most people write one, and with the data there, a batch by one index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, TensorDataset

from lrbench.tasks.limits import Precision

Train = Callable[[int], object]
"""Trains a number of iterations, from where it was left; the device may still be at work on them."""

LR, MOMENTUM, WEIGHT_DECAY = 0.001, 0.9, 5e-4
PADDING = 4


@dataclass(frozen=True)
class Training:
    """What is trained.

    Attributes:
        network: makes the network.
        inputs: uint8 [N, C, H, W] or float32 [N, features], on the CPU.
        labels: int64 [N], on the CPU.
        augmented: whether images are mirrored and cropped at random.
    """

    network: Callable[[], nn.Module]
    inputs: Tensor
    labels: Tensor
    batch: int
    precision: Precision
    augmented: bool
    device: torch.device

    def step(self, model: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, labels: Tensor) -> None:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            outputs = model(inputs)
        optimizer.zero_grad()
        F.cross_entropy(outputs.float(), labels).backward()
        optimizer.step()


def plain(training: Training) -> Train:
    """Train from a DataLoader over tensors on the CPU, with a scheduler that is stepped each iteration."""
    inputs = training.inputs
    if inputs.dtype == torch.uint8:
        inputs = inputs.float().div_(255)
    dataset = TensorDataset(inputs, training.labels)
    pinned = training.device.type == "cuda"
    loader = DataLoader(dataset, training.batch, shuffle=True, drop_last=True, pin_memory=pinned)
    model = training.network().to(training.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    scheduler = LambdaLR(optimizer, lambda t: 1.0)

    def epochs() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield from loader

    batches = epochs()

    def train(iterations: int) -> None:
        for images, labels in islice(batches, iterations):
            there = [part.to(training.device, non_blocking=True) for part in (images, labels)]
            training.step(model, optimizer, *there)
            scheduler.step()

    return train


def indexed(training: Training) -> Train:
    """Train from tensors on the device, with a permutation of each epoch there, channels last and a fused optimizer."""
    inputs, labels = training.inputs.to(training.device), training.labels.to(training.device)
    model = training.network().to(training.device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, fused=True)
    (group,) = optimizer.param_groups

    def epochs() -> Iterator[Tensor]:
        while True:
            yield from torch.randperm(len(inputs), device=training.device).split(training.batch)[
                : len(inputs) // training.batch
            ]

    order = epochs()

    def train(iterations: int) -> None:
        for chosen in islice(order, iterations):
            batch = inputs[chosen]
            if training.augmented:
                batch = cropped(mirrored(batch))
            if batch.dtype == torch.uint8:
                batch = (
                    batch.float().sub_(0.5 * 255).mul_(1 / (0.25 * 255)).contiguous(memory_format=torch.channels_last)
                )
            group["lr"] = LR
            training.step(model, optimizer, batch, labels[chosen])

    return train


def mirrored(images: Tensor) -> Tensor:
    """Mirror each image of a batch with probability a half."""
    chosen = torch.rand(len(images), device=images.device) < 0.5
    return torch.where(chosen[:, None, None, None], images.flip(-1), images)


def cropped(images: Tensor) -> Tensor:
    """Crop each padded image of a batch at a random place."""
    samples, _, height, width = images.shape
    device = images.device
    top, left = torch.randint(0, 2 * PADDING + 1, (2, samples, 1), device=device)
    rows, columns = top + torch.arange(height, device=device), left + torch.arange(width, device=device)
    padded = F.pad(images, (PADDING,) * 4).permute(0, 2, 3, 1)
    each = torch.arange(samples, device=device)[:, None, None]
    return padded[each, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
