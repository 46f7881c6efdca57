"""Shapes and heights of the cyclic functions.

A cyclic function is one shape (`Triangle`, `SineArch`, `Sawtooth`, ...) and one height: `Plain` (the same in every
cycle), `Halving` (half in each next cycle), or `Exponential` (times gamma every iteration).
The position in the cycle is taken by integer arithmetic, so that every cycle has the same bits.
"""

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from lrbench.policy.budget import Length, Rate, iterations, per_iteration
from lrbench.policy.function import Function
from lrbench.policy.parameter import decay, length, rate
from lrbench.policy.policy import FloatArray, IntArray, blend


class Wave(Function):
    """A function that moves between k0 and k1 by its share g(t) in [0, 1].

    Attributes:
        lengths_per_cycle: the multiple of l that makes a whole cycle.
        lead: the multiple of l by which the wave is ahead at t = 0.
    """

    group = "cyclic"
    lengths_per_cycle: ClassVar[int] = 1
    lead: ClassVar[int] = 0
    code = (
        "cycle, x = divmod({self.start_code} / {self.cycle_code}, 1)\n"
        "k0 + (k1 - k0) * {self.shape_code}{self.height_code}"
    )
    start_code: ClassVar[str] = "t"
    cycle_code: ClassVar[str] = "l"
    shape_code: ClassVar[str] = ""
    height_code: ClassVar[str] = ""
    k0: float = rate("the lowest LR")
    k1: float = rate("the highest LR")

    def conflict(self) -> str | None:
        return f"k1 must be greater than k0={self.k0}, not {self.k1}" if self.k1 <= self.k0 else None

    @abstractmethod
    def shape(self, x: FloatArray) -> FloatArray:
        """Compute the height in [0, 1] at the position x in [0, 1) of a cycle."""

    @abstractmethod
    def height(self, t: IntArray, cycle: IntArray) -> FloatArray | float:
        """Compute the factor of the wave's height at iteration t, in the cycle of that number."""

    @abstractmethod
    def iterations_per_length(self) -> int:
        """Return l, bound."""

    def g(self, t: IntArray) -> FloatArray:
        l = self.iterations_per_length()
        period = self.lengths_per_cycle * l
        cycle, position = np.divmod(t + self.lead * l, period)
        return self.shape(position / period) * self.height(t, cycle)

    def lr(self, t: IntArray) -> FloatArray:
        return blend(self.k0, self.k1, self.g(t))


class Plain(Wave):
    """The same height in every cycle."""

    def height(self, t: IntArray, cycle: IntArray) -> FloatArray | float:
        return 1.0


class Halving(Wave):
    """Half the height in each next cycle."""

    height_code = " * 0.5**cycle"

    def height(self, t: IntArray, cycle: IntArray) -> FloatArray | float:
        return np.power(0.5, cycle)


class Exponential(Wave):
    """gamma times the height in each next iteration."""

    height_code = " * gamma**t"
    gamma: Rate = decay("what each iteration multiplies the height by")

    def height(self, t: IntArray, cycle: IntArray) -> FloatArray | float:
        return np.power(per_iteration(self.gamma), t)


class HalfCycleWave(Wave):
    """A wave whose l is half a cycle: from the lowest to the highest LR, or back."""

    lengths_per_cycle = 2
    cycle_code = "(2 * l)"
    l: Length = length("half a cycle")

    def iterations_per_length(self) -> int:
        return iterations(self.l)


class WholeCycleWave(Wave):
    """A wave whose l is a whole cycle."""

    l: Length = length("a whole cycle")

    def iterations_per_length(self) -> int:
        return iterations(self.l)


class Triangle(HalfCycleWave):
    """Up and down in straight lines."""

    shape_code = "(1 - abs(2 * x - 1))"

    def shape(self, x: FloatArray) -> FloatArray:
        return 1.0 - np.abs(2.0 * x - 1.0)


class SineArch(HalfCycleWave):
    """Half a sine: steep at the lowest LR, round at the highest."""

    shape_code = "math.sin(math.pi * x)"

    def shape(self, x: FloatArray) -> FloatArray:
        return np.sin(np.pi * x)


class RisingCosine(HalfCycleWave):
    """A whole cosine from trough to trough: round at both ends."""

    shape_code = "(1 - math.cos(2 * math.pi * x)) / 2"

    def shape(self, x: FloatArray) -> FloatArray:
        return (1.0 - np.cos(2.0 * np.pi * x)) / 2.0


class Cosine(WholeCycleWave):
    """A whole cosine from peak to peak."""

    shape_code = "(1 + math.cos(2 * math.pi * x)) / 2"

    def shape(self, x: FloatArray) -> FloatArray:
        return (1.0 + np.cos(2.0 * np.pi * x)) / 2.0


class Sawtooth(WholeCycleWave):
    """Down in a straight line, and back to the peak at once."""

    shape_code = "(1 - x)"

    def shape(self, x: FloatArray) -> FloatArray:
        return 1.0 - x


class SineTooth(WholeCycleWave):
    """Down along a quarter of a sine, and back to the peak at once."""

    shape_code = "math.sin(math.pi * (1 - x) / 2)"

    def shape(self, x: FloatArray) -> FloatArray:
        return np.sin(np.pi * (1.0 - x) / 2.0)


class CosineTooth(WholeCycleWave):
    """Down along half a cosine, and back to the peak at once."""

    shape_code = "(1 - math.cos(math.pi * (1 - x))) / 2"

    def shape(self, x: FloatArray) -> FloatArray:
        return (1.0 - np.cos(np.pi * (1.0 - x))) / 2.0
