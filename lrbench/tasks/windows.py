"""Windows of a text as samples: tokens, in memory or mapped from a file, and where each window begins."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lrbench.streams import stream_seed
from lrbench.tasks.fingerprint import array_digest, text_digest
from lrbench.tasks.loader import Draws
from lrbench.tasks.split import Batch, BatchwiseSplit

CHUNK = 2**24
"""The most tokens that are counted at once."""


@dataclass(frozen=True)
class Language:
    """What is known of a text without a model.

    Attributes:
        vocabulary: how many tokens there are; they are 0..vocabulary-1.
        unigram: the loss of a prediction without context, in nats a token: the cross-entropy of the validation part
            under the frequencies of the train part, at most that of equal probabilities, ln(vocabulary).
        bytes_per_token: of the validation part; None where the tokens are those of a user's own tokenizer.
        entropy: the lowest loss that any model can expect, in nats a token; None where it is not known.
    """

    vocabulary: int
    unigram: float
    bytes_per_token: float | None = None
    entropy: float | None = None

    def __str__(self) -> str:
        floor = "" if self.entropy is None else f", entropy {self.entropy:.4f}"
        return f"{self.vocabulary:,} different ones, {self.unigram:.4f} nats a token without context{floor}"


class Windows(BatchwiseSplit):
    """A split whose samples are windows of a text: `length` tokens as inputs, and the token behind each as targets.

    Attributes:
        tokens: integers [T], those of all splits, in memory or mapped from a file.
        starts: where each window begins, int64 [N], on the CPU.
        shifts: in training, the windows of an epoch begin 0 to shifts-1 tokens later, by one draw an epoch.
    """

    tokens: NDArray[Any]
    starts: Tensor
    length: int
    shifts: int

    def __init__(
        self, tokens: NDArray[Any], starts: Tensor, length: int, shifts: int = 1, device: torch.device | str = "cpu"
    ) -> None:
        held = {"tokens": tokens, "starts": starts, "length": length, "shifts": shifts}
        vars(self).update(held, _device=torch.device(device))

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def digest(self) -> str:
        """A digest of where the windows are; the tokens have one of their own."""
        return text_digest(array_digest(self.starts.numpy()), str(self.length), str(self.shifts))

    def to(self, device: torch.device | str) -> Windows:
        return Windows(self.tokens, self.starts, self.length, self.shifts, device)

    def take(self, indices: Tensor) -> Windows:
        return Windows(self.tokens, self.starts[indices.cpu()], self.length, self.shifts, self._device)

    def batches(self, order: Iterable[Tensor], draws: Iterable[Draws]) -> Iterator[Batch]:
        for indices, drawn in zip(order, draws, strict=True):
            yield self._batch(indices.cpu(), stream_seed(drawn.seed, f"windows of {drawn.stream}") % self.shifts)

    def evaluated(self, size: int) -> Iterator[Batch]:
        for indices in torch.arange(len(self)).split(size):
            yield self._batch(indices, 0)

    def chunks(self) -> Iterator[Tensor]:
        return iter(())

    def _batch(self, indices: Tensor, shift: int) -> Batch:
        places = self.starts[indices, None] + shift + torch.arange(self.length + 1)
        found = torch.from_numpy(self.tokens[places.numpy()].astype(np.int64)).to(self._device)
        return Batch(found[:, :-1], found[:, 1:], indices)


def consecutive(tokens: NDArray[Any], part: range, length: int, *, shifted: bool) -> Windows:
    """Cut a part of a text into windows, each of which begins where the one before ends.

    Args:
        part: the places of the part in `tokens`.
        shifted: let the windows begin elsewhere in each epoch of training; else each is where it is.
    """
    shifts = length if shifted else 1
    starts = torch.arange(part.start, part.stop - length - shifts + 1, length)
    return Windows(tokens, starts, length, shifts)


def fewest_tokens(length: int, *, shifted: bool) -> int:
    """Return the length of the shortest part that `consecutive` finds a window in."""
    return 2 * length if shifted else length + 1


def frequencies(tokens: NDArray[Any], part: range, vocabulary: int) -> NDArray[np.int64]:
    """Count each token in a part of a text: int64 [vocabulary], or longer where a token is not of the vocabulary."""
    counts = np.zeros(vocabulary, np.int64)
    for start in range(part.start, part.stop, CHUNK):
        found = np.bincount(tokens[start : min(start + CHUNK, part.stop)], minlength=len(counts))
        found[: len(counts)] += counts
        counts = found
    return counts


def unigram_loss(train: NDArray[np.int64], val: NDArray[np.int64]) -> float:
    """Return the cross-entropy of counts under the frequencies of others, in nats, or the uniform one where it is less.

    All tokens together count as one more, so that none has the frequency 0 (Perks 1947). Where many tokens of the
    validation part are not in the train part, equal probabilities predict it better.
    """
    logs = np.log(train + 1 / len(train)) - np.log(train.sum() + 1)
    return min(float(-(val * logs).sum() / val.sum()), math.log(len(train)))
