"""Samples of datasets, loaded a batch at a time through torch's DataLoader.

Every batch is asked for by a `Request`, which names its samples and their random draws. So the same request gives the
same batch in this process and in any worker process, and one DataLoader serves all splits, segments and runs.
"""

import multiprocessing
import pickle
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset, Subset

from lrbench.errors import DataError, one_line
from lrbench.reproducible import callers_generators, seed_generators
from lrbench.streams import stream_seed
from lrbench.tasks.nested import shapes

CPU = torch.device("cpu")


class Draws(NamedTuple):
    """The random draws of a batch's samples: that of each is draw `place` of a stream of a seed."""

    seed: int
    stream: str
    places: Sequence[int]


class Request(NamedTuple):
    """A batch: the samples at `indices` of the dataset `part`, and their draws."""

    part: str
    indices: Sequence[int]
    draws: Draws


class Failure(NamedTuple):
    """What a batch is where its loading failed: a sentence, and the traceback of the process that it failed in."""

    reason: str
    traceback: str


@dataclass(frozen=True, eq=False)
class Samples(Dataset[Any]):
    """Datasets by name, and the function that makes a batch of samples; itself a dataset of requests.

    `version` stands for the code of the datasets and what they hold, where it is not None.
    """

    datasets: Mapping[str, Any]
    collate: Callable[[list[Any]], Any]
    version: str | None = None

    def __getitem__(self, request: Request) -> Any:
        """Load a batch; what its samples draw from the global generators follows from the request alone."""
        with callers_generators(devices=()), torch.inference_mode(False), torch.no_grad():
            samples: list[Any] = []
            try:
                samples.extend(self._samples(request))
                return self.collate(samples)
            except Exception as error:
                return Failure(_reason(request, samples, error), traceback.format_exc())

    def _samples(self, request: Request) -> Iterator[Any]:
        """Yield the samples of a batch, each after it is seeded; a dataset that gives several at once is asked once.

        A `Subset`, which does so for any dataset, is asked for each.
        """
        dataset, draws = self.datasets[request.part], request.draws
        seeds = (stream_seed(draws.seed, draws.stream, place) for place in draws.places)
        if hasattr(dataset, "__getitems__") and not isinstance(dataset, Subset):
            seed_generators(next(seeds), CPU)
            yield from dataset.__getitems__(list(request.indices))
            return
        for index, seed in zip(request.indices, seeds, strict=True):
            seed_generators(seed, CPU)
            yield dataset[index]


class Loader:
    """Loads batches of samples, in this process or in `workers` others, which are kept for later requests."""

    def __init__(self, samples: Samples, workers: int) -> None:
        self.samples = samples
        self.workers = workers
        self._kept: DataLoader[Any] | None = None
        self._requests: Iterable[Request] = ()
        self._busy = False

    def __getstate__(self) -> dict[str, Any]:
        return {"samples": self.samples, "workers": self.workers, "_kept": None, "_requests": (), "_busy": False}

    def batches(self, requests: Iterable[Request], *, pinned: bool) -> Iterator[Any]:
        """Load the batches of requests in order; those that are asked for meanwhile are loaded in this process.

        Raises:
            DataError: the dataset or the collate function fails on a sample, or a worker process cannot go on.
        """
        if self.workers == 0 or self._busy:
            yield from map(_checked, _data_loader(self.samples, requests, 0, pinned))
            return
        self._busy, self._requests = True, requests
        try:
            if self._kept is None:
                self._kept = _data_loader(self.samples, _Current(self), self.workers, pinned)
            yield from map(_checked, self._kept)
        except (RuntimeError, AttributeError, TypeError, pickle.PicklingError) as error:
            self._kept = None
            method = multiprocessing.get_start_method()
            raise DataError(f"the loader workers (started by {method}) cannot go on: {one_line(error)}") from error
        finally:
            self._busy = False

    def batch(self, request: Request) -> Any:
        """Load one batch in this process; raise DataError where that fails."""
        return _checked(self.samples[request])


@dataclass(frozen=True)
class _Current:
    """The requests that a loader has at the time: a sampler for a DataLoader that is kept."""

    loader: Loader

    def __iter__(self) -> Iterator[Request]:
        return iter(self.loader._requests)


def _data_loader(samples: Samples, requests: Any, workers: int, pinned: bool) -> DataLoader[Any]:
    # Without a generator of its own, the DataLoader would draw from the caller's.
    return DataLoader(
        samples,
        batch_size=None,
        sampler=requests,
        num_workers=workers,
        collate_fn=_as_it_is,
        persistent_workers=workers > 0,
        pin_memory=pinned,
        worker_init_fn=_leave_interrupts,
        generator=torch.Generator(),
    )


def _leave_interrupts(_worker: int) -> None:
    """Leave Ctrl-C, which a terminal sends to every process, to the one that trains.

    A fork has its pipe for signals too, where each would be counted again.
    """
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _as_it_is(batch: Any) -> Any:
    return batch


def _checked(batch: Any) -> Any:
    if isinstance(batch, Failure):
        raise DataError(batch.reason) from RuntimeError(batch.traceback)
    return batch


def _reason(request: Request, samples: Sequence[Any], error: Exception) -> str:
    """Say in a sentence at which sample the loading of a batch failed."""
    quoted = one_line(f"{type(error).__name__}: {error}")
    if len(samples) < len(request.indices):
        return f"the {request.part} sample {request.indices[len(samples)]} cannot be loaded: {quoted}"
    kinds = list(map(shapes, samples))
    other = next((place for place, kind in enumerate(kinds) if kind != kinds[0]), None)
    if other is None:
        return f"the {request.part} samples from {request.indices[0]} on cannot be made a batch: {quoted}"
    one, another = request.indices[0], request.indices[other]
    return (
        f"the {request.part} samples {one} and {another} cannot be in one batch, for their shapes are {kinds[0]} and "
        f"{kinds[other]}: give a transform to one size, or a collate function"
    )
