"""The paper's cyclic functions: TRI, TRI2, TRIEXP, SIN, SIN2, SINEXP, COS."""

from lrbench.policy.function import PAPER, register_function
from lrbench.policy.wave import Cosine, Exponential, Halving, Plain, SineArch, Triangle

SMITH = f"{PAPER}; Smith 2017, arXiv 1506.01186"


@register_function
class TRI(Triangle, Plain):
    """A triangle wave: up and down in straight lines, from the lowest LR.

    >>> TRI(k0=0, k1=1, l=10)(5)
    0.5
    >>> TRI(k0=0, k1=1, l=10)(10)
    1.0
    """

    formula = "(2/pi)*abs(arcsin(sin(pi*t/(2l))))"
    source = SMITH


@register_function
class TRI2(Triangle, Halving):
    """TRI, half as high in each next cycle.

    >>> TRI2(k0=0, k1=1, l=10)(25)
    0.25
    """

    formula = "TRI(t)/2^floor(t/(2l))"
    source = SMITH


@register_function
class TRIEXP(Triangle, Exponential):
    """TRI, lower by gamma every iteration.

    >>> TRIEXP(k0=0, k1=1, gamma=0.5, l=4)(2)
    0.125
    """

    formula = "gamma^t*TRI(t)"
    source = SMITH


@register_function
class SIN(SineArch, Plain):
    """Arches of a sine, from the lowest LR.

    >>> SIN(k0=0, k1=1, l=10)(10)
    1.0
    """

    formula = "abs(sin(pi*t/(2l)))"
    source = PAPER


@register_function
class SIN2(SineArch, Halving):
    """SIN, half as high in each next arch.

    >>> SIN2(k0=0, k1=1, l=10)(30)
    0.5
    """

    formula = "SIN(t)/2^floor(t/(2l))"
    source = PAPER


@register_function
class SINEXP(SineArch, Exponential):
    """SIN, lower by gamma every iteration.

    >>> SINEXP(k0=0, k1=1, gamma=0.5, l=2)(2)
    0.25
    """

    formula = "gamma^t*SIN(t)"
    source = PAPER


@register_function
class COS(Cosine, Plain):
    """A cosine from the highest LR down and smoothly up again.

    Its l is a whole cycle, as in the paper; LRBench's code took half a cycle, which its importer translates.

    >>> COS(k0=0, k1=1, l=10)(5)
    0.0
    >>> COS(k0=0, k1=1, l=10)(10)
    1.0
    """

    formula = "(1+cos(2*pi*t/l))/2"
    source = PAPER
