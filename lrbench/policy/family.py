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
)


@register_function
class SIG(Decaying):
    """A sigmoid with its middle at l: falls from k0 for a negative gamma, rises to k0 for a positive one."""

    formula = "1/(1+exp(-gamma*(t-l)))"
    source = f"{LRBENCH}; Caffe"
    gamma: Rate = slope("how steep it is at l", bounds=Bounds())
    l: Length = length("where it is half of k0")

    def g(self, t: IntArray) -> FloatArray:
        # Equal to the formula, and finite for any exponent.
        halves = per_iteration(self.gamma) * (t - iterations(self.l)) / 2.0
        return np.asarray((1.0 + np.tanh(halves)) / 2.0, dtype=np.float64)


class FallingTriangle(Triangle):
    """A triangle that starts at its peak."""

    lead = 1


class FallingSineArch(SineArch):
    """A sine arch that starts at its peak."""

    lead = 1


class FallingCosine(RisingCosine):
    """A cosine of half cycle l that starts at its peak."""

    lead = 1


@register_function
class DTRI(FallingTriangle, Plain):
    """TRI from the highest LR."""

    formula = "TRI(t+l)"
    source = LRBENCH


@register_function
class DTRI2(FallingTriangle, Halving):
    """DTRI, half as high after each trough."""

    formula = "TRI(t+l)/2^floor((t+l)/(2l))"
    source = LRBENCH


@register_function
class DTRIEXP(FallingTriangle, Exponential):
    """DTRI, lower by gamma every iteration."""

    formula = "gamma^t*TRI(t+l)"
    source = LRBENCH


@register_function
class DSIN(FallingSineArch, Plain):
    """SIN from the highest LR."""

    formula = "SIN(t+l)"
    source = LRBENCH


@register_function
class DSIN2(FallingSineArch, Halving):
    """DSIN, half as high after each trough."""

    formula = "SIN(t+l)/2^floor((t+l)/(2l))"
    source = LRBENCH


@register_function
class DSINEXP(FallingSineArch, Exponential):
    """DSIN, lower by gamma every iteration."""

    formula = "gamma^t*SIN(t+l)"
    source = LRBENCH


@register_function
class COS2(FallingCosine, Halving):
    """A cosine from the highest LR, half as high after each trough. Its l is half a cycle, unlike that of COS."""

    formula = "(1+cos(pi*t/l))/2/2^floor((t+l)/(2l))"
    source = LRBENCH


@register_function
class COSEXP(FallingCosine, Exponential):
    """A cosine from the highest LR, lower by gamma every iteration. Its l is half a cycle, unlike that of COS."""

    formula = "gamma^t*(1+cos(pi*t/l))/2"
    source = LRBENCH


@register_function
class UPCOS(RisingCosine, Plain):
    """A cosine from the lowest LR."""

    formula = "(1+cos(pi*(t/l+1)))/2"
    source = LRBENCH


@register_function
class UPCOS2(RisingCosine, Halving):
    """UPCOS, half as high in each next cycle."""

    formula = "UPCOS(t)/2^floor(t/(2l))"
    source = LRBENCH


@register_function
class UPCOSEXP(RisingCosine, Exponential):
    """UPCOS, lower by gamma every iteration."""

    formula = "gamma^t*UPCOS(t)"
    source = LRBENCH


@register_function
class RSW(Sawtooth, Plain):
    """Down in a straight line, restarting at the highest LR every l iterations."""

    formula = "1-frac(t/l)"
    source = LRBENCH


@register_function
class RSW2(Sawtooth, Halving):
    """RSW, half as high after each restart."""

    formula = "RSW(t)/2^floor(t/l)"
    source = LRBENCH


@register_function
class RSWEXP(Sawtooth, Exponential):
    """RSW, lower by gamma every iteration."""

    formula = "gamma^t*RSW(t)"
    source = LRBENCH


@register_function
class SINRSW(SineTooth, Plain):
    """Down along a quarter of a sine, restarting at the highest LR every l iterations."""

    formula = "sin(pi*RSW(t)/2)"
    source = LRBENCH


@register_function
class SINRSW2(SineTooth, Halving):
    """SINRSW, half as high after each restart."""

    formula = "SINRSW(t)/2^floor(t/l)"
    source = LRBENCH


@register_function
class SINRSWEXP(SineTooth, Exponential):
    """SINRSW, lower by gamma every iteration."""

    formula = "gamma^t*SINRSW(t)"
    source = LRBENCH


@register_function
class COSRSW(CosineTooth, Plain):
    """Down along half a cosine, restarting at the highest LR every l iterations."""

    formula = "(1-cos(pi*RSW(t)))/2"
    source = LRBENCH


@register_function
class COSRSW2(CosineTooth, Halving):
    """COSRSW, half as high after each restart."""

    formula = "COSRSW(t)/2^floor(t/l)"
    source = LRBENCH


@register_function
class COSRSWEXP(CosineTooth, Exponential):
    """COSRSW, lower by gamma every iteration."""

    formula = "gamma^t*COSRSW(t)"
    source = LRBENCH
