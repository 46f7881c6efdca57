"""LR functions: closed forms with a name and numbers, and the register of all of them."""

from __future__ import annotations

import inspect
import sys
from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, TypeVar

import numpy as np

from lrbench.errors import PolicyError
from lrbench.policy.parameter import build_declared, rate
from lrbench.policy.policy import FloatArray, History, IntArray, Policy, blend
from lrbench.registry import Registry

PAPER = "Wu et al. 2019, arXiv 1908.06477"
LRBENCH = "LRBench, LRBench/lr/LRfunctions.py"


class Named(Policy):
    """A policy that is written `NAME(parameter=value, ...)`; parameters at their default are left out.

    Attributes:
        group: its heading in listings.
        formula: the LR, or g(t) where lr(t) = |k0 - k1| * g(t) + min(k0, k1).
        source: the source of the formula.
    """

    group: ClassVar[str] = ""
    formula: ClassVar[str] = ""
    source: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.label = cls.__name__

    def notation(self) -> str:
        values = ((p, getattr(self, p.name)) for p in self.parameters)
        given = (f"{p.name}={p.kind.text(value)}" for p, value in values if p.required or value != p.default)
        return f"{self.label}({', '.join(given)})"


class Function(Named):
    """A closed-form LR function. A new one is its parameters and `lr(t)`."""

    @abstractmethod
    def lr(self, t: IntArray) -> FloatArray:
        """Compute the LRs of the iterations `t` of a bound policy, [n] -> [n]."""

    def evaluate(self, t: IntArray, history: History) -> FloatArray:
        return self.lr(t)

    @property
    def bounds(self) -> tuple[float, float]:
        ends = [getattr(self, p.name) for p in self.parameters if p.role == "range"]
        return min(ends), max(ends)


class Decaying(Function):
    """A function that falls from k0 towards the floor k1 by its share g(t) in [0, 1]."""

    group = "decaying"
    k0: float = rate("LR at the start")
    k1: float = rate("LR that it falls towards", default=0.0)

    def conflict(self) -> str | None:
        return f"k1, the floor, must be at most k0={self.k0}, not {self.k1}" if self.k1 > self.k0 else None

    @abstractmethod
    def g(self, t: IntArray) -> FloatArray:
        """Compute the share of the range above the floor, [n] in [0, 1]."""

    def lr(self, t: IntArray) -> FloatArray:
        return blend(self.k1, self.k0, self.g(t))


def progress(t: IntArray, l: int) -> FloatArray:
    """Return the share of l iterations that is over at t, at most 1."""
    return np.asarray(np.minimum(t, l) / l, dtype=np.float64)


AnyPolicy = TypeVar("AnyPolicy", bound=type[Named])

FUNCTIONS: Registry[type[Named]] = Registry("LR function", PolicyError)


def register_function(policy_class: AnyPolicy) -> AnyPolicy:
    """Register a class as an LR function, known by its name to text, catalogs, listings and searches.

    Raises:
        PolicyError: it is no `Function`, is abstract, lacks a docstring, group, formula or source, or the name is
            taken.
    """
    if not (isinstance(policy_class, type) and issubclass(policy_class, Named)):
        raise PolicyError(f"register_function takes a subclass of Function, not {policy_class!r}")
    name = policy_class.__name__
    if inspect.isabstract(policy_class):
        missing = ", ".join(sorted(policy_class.__abstractmethods__))
        raise PolicyError(f"{name} lacks {missing}: an LR function needs lr(t)")
    docstring = policy_class.__doc__ if sys.flags.optimize < 2 else "dropped by python -OO"
    texts = {"docstring": docstring, **{n: getattr(policy_class, n) for n in ("group", "formula", "source")}}
    if missing_texts := [what for what, text in texts.items() if not text]:
        raise PolicyError(f"{name} must say what it is: it lacks a {', a '.join(missing_texts)}")
    FUNCTIONS.add(name, policy_class, policy_class.__module__)
    return policy_class


def functions() -> Mapping[str, type[Named]]:
    """Return every registered function by name: the paper's 13 in its order, the LRBench family, modern ones, yours."""
    return FUNCTIONS


def build(name: str, arguments: Mapping[str, object]) -> Named:
    """Build the policy of a function by its name.

    Raises:
        PolicyError: the function or a parameter is unknown, a parameter is missing, or a value is not allowed.
    """
    return build_declared(FUNCTIONS.find(name), "parameter", arguments, PolicyError)
