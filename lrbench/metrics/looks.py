"""Looks: the numbers of seeds at which verdicts are made, so that they hold at every look.

A p-value holds for one look. To add seeds until a claim appears is to look many times, and a test at 5% then errs in
9 to 32% of studies (simulated: looks at 5 and 10 seeds, at every number from 3 to 20). So the numbers of seeds at which
verdicts are made are fixed before any score is seen, and each has its share of the error rate:

    looks  n_1 < n_2 < ...        shares  w_1, w_2, ... > 0,  w_1 + w_2 + ... <= 1

With p(n) the p-value of a pair of policies on its first n seeds, P = min over looks n of p(n) / w_n is a p-value at any
time and under any rule of giving seeds: P <= a needs p(n) <= a * w_n at some look, which has probability a * w_n at
each, since p(n) is a fixed function of the first n seeds, and at most a over all looks (the union bound). P never
rises, so that a claim once made is final, and every procedure for p-values takes P.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lrbench.errors import StudyError
from lrbench.metrics.statistics import Power, paired_power

GROWTH = math.sqrt(2)
"""The ratio of a look's seeds to those of the look before: two looks for twice the seeds."""

SHARE_OF_ONE_NUMBER = 0.8
SHARE_OF_RANGE = 0.95
"""The share of the error rate of a study's own looks, if it plans one number of seeds or a range; the rest is for seeds
that are added later."""

SHARE_OF_NEXT = 0.25
"""The share that each later look has of the rate that is left, so that it is never used up."""

MOST_SEEDS = 1000

PLANNED_POWER = 0.8


@dataclass(frozen=True)
class Looks:
    """Numbers of seeds at which verdicts are made, each with its share of the error rate.

    Raises:
        StudyError: the looks do not rise from 2 on, a share is not positive, or the shares sum to more than 1.
    """

    seeds: tuple[int, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip((1, *self.seeds), self.seeds, strict=False))
        if not self.seeds or not rising:
            raise StudyError(f"looks must be rising numbers of at least 2 seeds, but are {self.seeds}")
        if len(self.shares) != len(self.seeds) or not all(share > 0 for share in self.shares):
            raise StudyError(f"each look of {self.seeds} needs a positive share, but the shares are {self.shares}")
        if math.fsum(self.shares) > 1 + 1e-9:
            raise StudyError(f"the shares of looks must sum to at most 1, but sum to {math.fsum(self.shares):g}")

    @classmethod
    def once(cls, seeds: int) -> "Looks":
        """Look at one number of seeds, at least 2, and never again."""
        return cls((max(seeds, 2),), (1.0,))

    @classmethod
    def planned(cls, seeds: int) -> "Looks":
        """Look at the planned number of seeds, and at later ones if seeds are added.

        >>> Looks.planned(5).seeds[:6]
        (5, 7, 10, 14, 20, 28)
        """
        return cls._then_later((max(seeds, 2),), SHARE_OF_ONE_NUMBER)

    @classmethod
    def between(cls, first: int, last: int) -> "Looks":
        """Look from the first number of seeds to the last, and at later ones if seeds are added.

        The shares are in proportion to the seeds, since a difference that is seen late is a small one.

        >>> Looks.between(5, 40).seeds[:7]
        (5, 7, 10, 14, 20, 28, 40)

        Raises:
            StudyError: it is not 2 <= first <= last.
        """
        if not 2 <= first <= last:
            raise StudyError(f"looks go from at least 2 seeds to at least as many, but not from {first} to {last}")
        return cls._then_later(_grid(first, last), SHARE_OF_RANGE)

    @classmethod
    def _then_later(cls, own: tuple[int, ...], share: float) -> "Looks":
        later = _grid(own[-1], max(MOST_SEEDS, own[-1]))[1:]
        kept = [(1 - share) * SHARE_OF_NEXT * (1 - SHARE_OF_NEXT) ** look for look in range(len(later))]
        return cls((*own, *later), (*(share * look / sum(own) for look in own), *kept))

    def done(self, seeds: int) -> int:
        """Count the looks up to a number of seeds."""
        return sum(look <= seeds for look in self.seeds)

    def next_after(self, seeds: int) -> int | None:
        """Return the next number of seeds at which verdicts are made; None after the last."""
        return next((look for look in self.seeds if look > seeds), None)

    def finding(
        self, effects: ArrayLike, level: float, after: ArrayLike, power_of: Power = paired_power
    ) -> list[int | None]:
        """Return for each effect the first look that finds it with 80% chance; None where none does.

        Args:
            effects: [policies], true differences, in the unit of `power_of`.
            level: the error rate over all looks.
            after: [policies], the number of seeds that the look is to be after.
        """
        wanted, seen = np.asarray(effects, dtype=np.float64), np.asarray(after)
        found = np.zeros(wanted.shape, dtype=np.int64)
        for seeds, share in self.shares_by_seeds.items():
            open_ones = np.flatnonzero((found == 0) & (seen < seeds) & (wanted > 0))
            power = power_of(wanted[open_ones], seeds, level * share)
            found[open_ones[power >= PLANNED_POWER]] = seeds
        return [int(seeds) or None for seeds in found]

    @property
    def shares_by_seeds(self) -> dict[int, float]:
        return dict(zip(self.seeds, self.shares, strict=True))


def _grid(first: int, last: int) -> tuple[int, ...]:
    """List rising whole numbers from first to last, each about `GROWTH` times the one before."""
    steps = math.floor(math.log(max(last / first, 1.0)) / math.log(GROWTH) + 1e-9)
    grid = {round(first * GROWTH**step) for step in range(steps + 1)}
    return tuple(sorted({seeds for seeds in grid if seeds < last} | {last}))
