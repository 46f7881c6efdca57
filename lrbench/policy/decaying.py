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
    """The same LR throughout."""

    group = "fixed"
    formula = "k0"
    source = PAPER
    k0: float = rate("the LR")

    def lr(self, t: IntArray) -> FloatArray:
        return np.full(t.shape, self.k0)


@register_function
class STEP(Decaying):
    """Falls by the factor gamma every l iterations."""

    formula = "gamma^floor(t/l)"
    source = PAPER
    gamma: float = factor("what each step multiplies the LR by")
    l: Length = length("from one step to the next")

    def g(self, t: IntArray) -> FloatArray:
        return np.power(self.gamma, t // iterations(self.l))


@register_function
class NSTEP(Decaying):
    """Falls by the factor gamma at each of the iterations l_0 < l_1 < ..."""

    formula = "gamma^i, i = how many of l_0 < l_1 < ... are <= t"
    source = PAPER
    gamma: float = factor("what each step multiplies the LR by")
    l: Sequence[Length] = lengths("where the steps are, counted from the start")

    def g(self, t: IntArray) -> FloatArray:
        return np.power(self.gamma, np.searchsorted([iterations(step) for step in self.l], t, side="right"))


@register_function
class EXP(Decaying):
    """Falls by the factor gamma every iteration."""

    formula = "gamma^t"
    source = PAPER
    gamma: Rate = decay("what each iteration multiplies the LR by")

    def g(self, t: IntArray) -> FloatArray:
        return np.power(per_iteration(self.gamma), t)


@register_function
class INV(Decaying):
    """Falls like an inverse power of t."""

    formula = "1/(1+t*gamma)^p"
    source = PAPER
    gamma: Rate = slope("how soon it falls", bounds=POSITIVE)
    p: float = number("the power", bounds=POSITIVE, unit="exponent")

    def g(self, t: IntArray) -> FloatArray:
        return np.power(1.0 + t.astype(np.float64) * per_iteration(self.gamma), -self.p)


@register_function
class POLY(Decaying):
    """Falls to the floor over l iterations along a power of what is left; stays there."""

    formula = "(1-t/l)^p, 0 from t = l on"
    source = f"{PAPER}; Caffe"
    p: float = number("the power; 1 is a straight line", bounds=POSITIVE, unit="exponent")
    l: Length = length("until the floor is reached")

    def g(self, t: IntArray) -> FloatArray:
        return np.power(1.0 - progress(t, iterations(self.l)), self.p)
