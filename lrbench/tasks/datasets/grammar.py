"""A generated language whose entropy is known: the random hierarchy model, made here and offline."""

import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NoReturn, Self

import numpy as np
import torch
from numpy.typing import NDArray

from lrbench.errors import DataError
from lrbench.policy.kind import short_repr
from lrbench.tasks.raw_data import RawData
from lrbench.tasks.registry import register_dataset
from lrbench.tasks.windows import Language, Windows, frequencies, unigram_loss

Ints = NDArray[np.int64]

LONGEST = 4096
"""The most tokens of a sentence."""
MOST_TOKENS = 2**28
"""The most tokens of all sentences together: a quarter of a gigabyte."""


@dataclass(frozen=True, eq=False)
class Grammar:
    """Rules that rewrite a symbol of each level as `branching` symbols of the next; those of the last are the tokens.

    Attributes:
        rules: int64 [depth, symbols, rules of each, branching]. No two rules of a level have the same right-hand side,
            so that a sentence can be derived in one way only.
    """

    rules: Ints

    @classmethod
    def drawn(cls, symbols: int, rules: int, branching: int, depth: int, seed: int) -> Self:
        """Draw the right-hand sides of each level without replacement."""
        raw = np.random.PCG64(np.random.SeedSequence(seed))
        sides = np.stack(np.unravel_index(np.arange(symbols**branching), [symbols] * branching), axis=1)
        levels = []
        for _ in range(depth):
            # By the raw numbers, which NumPy keeps the same in all versions, unlike those of its distributions.
            order = np.argsort(raw.random_raw(len(sides)), kind="stable")
            levels.append(sides[order[: symbols * rules]].reshape(symbols, rules, branching))
        return cls(np.stack(levels))

    @property
    def symbols(self) -> int:
        return int(self.rules.shape[1])

    @property
    def length(self) -> int:
        """The tokens of a sentence."""
        depth, _, _, branching = self.rules.shape
        return int(branching**depth)

    @property
    def entropy(self) -> float:
        """The entropy of a sentence in nats.

        The first symbol is one of all alike, and each symbol within is rewritten by one of its rules alike. A sentence
        tells all of these choices, and they are independent: ln(symbols) + (symbols that are rewritten)*ln(rules).
        """
        depth, symbols, rules, branching = self.rules.shape
        rewritten = sum(int(branching) ** level for level in range(depth))
        return float(math.log(symbols) + rewritten * math.log(rules))

    def sentences(self, number: int, seed: int) -> Ints:
        """Draw sentences: int64 [number, length]."""
        raw = np.random.PCG64(np.random.SeedSequence(seed))

        def below(most: int, *shape: int) -> Ints:
            fractions = (raw.random_raw(math.prod(shape)) >> np.uint64(11)).astype(np.float64) * 2.0**-53
            return (fractions * most).astype(np.int64).reshape(shape)

        found = below(self.symbols, number, 1)
        for level in self.rules:
            chosen = below(level.shape[1], *found.shape)
            found = level[found, chosen].reshape(number, -1)
        return found


@register_dataset("grammar", version=1)
def grammar(
    root: Path,
    download: bool,
    *,
    symbols: int = 16,
    rules: int = 4,
    branching: int = 2,
    depth: int = 5,
    train: int = 128_000,
    validation: int = 1000,
    test: int = 1000,
    seed: int = 0,
) -> RawData:
    """Sentences of a random hierarchy model, whose entropy is known exactly; made offline.

    Each of `symbols` symbols is rewritten by one of its `rules` rules, all as probable, as `branching` symbols of the
    next level, `depth` times; the symbols of the last level are tokens. The rules are drawn by `seed`, and no two of a
    level have the same right-hand side. So a sentence of branching^depth tokens tells its derivation, and its entropy
    is ln(symbols) + (1 + branching + ... + branching^(depth-1))*ln(rules) nats. A sample is one sentence, and a token
    that begins it: no model expects a lower loss than this entropy over the number of tokens.

    Source: Cagnetta et al., Phys. Rev. X 14, 031001 (2024), arXiv 2307.02129; for the prediction of the next token,
    Cagnetta and Wyart, arXiv 2406.00048.

    Raises:
        DataError: a number is not allowed, or the rules are more than the right-hand sides that there are.
    """
    sizes = {"symbols": symbols, "rules": rules, "branching": branching, "depth": depth}
    numbers = {"train": train, "validation": validation, "test": test}
    for name, value in {**sizes, **numbers}.items():
        least = 2 if name in ("symbols", "branching") else 1
        if type(value) is not int or value < least:
            _refuse(f"{name} = {short_repr(value)} must be an integer >= {least}")
    if type(seed) is not int or seed < 0:
        _refuse(f"seed = {short_repr(seed)} must be an integer >= 0")
    if depth * math.log(branching) > math.log(LONGEST):
        _refuse(f"a sentence of {branching}^{depth} tokens is longer than {LONGEST:,}")
    if symbols * rules > symbols**branching:
        _refuse(f"rules = {rules} must be at most symbols^(branching-1) = {symbols ** (branching - 1)}")
    if symbols**branching > MOST_TOKENS or sum(numbers.values()) * (branching**depth + 1) > MOST_TOKENS:
        _refuse(f"there are more than {MOST_TOKENS:,} tokens or right-hand sides: ask for fewer or smaller ones")
    language = Grammar.drawn(symbols, rules, branching, depth, seed)
    total, length = sum(numbers.values()), language.length
    tokens = np.full((total, length + 1), symbols, np.min_scalar_type(symbols))
    tokens[:, 1:] = language.sentences(total, seed + 1)
    ends = np.cumsum([0, *numbers.values()]).tolist()
    starts = torch.arange(total) * (length + 1)
    parts = [Windows(tokens.ravel(), starts[first:last], length) for first, last in pairwise(ends)]
    spoken = tokens[:, 1:].ravel()
    counts = [frequencies(spoken, range(first * length, last * length), symbols) for first, last in pairwise(ends[:3])]
    known = Language(symbols + 1, unigram_loss(*counts), entropy=language.entropy / length)
    return RawData(parts[0], parts[2], None, parts[1], language=known)


def _refuse(reason: str) -> NoReturn:
    raise DataError(f"dataset 'grammar': {reason}")
