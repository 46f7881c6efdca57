"""Intervals and tests of means over a few seeds.

Intervals are Student's t intervals: at 3 to 10 seeds they hold their level (95% nominal covers .94 to .95 of normal
data), where the normal approximation (.80 to .92) and the bootstrap (.69 to .91) do not.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

ROUNDING = 1e-9
"""Differences below this share of a mean and the width of its interval are rounding."""


UNKNOWN = "–"
"""The text of a number that is not known."""


class Interval(NamedTuple):
    """A mean with its confidence interval; numbers that the data do not give are None."""

    mean: float | None
    low: float | None
    high: float | None
    n: int
    """The number of values behind the mean."""
    sd: float | None
    """The standard deviation between the values (ddof 1), None for fewer than two."""

    def within(self, bounds: "Bounds | None") -> "Interval":
        """Clip the ends to the bounds of the metric; the coverage is unchanged, as the truth lies within them."""
        if bounds is None or self.low is None or self.high is None:
            return self
        low, high = _closed(bounds)
        return Interval(self.mean, max(self.low, low), min(self.high, high), self.n, self.sd)

    @property
    def point(self) -> "Interval":
        """The mean without its interval."""
        return Interval(self.mean, None, None, self.n, self.sd)

    def per(self, unit: float) -> "Interval":
        """Return the interval in units of `unit`, a positive number."""
        mean, low, high, sd = (None if x is None else x / unit for x in (self.mean, self.low, self.high, self.sd))
        return Interval(mean, low, high, self.n, sd)

    def __format__(self, form: str) -> str:
        """Write the mean and half the width of its interval, or both ends where it is uneven, as far as known.

        >>> f"{Interval(0.5, 0.4, 0.6, n=3, sd=0.04):.2f} {Interval(0.5, 0.4, 0.7, n=3, sd=0.06):.1f}"
        '0.50 ±0.10 0.5 [0.4, 0.7]'

        Args:
            form: how a number is formatted, by default ".3f"; half the width has no sign. A number from a million on
                has three digits in place of decimals, such as 2.09e+19.
        """
        form = form or ".3f"
        if self.mean is None:
            return UNKNOWN
        middle = _written(self.mean, form)
        if self.low is None or self.high is None:
            return middle
        if not is_even(self.mean, self.low, self.high):
            return f"{middle} [{_written(self.low, form)}, {_written(self.high, form)}]"
        return f"{middle} ±{_written((self.high - self.low) / 2, form.removeprefix('+'))}"

    def to_json(self) -> dict[str, float | int | None]:
        return {"mean": self.mean, "low": self.low, "high": self.high, "sd": self.sd, "n": self.n}


def _written(number: float, form: str) -> str:
    is_long = form.endswith("f") and not form.endswith(".0f") and abs(number) >= 1e6
    return format(number, "+.3g" if is_long and form.startswith("+") else ".3g" if is_long else form)


Bounds = tuple[float | None, float | None]
"""The lowest and the highest possible value of a metric; None for an end that is open."""


def _closed(bounds: Bounds | None) -> tuple[float, float]:
    """Return the bounds, infinite ones for ends that are open."""
    low, high = bounds or (None, None)
    return -math.inf if low is None else low, math.inf if high is None else high


NOTHING_KNOWN = Interval(mean=None, low=None, high=None, n=0, sd=None)


def t_interval(values: Iterable[float], level: float = 0.95) -> Interval:
    """Return the mean and the two-sided Student t interval of independent values, one a seed.

    One value gives a mean without bounds; no value gives nothing. Equal values have a spread of zero and the interval
    shrinks to their mean: right as arithmetic, but no certainty, which is why verdicts put a floor under the spread.

    >>> f"{t_interval([0.7, 0.8, 0.9]):.2f}"
    '0.80 ±0.25'
    """
    x = np.fromiter(values, dtype=np.float64)
    return _of_equal_n(x[None], level, None)[0] if len(x) else NOTHING_KNOWN


def t_intervals(table: FloatArray, level: float = 0.95, bounds: "Bounds | None" = None) -> list[Interval]:
    """Return for each row of a table [rows, values] the `t_interval` of its finite values, within bounds.

    >>> [f"{one:.2f}" for one in t_intervals(np.array([[0.7, 0.8, 0.9], [0.7, np.nan, np.nan]]))]
    ['0.80 ±0.25', '0.70']
    """
    found = [NOTHING_KNOWN] * len(table)
    for rows, (values,) in equally_known(np.isfinite(table), table):
        for row, interval in zip(rows.tolist(), _of_equal_n(values, level, bounds), strict=True):
            found[row] = interval
    return found


def equally_known(
    known: NDArray[np.bool_], *tables: FloatArray, fewest: int = 1
) -> Iterator[tuple[NDArray[np.int64], list[FloatArray]]]:
    """Yield the rows of tables [rows, values] of which equally many values are known, `fewest` or more, with these."""
    counts = np.count_nonzero(known, axis=1)
    for n in np.unique(counts[counts >= fewest]).tolist():
        rows = np.flatnonzero(counts == n)
        yield rows, [table[rows][known[rows]].reshape(-1, n) for table in tables]


def _of_equal_n(x: FloatArray, level: float, bounds: "Bounds | None") -> list[Interval]:
    """Return the intervals of rows of values, of which all are known."""
    n = x.shape[1]
    means = np.add.reduce(x, axis=1) / n
    if n == 1:
        return [Interval(mean, None, None, 1, None) for mean in means.tolist()]
    rest = x - means[:, None]
    sds = np.sqrt(np.add.reduce(rest * rest, axis=1) / (n - 1))
    half = t_quantile(n - 1, (1 + level) / 2) * sds / math.sqrt(n)
    lowest, highest = _closed(bounds)
    ends = np.maximum(means - half, lowest), np.minimum(means + half, highest)
    numbers = (column.tolist() for column in (means, *ends))
    return list(map(Interval._make, zip(*numbers, repeat(n), sds.tolist())))


def not_narrower(interval: Interval, resolution: float, level: float = 0.95) -> Interval:
    """Return the t interval with no less spread than the step of the scale that its values are read on.

    Two seeds that agree to a step are no certainty; its ends may lie beyond the values that are possible.

    >>> f"{not_narrower(t_interval([0.9, 0.9, 0.9]), resolution=0.01):.2f}"
    '0.90 ±0.02'
    """
    if interval.mean is None or interval.sd is None or interval.sd >= resolution:
        return interval
    half = t_quantile(interval.n - 1, (1 + level) / 2) * resolution / math.sqrt(interval.n)
    return interval._replace(low=interval.mean - half, high=interval.mean + half, sd=resolution)


def is_even(mean: float, low: float, high: float) -> bool:
    """Return whether a mean lies in the middle of its interval, as it does unless an end was clipped."""
    return abs((high - mean) - (mean - low)) <= ROUNDING * (abs(mean) + high - low)


def paired_interval(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> Interval:
    """Return the t interval of a - b, seed by seed, over the seeds where both are finite.

    >>> f"{paired_interval([0.5, 0.6], [0.4, 0.5]):+.1f}"
    '+0.1 ±0.0'
    """
    differences = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    return t_interval(differences[np.isfinite(differences)], level)


def paired_intervals(one: FloatArray, others: FloatArray) -> list[Interval]:
    """Return the t interval of values [seeds] minus each row of others [rows, seeds], as `paired_interval` does."""
    return t_intervals(one - others)


def behind_best(own: ArrayLike, others: Sequence[ArrayLike], level: float = 0.95) -> Interval:
    """Return how far the mean of values is behind the highest mean of others, with its interval, paired seed by seed.

    The differences to all others have intervals that hold together (Bonferroni's). The difference to the highest mean,
    whichever it is, lies between the highest of their low ends and the highest of their high ends.

    >>> f"{behind_best([0.5, 0.6], [[0.6, 0.7], [0.4, 0.5]]):+.1f}"
    '+0.1 ±0.0'
    """
    gaps = [paired_interval(other, own, 1 - (1 - level) / len(others)) for other in others]
    known = [gap for gap in gaps if gap.mean is not None]
    if not known:
        return NOTHING_KNOWN
    mean = max(gap.mean for gap in known if gap.mean is not None)
    ends = [(gap.low, gap.high) for gap in known if gap.low is not None and gap.high is not None]
    low, high = map(max, zip(*ends, strict=True)) if len(ends) == len(known) else (None, None)
    return Interval(mean, low, high, min(gap.n for gap in known), None)


def unpaired_interval(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> Interval:
    """Return the interval of the mean of a minus that of b, of values that are not paired; `n` is that of the fewer.

    The standard error is Welch's, and the degrees of freedom are those of the fewer values, with which the interval
    covers at least its level for normal values of any spreads (Mickey and Brown 1966).

    >>> f"{unpaired_interval([0.5, 0.6, 0.7], [0.4, 0.5]):+.1f}"
    '+0.1 ±1.0'
    """
    known = [values[np.isfinite(values)] for values in (np.asarray(x, dtype=np.float64) for x in (a, b))]
    fewer = min(map(len, known))
    if fewer == 0:
        return NOTHING_KNOWN
    gap = float(known[0].mean() - known[1].mean())
    if fewer == 1:
        return Interval(mean=gap, low=None, high=None, n=1, sd=None)
    variances = [float(values.var(ddof=1)) for values in known]
    error = math.sqrt(sum(variance / len(values) for variance, values in zip(variances, known, strict=True)))
    half = t_quantile(fewer - 1, (1 + level) / 2) * error
    return Interval(mean=gap, low=gap - half, high=gap + half, n=fewer, sd=math.sqrt(sum(variances)))


def unpaired_intervals(one: FloatArray, others: FloatArray) -> list[Interval]:
    """Return `unpaired_interval` of values [runs] and each row of others [rows, runs]."""
    return [unpaired_interval(one, other) for other in others]


@lru_cache(maxsize=1024)
def proportion_interval(successes: int, n: int, level: float = 0.95) -> Interval:
    """Return a fraction with its exact interval (Clopper and Pearson 1934), which also holds when all or none succeed.

    >>> round(proportion_interval(0, 10).high, 3)  # 1 - 0.025^(1/10)
    0.308
    """
    if n == 0:
        return NOTHING_KNOWN
    fraction = successes / n
    if n == 1:
        return Interval(mean=fraction, low=None, high=None, n=1, sd=None)
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    low = 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if successes == n else float(betaincinv(successes + 1, n - successes, 1 - tail))
    return Interval(mean=fraction, low=low, high=high, n=n, sd=math.sqrt(n * fraction * (1 - fraction) / (n - 1)))


def holm(p: ArrayLike, of: int | None = None) -> FloatArray:
    """Adjust p-values by Holm's (1979) step-down procedure along the last axis, for any dependence between them.

    Rejecting every hypothesis whose adjusted p-value is at most alpha makes a false rejection with probability at most
    alpha, however many of the hypotheses are true.

    Args:
        of: the number of hypotheses, by default that of the p-values; those without one are never rejected.

    >>> holm([0.01, 0.03])
    array([0.02, 0.03])
    """
    raw = np.asarray(p, dtype=np.float64)
    order = np.argsort(raw, axis=-1)
    left = (raw.shape[-1] if of is None else of) - np.arange(raw.shape[-1])
    stepped = np.maximum.accumulate(np.take_along_axis(raw, order, axis=-1) * left, axis=-1)
    adjusted = np.empty_like(raw)
    np.put_along_axis(adjusted, order, np.minimum(stepped, 1.0), axis=-1)
    return adjusted


@lru_cache(maxsize=1024)
def t_quantile(degrees: float, probability: float) -> float:
    """Return the quantile of Student's t with `degrees` of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))


Power = Callable[[ArrayLike, int, float], FloatArray]
"""The power of a test by effects, seeds and level."""


def paired_power(effect: ArrayLike, seeds: int, level: float) -> FloatArray:
    """Return the probability that a one-sided paired t test at `level` finds a true difference.

    Args:
        effect: true differences beyond the hypothesis, in standard deviations of the paired difference, >= 0.
        seeds: at least 2.
        level: the test's one-sided error probability, already divided by the number of tests if there are several.
    """
    from scipy.special import nctdtr

    threshold = -t_quantile(seeds - 1, level)
    power = 1.0 - nctdtr(seeds - 1, np.asarray(effect) * math.sqrt(seeds), threshold)
    return np.where(np.isfinite(power), power, 0.0)


def sign_threshold(seeds: int, level: float) -> int:
    """Return the fewest of some seeds that a sign test at `level` must find on one side; one more than all if none do.

    >>> sign_threshold(5, 0.05), sign_threshold(4, 0.05)
    (5, 5)
    """
    from scipy.special import bdtrc

    tails = bdtrc(np.arange(seeds + 1) - 1.0, seeds, 0.5)
    return int((tails > level).sum())


def fewest_to_agree(level: float) -> int:
    """Return the fewest seeds, or runs of each policy, that a sign or rank test at `level` needs if all agree.

    >>> fewest_to_agree(0.05), fewest_to_agree(0.025)
    (5, 6)
    """
    return math.ceil(-math.log2(level))


def sign_power(effect: ArrayLike, seeds: int, level: float) -> FloatArray:
    """Return the probability that a one-sided sign test at `level` finds a true difference.

    Args:
        effect: true shares of seeds on one side minus those on the other, from 0 to 1.
        seeds, level: as for `paired_power`.
    """
    from scipy.special import bdtrc

    power: FloatArray = bdtrc(sign_threshold(seeds, level) - 1.0, seeds, (1 + np.asarray(effect)) / 2)
    return power


def rank_p(wins: ArrayLike, runs: ArrayLike) -> FloatArray:
    """Bound the probability of a Mann-Whitney count where a run of one policy wins over one of another half the time.

    Of n and m runs, the share of the n * m pairs that are won is a mean over ways to lay the runs out in min(n, m)
    disjoint pairs, and in each of them the wins are those of fair coins at most. So the mean of a convex function of
    the share is at most that for coins (Hoeffding 1963, section 5), and the function (x - t)+ bounds the tail by
    E(B - t)+ / (wins - t), B binomial, for each t; the least over whole t is taken. It holds for any distributions, of
    any shapes and with ties, and any numbers of runs. Where all pairs are won it is 2^-min(n, m), which no test can
    undercut: so often a policy that is ahead in half of its runs and behind in the others shows its good runs alone.

    >>> rank_p([5.0, 4.6], 5)
    array([0.03125   , 0.05208333])

    Args:
        wins: the share of pairs that are won, times `runs`.
        runs: those of the policy that has fewer.
    """
    count, fewer = np.broadcast_arrays(np.asarray(wins, dtype=np.float64), np.asarray(runs, dtype=np.int64))
    excess = _excess(int(fewer.max(initial=0)))
    p = np.ones(count.shape)
    for t in range(len(excess) - 1):
        bound = np.divide(excess[fewer, t], count - t, out=np.ones(count.shape), where=(count > t) & (fewer > t))
        p = np.minimum(p, bound)
    return p


def rank_threshold(runs: ArrayLike, level: ArrayLike) -> FloatArray:
    """Return the smallest share of pairs, times `runs`, with `rank_p` at most a level; more than `runs` if none is."""
    fewer, levels = np.broadcast_arrays(np.asarray(runs, dtype=np.int64), np.asarray(level, dtype=np.float64))
    excess = _excess(int(fewer.max(initial=0)))
    needed = np.full(fewer.shape, np.inf)
    for t in range(len(excess) - 1):
        needed = np.where(fewer > t, np.minimum(needed, t + excess[fewer, t] / levels), needed)
    return needed


@lru_cache(maxsize=8)
def _excess(most: int) -> FloatArray:
    """Return E(B - t)+ of the heads B of n fair coins, [n, t], for n and t up to `most`."""
    from scipy.special import bdtrc

    coins, heads = np.arange(most + 1)[:, None], np.arange(most + 1)
    tails = np.where(heads < coins, bdtrc(heads.astype(np.float64), coins, 0.5), 0.0)  # P(B >= heads + 1)
    excess: FloatArray = np.cumsum(tails[:, ::-1], axis=1)[:, ::-1]
    return excess


def rank_power(effect: ArrayLike, seeds: int, level: float) -> FloatArray:
    """Return a lower estimate of the probability that `rank_p` is at most `level`: that of pairs that share no run.

    Args:
        effect: true shares of pairs that are won minus those of the others, from 0 to 1.
        seeds: the runs of the policy that has fewer.
        level: as for `paired_power`.
    """
    from scipy.special import bdtrc

    needed = math.ceil(float(rank_threshold(seeds, level)) - ROUNDING)
    chance = (1 + np.asarray(effect)) / 2
    return bdtrc(needed - 1.0, seeds, chance) if needed <= seeds else np.zeros(chance.shape)


def seeds_to_decide(
    effect: float,
    level: float,
    power: float = 0.8,
    at_most: int = 1000,
    power_of: Power = paired_power,
) -> int | None:
    """Return the fewest seeds with which a test reaches `power`; None if `at_most` do not suffice.

    Args:
        power_of: the power of the test by effect, seeds and level, by default of the paired t test.
    """
    if not effect > 0 or power_of(effect, at_most, level) < power:
        return None
    too_few, enough = 1, at_most
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if power_of(effect, middle, level) >= power:
            enough = middle
        else:
            too_few = middle
    return enough
