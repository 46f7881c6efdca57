"""Modern schedules: linear, cosine, one-cycle, warm restarts, WSD, and others."""

from abc import abstractmethod
from dataclasses import replace
from typing import Self

import numpy as np

from lrbench.display.names import many
from lrbench.errors import PolicyError
from lrbench.policy.budget import Budget, Length, iterations
from lrbench.policy.function import Decaying, Function, progress, register_function
from lrbench.policy.kind import REST
from lrbench.policy.parameter import count, length, rate, rest
from lrbench.policy.policy import FloatArray, IntArray, blend


def half_cosine(x: FloatArray) -> FloatArray:
    """Fall from 1 at x = 0 to 0 at x = 1 along half a cosine."""
    return np.asarray((1.0 + np.cos(np.pi * x)) / 2.0, dtype=np.float64)


@register_function
class LINEAR(Function):
    """A straight line from k0 to k1 over l iterations; stays at k1. With k1 > k0 it is a linear range test.

    >>> LINEAR(k0=1, l=10)(5)
    0.5
    """

    group = "decaying"
    formula = "lr = k0 + (k1-k0)*min(t/l, 1)"
    code = "k0 + (k1 - k0) * min(t / l, 1)"
    source = "Defazio et al. 2023, arXiv 2310.07831"
    k0: float = rate("LR at the start")
    k1: float = rate("LR at the end", default=0.0)
    l: Length = length("until k1 is reached")

    def lr(self, t: IntArray) -> FloatArray:
        return blend(self.k0, self.k1, progress(t, iterations(self.l)))


@register_function
class GEOMETRIC(Function):
    """A geometric path from k0 to k1 by equal factors over l iterations; stays at k1. With k1 > k0 it is an exponential
    range test.

    >>> round(GEOMETRIC(k0=1, k1=0.01, l=100)(50), 3)
    0.1
    """

    group = "decaying"
    formula = "lr = k0*(k1/k0)^min(t/l, 1)"
    code = "k0 * (k1 / k0) ** min(t / l, 1)"
    source = "Smith 2017, arXiv 1506.01186 (range test), on a log scale"
    k0: float = rate("LR at the start", positive=True)
    k1: float = rate("LR at the end", positive=True)
    l: Length = length("until k1 is reached")

    def lr(self, t: IntArray) -> FloatArray:
        x = progress(t, iterations(self.l))
        low, high = self.bounds
        inner = np.clip(np.exp((1.0 - x) * np.log(self.k0) + x * np.log(self.k1)), low, high)
        return np.where(x == 0.0, self.k0, np.where(x == 1.0, self.k1, inner))


@register_function
class COSINE(Decaying):
    """Half a cosine from k0 down to the floor k1 over l iterations; stays there. COS is the cyclic one.

    >>> COSINE(k0=1, l=10)(5)
    0.5
    """

    formula = "(1+cos(pi*min(t/l, 1)))/2"
    code = "k1 + (k0 - k1) * (1 + math.cos(math.pi * min(t / l, 1))) / 2"
    source = "Loshchilov & Hutter 2017, arXiv 1608.03983, without restarts"
    l: Length = length("until the floor is reached")

    def g(self, t: IntArray) -> FloatArray:
        return half_cosine(progress(t, iterations(self.l)))


@register_function
class SGDR(Decaying):
    """Half cosines from k0 down to the floor k1 with warm restarts; each next one takes mult times as long.

    >>> SGDR(k0=1, l=10, mult=2)(10)
    1.0
    >>> SGDR(k0=1, l=10, mult=2)(20)
    0.5
    """

    group = "cyclic"
    formula = "(1+cos(pi*x))/2, x = the share of the cycle that is over; cycle i takes l*mult^i iterations"
    code = "while t >= l:\n    t, l = t - l, l * mult\nk1 + (k0 - k1) * (1 + math.cos(math.pi * t / l)) / 2"
    source = "Loshchilov & Hutter 2017, arXiv 1608.03983"
    l: Length = length("the first cycle, T_0")
    mult: int = count("how much longer each next cycle is, T_mult", low=1, high=1000, unit="times", default=1)

    def g(self, t: IntArray) -> FloatArray:
        l = iterations(self.l)
        if self.mult == 1:
            return half_cosine(t % l / l)
        starts = self._starts(int(t.max(initial=0)))
        cycle = np.searchsorted(starts, t, side="right") - 1
        spans = l * np.power(float(self.mult), cycle)
        return half_cosine((t - np.asarray(starts)[cycle]) / spans)

    def _starts(self, last: int) -> list[int]:
        starts, span = [0], iterations(self.l)
        while starts[-1] + span <= last:
            starts.append(starts[-1] + span)
            span *= self.mult
        return starts


@register_function
class ONECYCLE(Function):
    """One cycle: half a cosine from k0 up to k1, then one from k1 down to k2, far below k0; stays there.

    >>> ONECYCLE(k0=0.1, k1=1, up=10, down=30)(10)
    1.0
    """

    group = "one-cycle"
    formula = "lr = k0 + (k1-k0)*(1-cos(pi*t/up))/2 up to t = up, k2 + (k1-k2)*(1+cos(pi*(t-up)/down))/2 from there"
    code = (
        "if t < up:\n    return k1 + (k0 - k1) * (1 + math.cos(math.pi * t / up)) / 2\n"
        "k2 + (k1 - k2) * (1 + math.cos(math.pi * min((t - up) / down, 1))) / 2"
    )
    source = "Smith & Topin 2017, arXiv 1708.07120; in two phases as torch OneCycleLR"
    k0: float = rate("LR at the start")
    k1: float = rate("the peak")
    k2: float = rate("LR at the end", default=0.0)
    up: Length = length("from the start to the peak")
    down: Length = length("from the peak to the end")

    def conflict(self) -> str | None:
        if self.k1 <= self.k0:
            return f"k1, the peak, must be greater than k0={self.k0}, not {self.k1}"
        return f"k2, the end, must be less than k1={self.k1}, not {self.k2}" if self.k2 >= self.k1 else None

    def lr(self, t: IntArray) -> FloatArray:
        up, down = iterations(self.up), iterations(self.down)
        rise = blend(self.k1, self.k0, half_cosine(progress(t, up)))
        fall = blend(self.k2, self.k1, half_cosine(progress(np.maximum(t - up, 0), down)))
        return np.where(t < up, rise, fall)


class WarmupStableDecay(Decaying):
    """Up in a straight line, stable at k0, down to the floor k1 along a cooldown; stays there.

    Without `stable` the cooldown ends with the budget, so that `up` may be iterations in any budget; as a part of a
    composed policy it ends with the part.
    """

    group = "warmup-stable-decay"
    up: Length = length("from k1 up to k0")
    stable: Length = rest("at k0")
    down: Length = length("from k0 down to k1")

    @abstractmethod
    def cooldown(self, x: FloatArray) -> FloatArray:
        """Fall from 1 at x = 0 to 0 at x = 1."""

    def bind_to(self, budget: Budget) -> Self:
        bound = super().bind_to(budget)
        if bound.stable != REST:
            return bound
        left = budget.own_steps - iterations(bound.up) - iterations(bound.down)
        if left < 1:
            own = many(budget.own_steps, "iteration")
            raise PolicyError(f"{self.label}: up={self.up} and down={self.down} leave nothing of a budget of {own}")
        return replace(bound, stable=left)

    def g(self, t: IntArray) -> FloatArray:
        up = iterations(self.up)
        fork = up + iterations(self.stable)
        fall = self.cooldown(progress(np.maximum(t - fork, 0), iterations(self.down)))
        return np.where(t < up, progress(t, up), fall)


@register_function
class WSD(WarmupStableDecay):
    """Warmup, stable, decay in a straight line; runs that differ in `down` only share everything before.

    >>> WSD(k0=1, up=10, stable=20, down=10)(35)
    0.5
    """

    formula = "t/up, then 1, then 1-x, x = the share of down that is over"
    code = (
        "stable = steps - up - down if stable is None else stable\n"
        "k1 + (k0 - k1) * (t / up if t < up else 1 - min(max(t - up - stable, 0) / down, 1))"
    )
    source = "Hu et al. 2024, arXiv 2404.06395; linear decay as in Haegele et al. 2024, arXiv 2405.18392"

    def cooldown(self, x: FloatArray) -> FloatArray:
        return 1.0 - x


@register_function
class WSDSQRT(WarmupStableDecay):
    """WSD whose decay falls fast at first: 1 minus a square root.

    >>> WSDSQRT(k0=1, up=10, stable=20, down=16)(34)
    0.5
    """

    formula = "t/up, then 1, then 1-sqrt(x), x = the share of down that is over"
    code = (
        "stable = steps - up - down if stable is None else stable\n"
        "k1 + (k0 - k1) * (t / up if t < up else 1 - min(max(t - up - stable, 0) / down, 1) ** 0.5)"
    )
    source = "Haegele et al. 2024, arXiv 2405.18392"

    def cooldown(self, x: FloatArray) -> FloatArray:
        return 1.0 - np.sqrt(x)


@register_function
class INVSQRT(Decaying):
    """Inverse square root decay: k0 for l iterations, then in proportion to 1/sqrt(t); needs no budget.

    >>> INVSQRT(k0=1, l=100)(400)
    0.5
    """

    formula = "sqrt(l/max(t, l))"
    code = "k1 + (k0 - k1) * (l / max(t, l)) ** 0.5"
    source = "Vaswani et al. 2017, arXiv 1706.03762; without its warmup, as in Raffel et al. 2019, arXiv 1910.10683"
    l: Length = length("until it begins to fall")

    def g(self, t: IntArray) -> FloatArray:
        l = iterations(self.l)
        return np.sqrt(l / np.maximum(t, l))


@register_function
class REX(Decaying):
    """Reflected exponential decay: stays high for long and falls steeply at the end of l iterations; stays there.

    >>> round(REX(k0=1, l=10)(5), 3)
    0.667
    """

    formula = "(1-x)/(1/2+(1-x)/2), x = min(t/l, 1)"
    code = "left = 1 - min(t / l, 1)\nk1 + (k0 - k1) * left / (0.5 + left / 2)"
    source = "Chen et al. 2021, arXiv 2107.04197"
    l: Length = length("until the floor is reached")

    def g(self, t: IntArray) -> FloatArray:
        left = 1.0 - progress(t, iterations(self.l))
        return left / (0.5 + left / 2.0)
