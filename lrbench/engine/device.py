"""The device that training takes place on, by its name."""

from __future__ import annotations

import platform
from functools import cache

import torch

from lrbench.errors import TaskError, one_line
from lrbench.tasks.limits import GRAPHS, Compile


def resolve_device(name: str = "auto") -> torch.device:
    """Return the device of a name; "auto" is CUDA where there is one, else Apple's MPS, else the CPU.

    Raises:
        TaskError: there is no such device here.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, here in available.items() if here))
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in available:
        raise TaskError(f"device '{name}' is unknown: give auto, cpu, cuda, cuda:N or mps")
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if not available[device.type] or (device.index or 0) >= count:
        raise TaskError(f"device '{name}' is not available on this machine: give auto or cpu")
    return device


@cache
def check_compiler(device: torch.device, compile: Compile = True) -> None:  # noqa: A002
    """Compile a small function for a device, as `torch.compile` needs a C++ compiler, or Triton on a GPU.

    Args:
        compile: as a task has it.

    Raises:
        TaskError: it cannot be compiled, or the device has no CUDA graphs where they are asked for.
    """
    if compile == GRAPHS and device.type != "cuda":
        raise TaskError(f'compile = "{GRAPHS}" needs CUDA graphs, and the device is {device.type}: give compile = true')
    sine = torch.compile(torch.sin)
    try:
        sine(torch.ones(2, device=device))
    except Exception as error:
        reason, _, _ = one_line(error).partition(" Set TORCHDYNAMO_VERBOSE")
        raise TaskError(f"compile = true cannot be used on {describe_device(device)}: {reason}") from error


def describe_device(device: torch.device) -> str:
    """Describe a device for the provenance of its numbers, such as "cuda: NVIDIA H100" or "cpu: x86_64"."""
    model = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return f"{device.type}: {model}"
