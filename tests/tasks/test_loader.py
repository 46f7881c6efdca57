"""Loading batches of datasets."""

import os
import signal
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate, get_worker_info

from lrbench.errors import DataError
from lrbench.tasks.loader import Draws, Loader, Request, Samples


class Noise(Dataset[Tensor]):
    """Samples of noise; one fails, one ends its worker."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> Tensor:
        if index == 7:
            raise ValueError("bad sample")
        if index == 8 and get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return torch.rand(2) + index


def requests(*batches: list[int]) -> list[Request]:
    return [
        Request("train", batch, Draws(0, "noise", range(10 * i, 10 * i + len(batch))))
        for i, batch in enumerate(batches)
    ]


def loader(workers: int, collate: Any = default_collate) -> Loader:
    return Loader(Samples({"train": Noise()}, collate), workers)


def loaded(of: Loader, *batches: list[int]) -> list[Tensor]:
    return list(of.batches(requests(*batches), pinned=False))


def test_workers_load_the_batches_that_this_process_would() -> None:
    batches = [0, 1], [2, 3], [4], [5, 6]
    here, there = loaded(loader(0), *batches), loaded(loader(2), *batches)
    assert all(map(torch.equal, here, there))


def test_workers_are_kept_and_an_iteration_that_is_given_up_changes_nothing() -> None:
    of = loader(2)
    next(of.batches(requests(*([i] for i in range(6))), pinned=False))
    kept = of._kept
    assert all(map(torch.equal, loaded(of, [3], [2]), loaded(loader(0), [3], [2])))
    assert of._kept is kept is not None


def test_batches_that_are_asked_for_amid_others_are_the_same() -> None:
    of = loader(2)
    amid = [loaded(of, [4]) for _ in of.batches(requests([0], [1], [2]), pinned=False)]
    assert all(torch.equal(batch, loaded(loader(0), [4])[0]) for (batch,) in amid)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_failing_sample_is_named_with_its_traceback_and_the_loader_goes_on(workers: int) -> None:
    of = loader(workers)
    with pytest.raises(DataError, match=r"^the train sample 7 cannot be loaded: ValueError: bad sample$") as failed:
        loaded(of, [0, 1], [6, 7])
    assert "in __getitem__" in str(failed.value.__cause__)
    assert len(loaded(of, [0], [1])) == 2


def test_a_worker_that_is_killed_ends_the_batches_in_a_sentence_and_others_take_its_place() -> None:
    of = loader(1)
    with pytest.raises(DataError, match=r"the loader workers \(started by \w+\) cannot go on: DataLoader worker"):
        loaded(of, [8])
    assert len(loaded(of, [0], [1])) == 2


def test_a_collate_function_that_fails_is_named_by_its_batch() -> None:
    def fails(samples: list[Tensor]) -> Tensor:
        raise KeyError("no")

    with pytest.raises(DataError, match="the train samples from 2 on cannot be made a batch: KeyError: 'no'"):
        loaded(loader(0, fails), [2, 3])
