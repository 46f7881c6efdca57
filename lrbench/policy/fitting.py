"""Numbers of a function by least squares: its LRs by their formula, its lengths by a search, the rest by descent."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import pairwise, product
from typing import TypeAlias

import numpy as np

from lrbench.errors import PolicyError
from lrbench.policy.decaying import EXP, FIX, INV, POLY
from lrbench.policy.family import SIG
from lrbench.policy.modern import LINEAR, ONECYCLE, half_cosine
from lrbench.policy.policy import FloatArray, IntArray, Policy
from lrbench.policy.wave import Wave

LOOKED_AT = 120
"""The LRs by which numbers are searched."""

STEEPEST = 20
"""The highest power of a polynomial that rounded LRs show."""

EXPLAINED, CLOSE_BY = 0.1, 1e-5
"""The shares of the variance that the first, and the best, real numbers may leave; with more, they are given up."""

FINER = 2**16
"""The parts of an iteration in which starts and lengths are searched."""


_Residual: TypeAlias = Callable[[list[float]], FloatArray]


class Line:
    """A straight line with which LRs begin.

    Attributes:
        place: how many LRs are on it.
        low, high: the first and the last iteration at which what is behind it may start.
    """

    def __init__(self, t: IntArray, y: FloatArray, place: int) -> None:
        self.t, self.y, self.place = t[:place], y[:place], place
        self.low, self.high = int(t[place - 1]) if place else 0, int(t[place])

    @cached_property
    def coefficients(self) -> tuple[float, float]:
        """The slope, and the LR at iteration 0."""
        if self.place < 2 or np.ptp(self.y) == 0:
            return 0.0, float(self.y[0]) if self.place else math.nan
        slope, start = np.polyfit(self.t, self.y, 1)
        return float(slope), float(start)

    @property
    def start(self) -> float:
        return self.coefficients[1]

    @property
    def rises(self) -> bool:
        return self.coefficients[0] > 0

    def at(self, t: float) -> float:
        slope, start = self.coefficients
        return max(0.0, start + slope * t)

    def misfit(self) -> float:
        slope, start = self.coefficients
        return float(np.abs(start + slope * self.t - self.y).max())

    def reaches(self, lr: float) -> int:
        """Return the iteration at which a rising line comes to an LR, between `low` and `high`."""
        slope, start = self.coefficients
        return min(max(round((lr - start) / slope), self.low), self.high)

    def then(self, policy: Policy, at: int) -> Policy:
        """Return the line followed by a policy."""
        if at < 1:
            return policy
        slope, start = self.coefficients
        if self.place and slope and start + slope * at >= 0:
            return LINEAR(k0=max(0.0, start), k1=start + slope * at, l=at).then(policy, at=at)
        return FIX(k0=self.start if self.place else float(policy(0))).then(policy, at=at)


class Fitting:
    """The search for the numbers of a function that has some LRs, maybe behind a line."""

    def __init__(
        self,
        function: type[Policy],
        fixed: Mapping[str, int],
        t: IntArray,
        y: FloatArray,
        half: FloatArray,
        line: Line | None,
    ) -> None:
        few = np.unique(np.linspace(0, len(t) - 1, LOOKED_AT).round().astype(int))
        self.function, self.fixed, self.line = function, fixed, line
        self.floor = self.pinned = False
        self.t, self.y, self.whole = t[few], y[few], (t, y)
        self.is_wave = issubclass(function, Wave)
        self.high, self.low = ("k1", "k0") if self.is_wave else ("k0", "k1")
        names = [parameter.name for parameter in function.parameters]
        self.has_length = "l" in names
        self.free = [name for name in ("gamma", "p") if name in names]
        self.scale = float(self.t[-1] + 1)
        self.variance = float(np.square(self.y - self.y.mean()).sum())
        self.half = float(half.max())
        self.left_by_digits = float(np.square(half[few]).sum())
        self.weights = weights_of(self.y, half[few])

    def policies(self) -> Iterator[Policy]:
        """List the best policies, without a floor first."""
        floors = (True,) if self.is_wave else (False, True)
        pins = (False,) if self.line is None or not self.line.place else (True, False)
        for floor, pinned in product(floors, pins):
            self.floor, self.pinned = floor, pinned
            for at, l in self._places():
                policy = self._policy_at(at, l)
                if policy is not None:
                    yield policy if self.line is None else self.line.then(policy, at)

    def _places(self) -> list[tuple[int, int]]:
        """Return whole numbers for the start and the length, by least squares over real ones."""
        low, high = (0, 0) if self.line is None else (self.line.low, self.line.high)
        starts = [low, high] if high - low < 2 else [(low + high) / 2]
        lengths = self._lengths() if self.has_length else [1.0]
        rough = sorted((self._error(at, l, self._start(at, l)), at, l) for at, l in product(starts, lengths))
        places: dict[tuple[int, int], None] = {}
        for error, at, l in rough[:3]:
            if error > EXPLAINED * self.variance:
                break
            real_at, real_l, found = self._real(at, l, (low, high))
            if found <= CLOSE_BY * self.variance + self.left_by_digits:
                near_at = {math.floor(real_at), math.ceil(real_at)}
                near_l = {max(1, math.floor(real_l)), math.ceil(real_l)} if self.has_length else {1}
                places |= dict.fromkeys(sorted(product(near_at, near_l)))
                if self.function is LINEAR:  # one that is not over fits with any longer length and another floor
                    places |= {(place, max(1, int(self.t[-1]) - place)): None for place in near_at}
            elif error <= CLOSE_BY * self.variance + self.left_by_digits:
                places[int(at), int(l)] = None
        return list(places)

    def _real(self, at: float, l: float, span: tuple[int, int]) -> tuple[float, float, float]:
        """Return the best real start and length near some, and what they leave."""
        width = float(span[1] - span[0]) if span[1] - span[0] >= 2 else 0.0
        first = [*([(at - span[0]) / width] if width else []), *([math.log(l)] if self.has_length else [])]

        longest = math.log(64 * self.scale)

        def read(x: list[float]) -> tuple[float, float, list[float]]:
            start = span[0] + width * min(max(x.pop(0), 0.0), 1.0) if width else at
            return start, math.exp(min(max(x.pop(0), 0.0), longest)) if self.has_length else 1.0, x

        free = self._start(at, l)
        if not first and not free:
            return at, l, self._error(at, l, free)
        best = self._descend([*first, *free], lambda x: self._left(*read(x)), 1e-5)
        start, length, free = read(best)
        return start, length, self._error(start, length, free)

    def _descend(
        self, x: list[float], residual: Callable[[list[float]], FloatArray], step: float | None
    ) -> list[float]:
        from scipy.optimize import least_squares

        if len(self.t) <= len(x):
            return x

        def scaled(x: FloatArray) -> FloatArray:
            return residual(x.tolist()) / float(self.y.max())

        tight = {"xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15}
        found: list[float] = least_squares(scaled, x, diff_step=step, max_nfev=60 if step else 300, **tight).x.tolist()
        return found

    def _lengths(self) -> list[float]:
        """List lengths that the LRs suggest: where they turn, and how far apart; else a grid."""
        offset = self.line.high if self.line else 0
        last = int(self.t[-1]) - offset + 1
        if not self.is_wave and not self.fixed:
            return [*np.geomspace(max(1, last / 4), 4 * last, 12).tolist(), float(last)]
        t, y = self.whole
        turns = (np.flatnonzero(np.diff(np.sign(np.diff(y))) != 0) + 1)[:64]
        places = (t[turns] - offset).tolist()
        gaps = [b - a for a, b in pairwise(places)]
        spread = [(places[-1] - places[0]) / len(gaps), _between(places, int(np.diff(t).max()))] if gaps else []
        if self.fixed:
            spread = [*spread, *self._of_restarts(offset)]
        base = [*places[:4], *gaps[:4], *spread, *(b - a for a, b in zip(places[:3], places[2:5], strict=False))]
        return sorted({max(1.0, times * length) for length in base for times in (0.5, 1, 2)}) or [float(last)]

    def _of_restarts(self, offset: int) -> list[float]:
        """List first cycles with which all restarts are where the LR rises from one log to the next."""
        t, y = self.whole
        rises = np.flatnonzero(np.diff(y) > 2 * self.half)[:64]
        over = np.cumsum(float(self.fixed["mult"]) ** np.arange(len(rises)))  # of the first cycle, at each restart
        low, high = (t[rises] + 1 - offset) / over, (t[rises + 1] - offset) / over
        if not len(rises) or low.max() > high.min():
            return []
        return [float(low.max() + high.min()) / 2, float(low.max()), float(high.min())]

    def _start(self, at: float, l: float) -> list[float]:
        """Return first values of the numbers that are not linear, as logarithms, for a start and a length."""
        if not self.free:
            return []
        since = self.t - at
        if self.function is INV:
            return [math.log(4.0), 0.0]
        if self.function is POLY:
            left, above = 1 - since / l, self.y - (self.y[-1] if self.floor else 0.0)
            x = np.log(np.where(left > 0, left, 1.0))
        else:
            shape = np.ones(len(since)) if self.function is EXP else self._unit(at, l, [-math.inf])[0]
            bottom = self.y.min() if self.is_wave else 0.0
            left, above = shape - 0.05, (self.y - bottom) / np.maximum(shape, 0.05)
            x = since / self.scale
        there = (left > 0) & (above > 1e-6 * self.y.max())
        if there.sum() < 2:
            return [0.0]
        slope = float(np.polyfit(x[there], np.log(above[there]), 1)[0])
        return [math.log(max(slope if self.function is POLY else -slope, 1e-6))]

    def _policy(self, l: int, free: list[float], high: float, low: float, finer: int = 1) -> Policy:
        values: dict[str, float] = {self.high: high, self.low: low, **self.fixed}
        if self.has_length:
            values["l"] = l
        for name, number in zip(self.free, free, strict=True):
            power = math.exp(min(max(number, -30.0), 30.0))
            if name == "p":
                values[name] = power
            elif self.function is INV:
                values[name] = power / self.scale / finer
            else:
                values[name] = max(math.exp(-power / self.scale / finer), 1e-300)
        return self.function(**values)

    def _unit(self, at: float, l: float, free: list[float]) -> tuple[FloatArray, float]:
        """Return the function between 0 and 1, and at its start; numbers that are not whole count finer iterations."""
        finer = 1 if float(at).is_integer() and float(l).is_integer() else FINER
        unit = self._policy(max(1, round(l * finer)), free, 1.0, 0.0, finer)
        since = np.maximum(np.round((self.t - at) * finer), 0).astype(np.int64)
        return np.asarray(unit(since), dtype=np.float64), float(unit(0))

    def _error(self, at: float, l: float, free: list[float]) -> float:
        left = self._left(at, l, free)
        return float(left @ left)

    def _left(self, at: float, l: float, free: list[float]) -> FloatArray:
        """Return what the best two LRs leave."""
        g, first = self._unit(at, l, free)
        high, low = self._rates(at, g, first)
        return np.asarray(high * g + low * (1 - g) - self.y, dtype=np.float64)

    def _policy_at(self, at: int, l: int) -> Policy | None:
        """Return the best policy with a start and a length; None where its LRs are not allowed."""
        free = self._start(at, l)
        if free:
            free = self._descend(free, lambda free: self._left(at, l, free), None)
        high, low = self._rates(at, *self._unit(at, l, free), self.weights)
        if min(high, low) < -1e-6 * self.y.max() - self.half:
            return None
        if self.half and self.function is POLY and free[0] > math.log(STEEPEST):
            return None  # as good as an exponential
        try:
            return self._policy(l, free, max(high, 0.0), max(low, 0.0))
        except PolicyError:
            return None

    def _rates(self, at: float, g: FloatArray, first: float, weights: FloatArray | None = None) -> tuple[float, float]:
        """Return the highest and the lowest LR by least squares, where the first LR may be known."""
        other, y = 1 - g, self.y
        if weights is not None:
            other, y, g = other * weights, y * weights, g * weights
        if self.pinned and self.line is not None and first in (0.0, 1.0):
            pinned = self.line.at(at)
            if first == 1.0:
                low = float(other @ (y - pinned * g)) / max(float(other @ other), 1e-300) if self.floor else 0.0
                return pinned, low
            return float(g @ (y - pinned * other)) / max(float(g @ g), 1e-300), pinned
        if not self.floor:
            return float(g @ y) / max(float(g @ g), 1e-300), 0.0
        high, low = np.linalg.lstsq(np.stack([g, other], axis=1), y, rcond=None)[0]
        return float(high), float(low)


def weights_of(y: FloatArray, half: FloatArray) -> FloatArray:
    """Return the weights of LRs of which each may be off by `half`; 1 where they were not rounded."""
    if not half.any():
        return np.ones(len(y))
    return np.asarray(half.max() / np.maximum(half, 1e-6 * y.max()), dtype=np.float64)


def one_cycles(t: IntArray, y: FloatArray, half: FloatArray) -> Iterator[Policy]:
    """List ONECYCLE with the best LRs and lengths."""
    weights = weights_of(y, half)
    top = max(int(t[y.argmax()]), 1)

    def columns(up: float, down: float) -> FloatArray:
        rise = half_cosine(np.minimum(t / up, 1.0))
        fall = half_cosine(np.clip((t - up) / down, 0.0, 1.0))
        shapes = [rise, fall - rise, 1.0 - fall]  # rise falls from 1 to 0 where the LR comes to its peak
        return np.stack(shapes, axis=1) * weights[:, None]

    first = [math.log(top), math.log(max(int(t[-1]) - top, 1))]
    weighted = y * weights
    up, down = map(_exp, _lengths_by_descent(first, weighted, lambda x: columns(_exp(x[0]), _exp(x[1]))))
    for whole in product(_near(up), _near(down)):
        rates = np.maximum(np.linalg.lstsq(columns(*whole), weighted, rcond=None)[0], 0.0).tolist()
        with suppress(PolicyError):
            yield ONECYCLE(k0=rates[0], k1=rates[1], k2=rates[2], up=whole[0], down=whole[1])


def sigmoids(t: IntArray, y: FloatArray, half: FloatArray) -> Iterator[Policy]:
    """List SIG with the best numbers, without a floor first."""
    weights = weights_of(y, half)
    if y[-1] == y[0]:
        return
    scale, sign = float(t[-1] + 1), 1.0 if y[-1] > y[0] else -1.0
    middle = int(t[np.abs(y - (y.max() + y.min()) / 2).argmin()])

    def unit(x: Sequence[float]) -> FloatArray:
        return np.asarray((1.0 + np.tanh(sign * _exp(x[0]) / scale * (t - x[1] * scale) / 2.0)) / 2.0, dtype=np.float64)

    for floor in (False, True):

        def columns(x: Sequence[float], floor: bool = floor) -> FloatArray:
            g = unit(x)
            return np.stack([g, 1.0 - g] if floor else [g], axis=1) * weights[:, None]

        first = [math.log(4 * scale * float(np.abs(np.gradient(y, t)).max()) / float(np.ptp(y))), middle / scale]
        steep, place = _lengths_by_descent(first, y * weights, columns)
        for l in _near(place * scale):
            high, *low = np.maximum(
                np.linalg.lstsq(columns([steep, l / scale]), y * weights, rcond=None)[0], 0.0
            ).tolist()
            with suppress(PolicyError):
                yield SIG(k0=high, k1=low[0] if low else 0.0, gamma=sign * _exp(steep) / scale, l=l)


def _exp(number: float) -> float:
    return math.exp(min(max(number, -30.0), 30.0))


def _near(length: float) -> set[int]:
    return {max(1, math.floor(length)), max(1, math.ceil(length))}


def _lengths_by_descent(first: list[float], y: FloatArray, columns: Callable[[list[float]], FloatArray]) -> list[float]:
    """Return the numbers whose columns explain LRs best, by least squares."""
    from scipy.optimize import least_squares

    def left(x: FloatArray) -> FloatArray:
        shapes = columns(x.tolist())
        return np.asarray((shapes @ np.linalg.lstsq(shapes, y, rcond=None)[0] - y) / y.max(), dtype=np.float64)

    found: list[float] = least_squares(left, first, xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=100).x.tolist()
    return found


def _between(places: list[int], gap: int) -> float:
    """Return a length whose multiples are within a gap of places."""
    index = np.arange(1, len(places) + 1)
    return float(((np.array(places) - gap) / index).max() + ((np.array(places) + gap) / index).min()) / 2
