"""The registered tasks, with the settings of the experiments that they come from.

A setting that no source states is marked "ours". A task has no schedule: a study compares schedules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrbench import tasks  # its names need torch, and are loaded when a task is made
from lrbench.tasks.registry import register_task

if TYPE_CHECKING:
    from lrbench.tasks import Choice, TaskSettings


@register_task("mnist1d-mlp")
def mnist1d_mlp() -> TaskSettings:
    """MNIST-1D, a multilayer perceptron: the quickstart's task, half a second a run, nothing to download.

    1,000 iterations are 16 epochs, evaluated 20 times. Network, batch size and budget are ours: small, and far enough
    apart for good and bad policies: measured over 2 seeds, test accuracy is 25% with FIX 0.001, 61% with FIX 0.05 and
    65% with a linear decay from 0.2.
    """
    return tasks.TaskSettings(
        name="mnist1d-mlp",
        dataset=tasks.Choice("mnist1d"),
        model=tasks.Choice("mlp", {"hidden": (100, 100)}),
        optimizer=tasks.SGD(momentum=0.9),
        batch_size=64,
        steps=1000,
    )


@register_task("mnist1d-conv")
def mnist1d_conv() -> TaskSettings:
    """MNIST-1D, a small 1-D convolutional network: some seconds a run, nothing to download."""
    return tasks.TaskSettings(
        name="mnist1d-conv",
        dataset=tasks.Choice("mnist1d"),
        model=tasks.Choice("conv1d"),
        optimizer=tasks.SGD(momentum=0.9),
        batch_size=64,
        steps=2000,
    )


@register_task("mnist-lenet")
def mnist_lenet() -> TaskSettings:
    """MNIST, Caffe's LeNet, 10,000 iterations of batch 100, as in Wu et al. 2019 (arXiv 1908.06477)."""
    return _lenet("mnist-lenet", "mnist")


@register_task("fashion-lenet")
def fashion_lenet() -> TaskSettings:
    """Fashion-MNIST, Caffe's LeNet with the settings of mnist-lenet."""
    return _lenet("fashion-lenet", "fashion-mnist")


def _lenet(name: str, dataset: str) -> TaskSettings:
    """Set momentum 0.9, weight decay 5e-4, evaluation every 500 iterations; the validation split of 10,000 is ours."""
    return tasks.TaskSettings(
        name=name,
        dataset=tasks.Choice(dataset),
        model=tasks.Choice("lenet"),
        optimizer=tasks.SGD(momentum=0.9, weight_decay=5e-4),
        batch_size=100,
        steps=10_000,
        validation=10_000,
    )


@register_task("cifar10-cnn3")
def cifar10_cnn3() -> TaskSettings:
    """CIFAR-10, Caffe's cifar10_full network, 70,000 iterations of batch 100, momentum 0.9, weight decay 0.004.

    Source: BVLC/caffe, `examples/cifar10/cifar10_full_solver.prototxt`. The validation split of 5,000 is ours.
    """
    return tasks.TaskSettings(
        name="cifar10-cnn3",
        dataset=tasks.Choice("cifar10"),
        model=tasks.Choice("cnn3"),
        optimizer=tasks.SGD(momentum=0.9, weight_decay=0.004),
        batch_size=100,
        steps=70_000,
        validation=5000,
    )


@register_task("cifar10-resnet20")
def cifar10_resnet20() -> TaskSettings:
    """CIFAR-10, ResNet-20, 64,000 iterations of batch 128, crop and flip, as in He et al. (arXiv 1512.03385).

    Momentum 0.9, weight decay 1e-4, 45,000/5,000 images for training and validation (section 4.2 of the paper).
    """
    return tasks.TaskSettings(
        name="cifar10-resnet20",
        dataset=tasks.Choice("cifar10"),
        model=tasks.Choice("resnet20"),
        optimizer=tasks.SGD(momentum=0.9, weight_decay=1e-4),
        batch_size=128,
        steps=64_000,
        augment=(tasks.RandomCrop(4), tasks.HorizontalFlip()),
        validation=5000,
    )


@register_task("cifar100-resnet18")
def cifar100_resnet18() -> TaskSettings:
    """CIFAR-100, ResNet-18, 100 epochs: the setting of parameter linear prediction (arXiv 2310.10958)."""
    return _cifar100("cifar100-resnet18", "resnet18")


@register_task("cifar100-vgg16")
def cifar100_vgg16() -> TaskSettings:
    """CIFAR-100, VGG-16, 100 epochs: the setting of parameter linear prediction (arXiv 2310.10958)."""
    return _cifar100("cifar100-vgg16", "vgg16")


@register_task("cifar100-googlenet")
def cifar100_googlenet() -> TaskSettings:
    """CIFAR-100, GoogLeNet, 100 epochs: the setting of parameter linear prediction (arXiv 2310.10958)."""
    return _cifar100("cifar100-googlenet", "googlenet")


def _cifar100(name: str, model: str) -> TaskSettings:
    """Set 100 epochs, a fifth of train held out, momentum 0.9, weight decay 1e-4; batch 128, crop and flip are ours."""
    epochs, train_samples, batch_size = 100, 40_000, 128
    return tasks.TaskSettings(
        name=name,
        dataset=tasks.Choice("cifar100"),
        model=tasks.Choice(model),
        optimizer=tasks.SGD(momentum=0.9, weight_decay=1e-4),
        batch_size=batch_size,
        steps=epochs * (train_samples // batch_size),
        augment=(tasks.RandomCrop(4), tasks.HorizontalFlip()),
        validation=0.2,
    )


@register_task("grammar-gpt")
def grammar_gpt() -> TaskSettings:
    """A generated language of known entropy, a small GPT: some ten seconds a run, nothing to download.

    800 iterations of 32 sentences, 819,200 tokens, each seen once; the train split has enough for five times as many.
    Grammar, network and budget are ours, by trials of seven grammars at 14 schedules, peaks from 0.001 to 0.032 and
    four seeds each, by the same computation on a GPU. On this one, the best peaks lie between 0.004 (constant) and
    0.016 (linear to zero, cosine), and most schedules are within 0.01 nats of their best at 0.008. At its best peak
    linear decay ends 0.300 nats above the entropy of 1.4296, cosine 0.307, a constant rate 0.347, and the seeds of one
    schedule spread by 0.002 to 0.005. Warmup was the first 5%.

    A segment whose every loss is twice that of guessing has diverged.
    """
    return _gpt(
        "grammar-gpt",
        tasks.Choice("grammar"),
        tasks.Choice("gpt", {"layers": 2, "heads": 4, "width": 64}),
        steps=800,
    )


@register_task("text-gpt")
def text_gpt() -> TaskSettings:
    """Your own text, a GPT on bytes: minutes a run; put a text file or a folder as `text` into the data root.

    2,000 iterations of 32 windows of 64 bytes are 4.1 million tokens. Network and budget are ours. Another place is
    `dataset = { path = "..." }` in a study file.
    """
    return _gpt(
        "text-gpt",
        tasks.Choice("text", {"context": 64}),
        tasks.Choice("gpt", {"layers": 3, "heads": 4, "width": 96}),
        steps=2000,
    )


def _gpt(name: str, dataset: Choice, model: Choice, steps: int) -> TaskSettings:
    """Set AdamW as nanoGPT does: betas 0.9 and 0.95, weight decay 0.1 on matrices only, gradients clipped at norm 1.

    Source: karpathy/nanoGPT, `train.py` and `model.py`. Batch size and divergence factor are ours.
    """
    return tasks.TaskSettings(
        name=name,
        dataset=dataset,
        model=model,
        optimizer=tasks.AdamW(beta2=0.95, weight_decay=0.1),
        groups=tasks.Groups.of({"ndim<2": {"weight_decay": 0.0}}),
        clip_norm=1.0,
        batch_size=32,
        steps=steps,
        metric="loss",
        divergence_factor=2.0,
    )
