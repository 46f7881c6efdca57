"""Keep what a process has globally the same for every run: threads, random generators, defaults of torch, folders.

A user's code may draw from torch's, NumPy's and Python's generators, and may change the rest.
"""

import inspect
import os
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from lrbench.files import working_directory_kept

OF_OPTIMIZERS = tuple(
    getattr(torch.optim.Optimizer, name) for name in ("add_param_group", "state_dict", "load_state_dict", "zero_grad")
)


@contextmanager
def callers_generators(devices: Sequence[int] | None = None) -> Iterator[None]:
    """Give the global generators back to the caller as they were: those of these CUDA devices too, or of all."""
    _, numpy_state, python_state = generator_states()
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)


def generator_states() -> tuple[torch.Tensor, Any, Any]:
    """Return the states of torch's generator on the CPU, of NumPy's and of Python's."""
    return torch.get_rng_state(), np.random.get_state(), random.getstate()


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed the generators of torch (on the CPU and the device), NumPy and Python; `seed` has 63 bits."""
    seed_torch(seed, device)
    seed_numpy_and_python(seed)


def seed_torch(seed: int, device: torch.device) -> None:
    """Seed torch's generators on the CPU and on the device, a hundred times faster than `torch.manual_seed`."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def seed_numpy_and_python(seed: int) -> None:
    """Seed NumPy's legacy generator, which takes 32 bits, and Python's."""
    np.random.seed(seed & 0xFFFFFFFF)
    random.seed(seed)


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Set the number of torch's threads, and put it back."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def surroundings_kept() -> Iterator[None]:
    """Put back what a user's code may change for all that follows, and end a process that it forked from this one.

    Put back are the working directory, folders taken from `sys.path`, whether torch records gradients, and its default
    type and device. A forked process would go on as this one, and report and store the same runs.
    """
    process, folders = os.getpid(), list(sys.path)
    dtype, device, records = torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled()
    try:
        with working_directory_kept():
            yield
    finally:
        if os.getpid() != process:
            os._exit(1)
        sys.path += [folder for folder in folders if folder not in sys.path]
        torch.set_grad_enabled(records)
        torch.set_default_dtype(dtype)
        if torch.get_default_device() != device:
            torch.set_default_device(None if device.type == "cpu" else device)


@contextmanager
def uncompiled(*functions: Callable[..., Any]) -> Iterator[None]:
    """Call functions of torch that are exempt from its compiler without importing it, which takes seconds.

    Torch imports the compiler at the first call of such a function, to get one that is exempt, and notes that as
    `__dynamo_disable`. Where the compiler is not imported, nothing is compiled, and the function itself will do.
    """
    own = [inspect.unwrap(function) for function in functions]
    noted = [] if "torch._dynamo" in sys.modules else [one for one in own if "__dynamo_disable" not in vars(one)]
    for function in noted:
        vars(function)["__dynamo_disable"] = function
    try:
        yield
    finally:
        for function in noted:
            vars(function).pop("__dynamo_disable", None)


@contextmanager
def deterministic() -> Iterator[None]:
    """One thread, since sums over several depend on their number, and all else as the caller has it."""
    with surroundings_kept(), threads(1), callers_generators(), uncompiled(*OF_OPTIMIZERS):
        yield
