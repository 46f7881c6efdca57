"""The other 21 functions of the LRBench code: SIG, waves that start at the top, cosines, sawtooth restarts."""

import numpy as np

from lrbench.policy.budget import Length, Rate, iterations, per_iteration
from lrbench.policy.function import LRBENCH, Decaying, register_function
from lrbench.policy.kind import Bounds
from lrbench.policy.parameter import length, slope
from lrbench.policy.policy import FloatArray, IntArray
from lrbench.policy.wave import (
    CosineTooth,
    Exponential,
    Halving,
    Plain,
    RisingCosine,
    Sawtooth,
    SineArch,
    SineTooth,
    Triangle,
    Wave,
)


@register_function
class SIG(Decaying):
    """A sigmoid with its middle at l: falls from k0 for a negative gamma, rises to k0 for a positive one.

    >>> SIG(k0=1, gamma=-1, l=10)(10)
    0.5
    """

    formula = "1/(1+exp(-gamma*(t-l)))"
    code = "k1 + (k0 - k1) * (1 + math.tanh(gamma * (t - l) / 2)) / 2"
    source = f"{LRBENCH}; Caffe"
    gamma: Rate = slope("how steep it is at l", bounds=Bounds())
    l: Length = length("where it is half of k0")

    def g(self, t: IntArray) -> FloatArray:
        # Equal to the formula, and finite for any exponent.
        halves = per_iteration(self.gamma) * (t - iterations(self.l)) / 2.0
        return np.asarray((1.0 + np.tanh(halves)) / 2.0, dtype=np.float64)


class Falling(Wave):
    """A wave that starts at its peak."""

    lead = 1
    start_code = "(t + l)"


@register_function
class DTRI(Falling, Triangle, Plain):
    """TRI from the highest LR.

    >>> DTRI(k0=0, k1=1, l=10)(10)
    0.0
    """

    formula = "TRI(t+l)"
    source = LRBENCH


@register_function
class DTRI2(Falling, Triangle, Halving):
    """DTRI, half as high after each trough.

    >>> DTRI2(k0=0, k1=1, l=10)(15)
    0.25
    """

    formula = "TRI(t+l)/2^floor((t+l)/(2l))"
    source = LRBENCH


@register_function
class DTRIEXP(Falling, Triangle, Exponential):
    """DTRI, lower by gamma every iteration.

    >>> DTRIEXP(k0=0, k1=1, gamma=0.5, l=4)(2)
    0.125
    """

    formula = "gamma^t*TRI(t+l)"
    source = LRBENCH


@register_function
class DSIN(Falling, SineArch, Plain):
    """SIN from the highest LR.

    >>> DSIN(k0=0, k1=1, l=10)(10)
    0.0
    """

    formula = "SIN(t+l)"
    source = LRBENCH


@register_function
class DSIN2(Falling, SineArch, Halving):
    """DSIN, half as high after each trough.

    >>> DSIN2(k0=0, k1=1, l=10)(20)
    0.5
    """

    formula = "SIN(t+l)/2^floor((t+l)/(2l))"
    source = LRBENCH


@register_function
class DSINEXP(Falling, SineArch, Exponential):
    """DSIN, lower by gamma every iteration.

    >>> DSINEXP(k0=0, k1=1, gamma=0.5, l=2)(4)
    0.0625
    """

    formula = "gamma^t*SIN(t+l)"
    source = LRBENCH


@register_function
class COS2(Falling, RisingCosine, Halving):
    """A cosine from the highest LR, half as high after each trough. Its l is half a cycle, unlike that of COS.

    >>> COS2(k0=0, k1=1, l=10)(20)
    0.5
    """

    formula = "(1+cos(pi*t/l))/2/2^floor((t+l)/(2l))"
    source = LRBENCH


@register_function
class COSEXP(Falling, RisingCosine, Exponential):
    """A cosine from the highest LR, lower by gamma every iteration. Its l is half a cycle, unlike that of COS.

    >>> COSEXP(k0=0, k1=1, gamma=0.5, l=2)(4)
    0.0625
    """

    formula = "gamma^t*(1+cos(pi*t/l))/2"
    source = LRBENCH


@register_function
class UPCOS(RisingCosine, Plain):
    """A cosine from the lowest LR.

    >>> UPCOS(k0=0, k1=1, l=10)(10)
    1.0
    """

    formula = "(1+cos(pi*(t/l+1)))/2"
    source = LRBENCH


@register_function
class UPCOS2(RisingCosine, Halving):
    """UPCOS, half as high in each next cycle.

    >>> UPCOS2(k0=0, k1=1, l=10)(30)
    0.5
    """

    formula = "UPCOS(t)/2^floor(t/(2l))"
    source = LRBENCH


@register_function
class UPCOSEXP(RisingCosine, Exponential):
    """UPCOS, lower by gamma every iteration.

    >>> UPCOSEXP(k0=0, k1=1, gamma=0.5, l=2)(2)
    0.25
    """

    formula = "gamma^t*UPCOS(t)"
    source = LRBENCH


@register_function
class RSW(Sawtooth, Plain):
    """Sawtooth restarts: down in a straight line, restarting at the highest LR every l iterations.

    >>> RSW(k0=0, k1=1, l=10)(5)
    0.5
    """

    formula = "1-frac(t/l)"
    source = LRBENCH


@register_function
class RSW2(Sawtooth, Halving):
    """RSW, half as high after each restart.

    >>> RSW2(k0=0, k1=1, l=10)(15)
    0.25
    """

    formula = "RSW(t)/2^floor(t/l)"
    source = LRBENCH


@register_function
class RSWEXP(Sawtooth, Exponential):
    """RSW, lower by gamma every iteration.

    >>> RSWEXP(k0=0, k1=1, gamma=0.5, l=4)(2)
    0.125
    """

    formula = "gamma^t*RSW(t)"
    source = LRBENCH


@register_function
class SINRSW(SineTooth, Plain):
    """Sine restarts: down along a quarter of a sine, restarting at the highest LR every l iterations.

    >>> round(SINRSW(k0=0, k1=1, l=3)(2), 3)
    0.5
    """

    formula = "sin(pi*RSW(t)/2)"
    source = LRBENCH


@register_function
class SINRSW2(SineTooth, Halving):
    """SINRSW, half as high after each restart.

    >>> SINRSW2(k0=0, k1=1, l=10)(10)
    0.5
    """

    formula = "SINRSW(t)/2^floor(t/l)"
    source = LRBENCH


@register_function
class SINRSWEXP(SineTooth, Exponential):
    """SINRSW, lower by gamma every iteration.

    >>> SINRSWEXP(k0=0, k1=1, gamma=0.5, l=2)(2)
    0.25
    """

    formula = "gamma^t*SINRSW(t)"
    source = LRBENCH


@register_function
class COSRSW(CosineTooth, Plain):
    """Cosine restarts: down along half a cosine, restarting at the highest LR every l iterations.

    >>> round(COSRSW(k0=0, k1=1, l=10)(5), 3)
    0.5
    """

    formula = "(1-cos(pi*RSW(t)))/2"
    source = LRBENCH


@register_function
class COSRSW2(CosineTooth, Halving):
    """COSRSW, half as high after each restart.

    >>> COSRSW2(k0=0, k1=1, l=10)(10)
    0.5
    """

    formula = "COSRSW(t)/2^floor(t/l)"
    source = LRBENCH


@register_function
class COSRSWEXP(CosineTooth, Exponential):
    """COSRSW, lower by gamma every iteration.

    >>> COSRSWEXP(k0=0, k1=1, gamma=0.5, l=2)(2)
    0.25
    """

    formula = "gamma^t*COSRSW(t)"
    source = LRBENCH
