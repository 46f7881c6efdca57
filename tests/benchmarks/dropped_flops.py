"""The forward operations of training that a schedule of drops saves, for VGG-11 to 19 and ResNet-18 to 152.

    python -m tests.benchmarks.dropped_flops --epochs 50 --drops 0.3:0.25 0.5:0.5 0.7:0.75

A drop 0.3:0.25 says that after 30% of the epochs the first 25% of a network's units are gone, rounded down, and never
the last two. The networks have CIFAR stems and lie on torch's meta device; operations are counted, the passes that
store the dropped units' outputs included. It prints a Markdown table beside the numbers of the paper's abstract.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch

from lrbench.modifiers.learn_and_drop.savings import forward_flops, saved_share
from lrbench.modifiers.learn_and_drop.scores import KEPT
from lrbench.tasks.models.resnet import resnet
from lrbench.tasks.models.vgg import vgg11, vgg13, vgg16, vgg19

PAPER = {"vgg11": "17.83%", "resnet152": "83.74%"}
"""Of the abstract of arXiv 2604.23403."""
VGGS = {"vgg11": vgg11, "vgg13": vgg13, "vgg16": vgg16, "vgg19": vgg19}
RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
SHAPE, CLASSES = (3, 32, 32), 10


def units_of_networks() -> dict[str, list[int]]:
    """Return the operations of each unit of each network, for one sample."""
    with torch.device("meta"):
        networks = {name: make(SHAPE, CLASSES) for name, make in VGGS.items()}
        networks |= {name: resnet(name, SHAPE, CLASSES) for name in RESNETS}
    return {name: forward_flops(network, SHAPE) for name, network in networks.items()}


def drops_of(schedule: Sequence[tuple[float, float]], units: int, epochs: int) -> dict[int, int]:
    """Return how many units are gone after which epoch."""
    return {round(when * epochs): min(int(share * units), units - KEPT) for when, share in sorted(schedule)}


def _drop(text: str) -> tuple[float, float]:
    when, share = map(float, text.split(":"))
    return when, share


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=50, metavar="N")
    parser.add_argument(
        "--drops", type=_drop, nargs="+", default=[(0.3, 0.25), (0.5, 0.5), (0.7, 0.75)], metavar="WHEN:SHARE"
    )
    given = parser.parse_args()
    print("| network | units | GFLOPs a sample | saved | the paper's |\n|---|---|---|---|---|")
    for name, flops in units_of_networks().items():
        saved = saved_share(flops, drops_of(given.drops, len(flops), given.epochs), given.epochs)
        print(f"| {name} | {len(flops)} | {sum(flops) / 1e9:.3f} | {saved:.2%} | {PAPER.get(name, '')} |")


if __name__ == "__main__":
    main()
