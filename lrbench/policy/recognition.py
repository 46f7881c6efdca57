"""Policies from their numbers: which function has these learning rates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lrbench.errors import PolicyError
from lrbench.policy.decaying import EXP, FIX, INV, NSTEP, POLY, STEP
from lrbench.policy.fitting import Fitting, Line, one_cycles, sigmoids
from lrbench.policy.function import functions
from lrbench.policy.modern import COSINE, INVSQRT, LINEAR, REX, SGDR, WSD, WSDSQRT
from lrbench.policy.policy import FloatArray, IntArray, Policy
from lrbench.policy.table import MOST_LRS, TABLE
from lrbench.policy.wave import Exponential, Wave

EXACT, CLOSE = 2e-7, 1e-5
"""The misfit of float32 numbers, and of numbers with six digits."""

MOST_DROPS = 64
"""The most drops of a staircase."""


HIGHEST = 1e100
"""The highest learning rate whose square can be counted with."""

ENOUGH = 400
"""The LRs in which functions are searched, of a log that was rounded."""

STEEP = 8
"""The half units that a drop of a staircase is higher than."""

FEWEST = 5
"""The fewest changes of the LR by which a function with a length is known."""


def recognize(steps: ArrayLike, rates: ArrayLike) -> Policy:
    """Find the policy that has these learning rates: the simplest function that fits each of them.

    The functions are FIX, STEP, NSTEP, EXP, INV, POLY, LINEAR, COSINE, INVSQRT, REX, SGDR and the waves, such as TRI;
    behind or beneath a linear warmup, or behind a constant part, as in WSD; ONECYCLE, and SIG, which may be beneath a
    warmup. Lengths are searched by least squares, in which the LRs are linear. A policy is taken where no LR is off by
    more than 2e-7 of itself, else the best one where none is by more than 1e-5, for logs with six digits. Where the LRs
    were rounded to 3, 4 or 5 digits, or to decimals, each may be off by its last digit besides. Numbers are then
    written with as few digits as fit as well.

    >>> str(recognize(range(100), [0.1 * 0.5 ** (t // 30) for t in range(100)]))
    'STEP(k0=0.1, gamma=0.5, l=30)'

    Args:
        steps: iterations, 0-based and increasing, [n]; not every one is needed.
        rates: the LR at each, [n].

    Returns:
        The policy, bound; where no function fits, a table of the LRs, with straight lines between them.

    Raises:
        PolicyError: the steps do not increase from at least 0, or an LR is no number from 0 to 1e100.
    """
    t, y = np.asarray(steps), np.asarray(rates, dtype=np.float64)
    is_list = t.ndim == 1 and t.shape == y.shape and t.size > 0 and t.dtype.kind in "iu"
    if not is_list or t[0] < 0 or (np.diff(t) < 1).any():
        raise PolicyError("recognize needs as many LRs as steps, which are whole numbers that increase from at least 0")
    if not ((y >= 0) & (y <= HIGHEST)).all():
        raise PolicyError(f"recognize needs learning rates that are numbers from 0 to {HIGHEST:g}")
    t = t.astype(np.int64)
    found = _recognized(t, y)
    if found is None and t[-1] >= MOST_LRS:
        raise PolicyError(f"no function has these learning rates, and a table has at most {MOST_LRS:,}")
    return found or TABLE(values=np.interp(np.arange(t[-1] + 1), t, y))


@dataclass(frozen=True)
class _Log:
    """Learning rates that were logged.

    Attributes:
        t, y: the iterations and the LR at each.
        half: half a unit of the last digit of each, 0 where they were not rounded.
    """

    t: IntArray
    y: FloatArray
    half: FloatArray

    def part(self, place: slice | IntArray) -> _Log:
        return _Log(self.t[place], self.y[place], self.half[place])

    @property
    def few(self) -> _Log:
        """As many of rounded LRs as show more than their last digits from one to the next."""
        if len(self.t) <= ENOUGH or not self.half.any():
            return self
        return self.part(np.unique(np.linspace(0, len(self.t) - 1, ENOUGH).round().astype(np.int64)))

    @property
    def slack(self) -> float:
        return float(CLOSE * self.y.max() + 2 * self.half.max())

    def off(self, policy: Policy) -> FloatArray:
        """Return how far LRs are from a policy's but for their rounding; what is close is at most `CLOSE`."""
        beyond = np.maximum(np.abs(np.asarray(policy(self.t)) - self.y) - self.half, 0.0)
        off: FloatArray = beyond / (self.y + 0.1 * self.y.max() + self.half / CLOSE + 1e-300)
        return off

    def misfit(self, policy: Policy) -> float:
        return float(self.off(policy).max())


def misfit(policy: Policy, t: IntArray, y: FloatArray) -> float:
    """Return how far learning rates are from a policy's but for their rounding; at most `CLOSE` is a fit."""
    return _Log(t, y, _half_units(y)).misfit(policy)


def _half_units(y: FloatArray) -> FloatArray:
    """Return half a unit of the last digit of LRs that were all written with 3 to 5 digits, else 0."""
    digits = next((d for d in range(1, 6) if all(float(f"{lr:.{d}g}") == lr for lr in y.tolist())), 0)
    decimals = next((d for d in range(1, 13) if (np.round(y, d) == y).all()), None)
    if digits < 3 or decimals is None:
        return np.zeros(len(y))
    exponents = np.floor(np.log10(np.where(y > 0, y, 1.0)))
    return np.maximum(np.where(y > 0, 0.5 * 10.0 ** (exponents - digits + 1), 0.0), 0.5 * 10.0**-decimals)


def _recognized(t: IntArray, y: FloatArray) -> Policy | None:
    log = _Log(t, y, _half_units(y))
    for group in (_simple, _behind_a_line, _warmed_up):
        best: tuple[float, Policy | None] = CLOSE, None
        for policy in group(log):
            left = log.misfit(policy)
            if left <= (best[0] if best[1] is None else best[0] / 3):
                best = left, policy
                if left <= EXACT or _is_noise((np.asarray(policy(t)) - y)[np.flatnonzero(np.diff(y))]):
                    break
        left, found = best
        if found is not None:
            return _in_short(found, log, min(max(1.5 * left, 1e-9), CLOSE))
    return None


def _is_noise(left: FloatArray) -> bool:
    """Return whether what a policy leaves changes its sign too often to be of another function."""
    return len(left) > 2 and bool(np.mean(left[1:] * left[:-1] < 0) > 0.25)


def _in_short(policy: Policy, log: _Log, allowed: float) -> Policy:
    """Write each number of a policy with as few digits as fit."""
    for place in range(len(list(_numbers(policy)))):
        number, put = list(_numbers(policy))[place]
        nothing = (0.0,) if abs(number) < EXACT * log.y.max() else ()
        for shorter in (*nothing, *(float(f"{number:.{digits}g}") for digits in range(1, 16))):
            try:
                short = put(type(number)(shorter))
            except PolicyError:
                continue
            if log.misfit(short) <= allowed:
                policy = short
                break
    return policy


def _numbers(policy: Policy) -> Iterator[tuple[Any, Callable[[Any], Policy]]]:
    """List the numbers of a policy, each with what puts another one in its place."""
    values = {parameter.name: getattr(policy, parameter.name) for parameter in policy.parameters}

    def put(name: str, place: int | None, inner: Callable[[Any], Any], new: Any) -> Policy:
        value = inner(new)
        if place is not None:
            value = (*values[name][:place], value, *values[name][place + 1 :])
        return type(policy)(**{**values, name: value})

    for name, value in values.items():
        items = enumerate(value) if isinstance(value, tuple) else [(None, value)]
        for place, item in items:
            if isinstance(item, Policy):
                yield from ((number, partial(put, name, place, inner)) for number, inner in _numbers(item))
            else:
                yield item, partial(put, name, place, lambda new: new)


def _valid(function: type[Policy], **numbers: Any) -> Iterator[Policy]:
    """Yield the policy with these numbers, or nothing where they are not allowed."""
    with suppress(PolicyError):
        yield function(**numbers)


def _simple(log: _Log) -> Iterator[Policy]:
    """List policies of one function, the simplest first."""
    if np.ptp(log.y) <= CLOSE * log.y.max():
        yield FIX(k0=float(np.median(log.y)))
    yield from _stairs(log)
    yield from _smooth(log.few)


def _stairs(log: _Log) -> Iterator[Policy]:
    t, y = log.t, log.y
    drops = np.flatnonzero(np.abs(np.diff(y)) > CLOSE * y[:-1]) + 1
    if not 0 < len(drops) <= min(MOST_DROPS, len(y) / 2):
        return
    if (np.abs(y[drops] - y[drops - 1]) <= STEEP * log.half[drops - 1]).any():
        return  # what moves slowly has stairs as high as its last digit
    levels = np.array([np.median(part) for part in np.split(y, drops)])
    before, after = t[drops - 1], t[drops]
    floors = [0.0]
    if len(drops) > 1 and (bend := 2 * levels[1] - levels[0] - levels[2]) != 0:
        floors.append(max(0.0, float((levels[1] ** 2 - levels[0] * levels[2]) / bend)))
    for k1 in floors:
        if levels[0] <= k1 or levels[-1] < k1:
            continue
        gamma = float((levels[-1] - k1) / (levels[0] - k1)) ** (1 / len(drops))
        k0 = float(levels[0])
        index = np.arange(1, len(drops) + 1)
        low, high = int((before / index).max()) + 1, int((after / index).min())
        if low <= high:
            yield from _valid(STEP, k0=k0, k1=k1, gamma=gamma, l=_roundest(low, high))
        places = [_roundest(int(a) + 1, int(b)) for a, b in zip(before, after, strict=True)]
        yield from _valid(NSTEP, k0=k0, k1=k1, gamma=gamma, l=places)


def _roundest(low: int, high: int) -> int:
    """Return the whole number in [low, high] that ends with the most zeros."""
    rounded = (high // unit * unit for unit in (int(10**k) for k in range(len(str(high)), -1, -1)))
    return next(number for number in rounded if number >= low)


FALLING: tuple[type[Policy], ...] = (LINEAR, EXP, COSINE, POLY, INVSQRT, REX, INV)


def _smooth(log: _Log, line: Line | None = None) -> Iterator[Policy]:
    """List the best policies of each function, behind a line where there is one."""
    part = log if line is None else log.part(slice(line.place, None))
    change, slack = np.diff(part.y), log.slack
    if len(change) < FEWEST:
        return
    is_sigmoid = False
    if (change <= slack).all():
        shapes: Sequence[tuple[type[Policy], dict[str, int]]] = [(function, {}) for function in FALLING]
        is_sigmoid = True
    elif (change >= -slack).all():
        shapes, is_sigmoid = [(LINEAR, {})], True
    else:
        own = (function for function in functions().values() if function.__module__.startswith("lrbench."))
        waves = [function for function in own if issubclass(function, Wave)]
        waves.sort(key=lambda wave: issubclass(wave, Exponential))
        shapes = [*((wave, {}) for wave in waves), *((SGDR, {"mult": mult}) for mult in (1, 2, 3))]
        top = int(part.y.argmax())
        if line is None and (change[:top] >= -slack).all() and (change[top:] <= slack).all():
            yield from one_cycles(part.t, part.y, part.half)
    for function, fixed in shapes:
        yield from Fitting(function, fixed, part.t, part.y, part.half, line).policies()
    if is_sigmoid and line is None:
        yield from sigmoids(part.t, part.y, part.half)


def _behind_a_line(log: _Log) -> Iterator[Policy]:
    """List policies that begin with a constant part or a ramp."""
    log = log.few
    for line in _lines(log):
        part = log.part(slice(line.place, None))
        rest, rates = part.t, part.y
        plateau = rates[0] if len(rates) < 2 or abs(rates[1] - rates[0]) <= log.slack else None
        if line.rises and plateau is not None:
            stop = line.reaches(float(plateau))
            start = max(0.0, line.start)
            for stairs in (FIX(k0=float(plateau)), *_stairs(part)):
                yield stairs.warmup(stop, start=start)
            yield from _stable(log, stop, start, float(plateau))
            level = Line(rest, rates, int((np.abs(rates - plateau) <= log.slack).argmin()))
            if level.place:
                for policy in _smooth(part, level):
                    yield policy.warmup(stop, start=start)
        yield from _smooth(log, line)


def _lines(log: _Log) -> Iterator[Line]:
    """List straight lines with which the LRs may begin, the longest first."""
    t, y = log.t, log.y
    if len(y) < 6:
        return
    slopes = np.diff(y) / np.diff(t)
    kinks = np.argsort(-np.abs(np.diff(slopes)))[:3] + 1
    level = int((np.abs(y - y[0]) > EXACT * y[0] + 2 * log.half[0]).argmax())
    corners = {*kinks.tolist(), int(y.argmax()), level - 1}
    places = {place for corner in corners for place in (corner, corner + 1) if 2 <= place < len(y) - 1}
    lines = [Line(t, y, place) for place in sorted(places, reverse=True)]
    if t[0] > 0:
        yield Line(t, y, 0)
    yield from [line for line in lines if line.misfit() <= log.slack][:3]


def _stable(log: _Log, up: int, low: float, high: float) -> Iterator[Policy]:
    """List WSD and WSDSQRT, whose cooldown is a straight line, or the square of its share is."""
    t, y = log.t, log.y
    falls = (t > up) & (y < high - log.slack) & (y > low + log.slack)
    if falls.sum() < 2:
        return
    share = (high - y[falls]) / (high - low)
    for function, x in ((WSD, share), (WSDSQRT, share**2)):
        slope, offset = np.polyfit(t[falls], x, 1)
        if slope > 0:
            fork, down = round(-offset / slope), round(1 / slope)
            yield from _valid(function, k0=high, k1=low, up=up, stable=fork - up, down=down)


def _warmed_up(log: _Log) -> Iterator[Policy]:
    """List policies beneath a ramp: what is found in the second half is followed to where it begins to fit."""
    t, y = log.t, log.y
    half = len(t) // 2
    if len(t) < 8 or y[0] >= y[half:].max():
        return
    later = log.part(slice(half, None))
    for policy in _smooth(later.few):
        if later.misfit(policy) > CLOSE:
            continue
        whole = np.asarray(policy(t))
        wrong = np.flatnonzero(log.off(policy) > CLOSE)
        place = int(wrong[-1]) + 1 if len(wrong) else 0
        start = float(y[0]) if t[0] == 0 else 0.0
        ramp = (t[:place] > 0) & (whole[:place] > start)
        if ramp.any():
            share = (y[:place] - start)[ramp] / ((whole[:place] - start)[ramp] * t[:place][ramp])
            if (middle := float(np.median(share))) > 0:
                yield policy.warmup(max(1, round(1 / middle)), start=start)
