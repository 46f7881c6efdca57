"""The paper's fixed and decaying functions: FIX, STEP, NSTEP, EXP, INV, POLY."""

from collections.abc import Sequence

import numpy as np

from lrbench.policy.budget import Length, Rate, iterations, per_iteration
from lrbench.policy.function import PAPER, Decaying, Function, progress, register_function
from lrbench.policy.kind import Bounds
from lrbench.policy.parameter import decay, factor, length, lengths, number, rate, slope
from lrbench.policy.policy import FloatArray, IntArray

POSITIVE = Bounds(low=0.0, low_open=True)


@register_function
class FIX(Function):
    """A constant LR.

    >>> FIX(k0=0.1)(500)
    0.1
    """

    group = "fixed"
    formula = "k0"
    code = "k0"
    source = PAPER
    k0: float = rate("the LR")

    def lr(self, t: IntArray) -> FloatArray:
        return np.full(t.shape, self.k0)


@register_function
class STEP(Decaying):
    """A staircase: falls by the factor gamma every l iterations.

    >>> STEP(k0=1, gamma=0.5, l=10)(25)
    0.25
    """

    formula = "gamma^floor(t/l)"
    code = "k1 + (k0 - k1) * gamma ** (t // l)"
    source = PAPER
    gamma: float = factor("what each step multiplies the LR by")
    l: Length = length("from one step to the next")

    def g(self, t: IntArray) -> FloatArray:
        return np.power(self.gamma, t // iterations(self.l))


@register_function
class NSTEP(Decaying):
    """A staircase with steps at given places: falls by the factor gamma at each of l_0 < l_1 < ...

    >>> NSTEP(k0=1, gamma=0.5, l=[10, 30])(30)
    0.25
    """

    formula = "gamma^i, i = how many of l_0 < l_1 < ... are <= t"
    code = "k1 + (k0 - k1) * gamma ** sum(t >= step for step in l)"
    source = PAPER
    gamma: float = factor("what each step multiplies the LR by")
    l: Sequence[Length] = lengths("where the steps are, counted from the start")

    def g(self, t: IntArray) -> FloatArray:
        return np.power(self.gamma, np.searchsorted([iterations(step) for step in self.l], t, side="right"))


@register_function
class EXP(Decaying):
    """Exponential decay: falls by the factor gamma every iteration.

    >>> EXP(k0=1, gamma=0.5)(3)
    0.125
    """

    formula = "gamma^t"
    code = "k1 + (k0 - k1) * gamma**t"
    source = PAPER
    gamma: Rate = decay("what each iteration multiplies the LR by")

    def g(self, t: IntArray) -> FloatArray:
        return np.power(per_iteration(self.gamma), t)


@register_function
class INV(Decaying):
    """Inverse decay: falls like an inverse power of t.

    >>> INV(k0=1, gamma=1, p=2)(1)
    0.25
    """

    formula = "1/(1+t*gamma)^p"
    code = "k1 + (k0 - k1) / (1 + t * gamma) ** p"
    source = PAPER
    gamma: Rate = slope("how soon it falls", bounds=POSITIVE)
    p: float = number("the power", bounds=POSITIVE, unit="exponent")

    def g(self, t: IntArray) -> FloatArray:
        return np.power(1.0 + t.astype(np.float64) * per_iteration(self.gamma), -self.p)


@register_function
class POLY(Decaying):
    """Polynomial decay: falls over l iterations along a power of what is left, and stays at the floor.

    >>> POLY(k0=1, p=2, l=10)(5)
    0.25
    """

    formula = "(1-t/l)^p, 0 from t = l on"
    code = "k1 + (k0 - k1) * (1 - min(t / l, 1)) ** p"
    source = f"{PAPER}; Caffe"
    p: float = number("the power; 1 is a straight line", bounds=POSITIVE, unit="exponent")
    l: Length = length("until the floor is reached")

    def g(self, t: IntArray) -> FloatArray:
        return np.power(1.0 - progress(t, iterations(self.l)), self.p)
