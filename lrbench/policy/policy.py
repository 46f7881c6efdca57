"""A policy is a value: its learning rate is a pure function of the iteration."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, ClassVar, Self, dataclass_transform, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lrbench.display.names import many
from lrbench.errors import PolicyError
from lrbench.policy.budget import MAX_ITERATIONS, Budget, Length
from lrbench.policy.kind import short_repr
from lrbench.policy.parameter import (
    Parameter,
    check_declared,
    count,
    decay,
    declare,
    factor,
    length,
    lengths,
    number,
    parameters_of,
    rate,
    rest,
    slope,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lrbench.policy.composition import Piecewise, Repeated, Scaled, Warmup

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

History = Sequence[tuple[int, float]]
"""Evaluations, oldest first: (iterations done, validation metric; higher is better)."""

MAX_DEPTH = 50
"""The most policies that may lie inside one another."""

MAX_TEXT = 100_000
"""The longest text of a policy, in characters."""


@dataclass_transform(
    kw_only_default=True,
    frozen_default=True,
    eq_default=False,
    field_specifiers=(rate, length, rest, lengths, decay, slope, factor, number, count, declare),
)
class Policy(ABC):
    """A policy; each subclass is a frozen dataclass of its parameters.

    Equal policies have the same text, compare equal and hash equal, in every process.

    Attributes:
        parameters: the declared parameters, in order.
        label: the name of the class in text and in error messages.
        code: the LR as Python of `t`, `math` and the parameters, whose last line is an expression; empty where none is
            known.
    """

    parameters: ClassVar[tuple[Parameter, ...]] = ()
    label: ClassVar[str] = "policy"
    code: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        dataclass(frozen=True, kw_only=True, eq=False, repr=False)(cls)
        check_declared(cls, PolicyError)
        cls.parameters = parameters_of(cls)
        for parameter in cls.parameters:
            if hasattr(Policy, parameter.name):
                raise PolicyError(
                    f"{cls.__name__}: a parameter cannot be named {parameter.name}, as every policy has it"
                )

    def __post_init__(self) -> None:
        for parameter in self.parameters:
            canonical = parameter.read(self.label, getattr(self, parameter.name))
            object.__setattr__(self, parameter.name, canonical)
        if self.depth > MAX_DEPTH:
            raise PolicyError(f"{self.label}: at most {MAX_DEPTH} policies may lie inside one another")
        conflict = self.conflict()
        if conflict is not None:
            raise PolicyError(f"{self.label}: {conflict}")
        if len(self.text) > MAX_TEXT:
            raise PolicyError(f"{self.label}: a policy's text has at most {MAX_TEXT} characters, not {len(self.text)}")

    def conflict(self) -> str | None:
        """Describe why allowed values do not go together; None where they do."""
        return None

    @abstractmethod
    def evaluate(self, t: IntArray, history: History) -> FloatArray:
        """Compute the LRs of the iterations `t` ([n], each >= 0) of a bound policy, [n]."""

    @property
    @abstractmethod
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest LR that the policy can give."""

    @abstractmethod
    def notation(self) -> str:
        """Write the policy as text that `parse` reads back."""

    @cached_property
    def text(self) -> str:
        """The canonical text: `parse(policy.text) == policy`."""
        return self.notation()

    @cached_property
    def key(self) -> str:
        """A canonical hash of the policy, 32 hexadecimal digits, the same in every process and on every machine."""
        return blake2b(self.text.encode(), digest_size=16).hexdigest()

    @cached_property
    def parts(self) -> tuple[Policy, ...]:
        """The policies directly inside this one."""
        return tuple(part for p in self.parameters if p.role == "part" for part in p.kind.parts(getattr(self, p.name)))

    @cached_property
    def depth(self) -> int:
        """The number of policies that lie inside one another, this one included."""
        return 1 + max((part.depth for part in self.parts), default=0)

    @property
    def reacts(self) -> bool:
        """Whether the LRs depend on the evaluations so far."""
        return any(part.reacts for part in self.parts)

    @cached_property
    def relative(self) -> tuple[str, ...]:
        """The lengths and rates that are relative to a budget, as `name=text`."""
        own = (f"{p.name}={text}" for p in self.parameters for text in p.kind.relative(getattr(self, p.name)))
        return (*own, *(text for part in self.parts for text in part.relative))

    @property
    def is_bound(self) -> bool:
        """Whether every length is in iterations and every rate per iteration."""
        return not self.relative

    @property
    def ends(self) -> float:
        """The iterations of a bound policy that have an LR of their own; infinite unless a table is in it."""
        return min((part.ends for part in self.parts), default=math.inf)

    def bind(
        self, steps: int, steps_per_epoch: int, tokens_per_step: int | None = None, parameters: int | None = None
    ) -> Self:
        """Bind the policy to a run of `steps` iterations, `steps_per_epoch` of them an epoch.

        Lengths in tokens need the tokens of an iteration, and those in tokens a parameter the model's parameters.
        Portable lengths become iterations (rounded to the nearest, halves up), portable rates become rates per
        iteration (not rounded). A bound policy binds to itself.

        Raises:
            PolicyError: a length comes to no iterations or is in tokens that are not given, the bound lengths do not go
                together, or a table has fewer LRs than the run has iterations.
        """
        return self.for_run(Budget(steps, steps_per_epoch, tokens_per_step, parameters))

    def for_run(self, budget: Budget) -> Self:
        """Bind the policy to a run of a `Budget`, as `bind` does."""
        bound = self if self.is_bound else self.bind_to(budget)
        if bound.ends < budget.steps:
            known = many(int(bound.ends), "iteration")
            raise PolicyError(
                f"{short_repr(self)} has LRs for {known}, and the budget has {budget.steps:,}: "
                "give one for each, or spread them over any budget by POLYLINE(values=[...], l=1dur)"
            )
        return bound

    def bound_value(self, name: str, budget: Budget) -> Any:
        """Return the value of a parameter, bound to a `Budget`."""
        (parameter,) = (one for one in self.parameters if one.name == name)
        return parameter.bind(self.label, getattr(self, name), budget)

    def bind_to(self, budget: Budget) -> Self:
        """Bind the policy to a `Budget`."""
        values = {p.name: p.bind(self.label, getattr(self, p.name), budget) for p in self.parameters}
        try:
            return type(self)(**values)
        except PolicyError as error:
            waiting = ", ".join(self.relative[:3])
            raise PolicyError(f"{error}, which {waiting} comes to in a budget of {budget}") from None

    @overload
    def __call__(self, t: int) -> float: ...

    @overload
    def __call__(self, t: ArrayLike) -> float | FloatArray: ...

    def __call__(self, t: ArrayLike) -> float | FloatArray:
        """Return the LR of iteration `t` (0-based): a float for an int, float64 of the same shape for an array.

        Raises:
            PolicyError: `t` is negative or not whole, or the policy is not bound, or it reacts to evaluations.
        """
        if self.reacts:
            raise PolicyError(f"{short_repr(self)} reacts to evaluations: ask for lrs(start, stop, history)")
        steps = _iterations(t)
        lrs = self._evaluate_bound(steps.ravel(), ()).reshape(steps.shape)
        return float(lrs) if lrs.ndim == 0 else lrs

    def lrs(self, start: int, stop: int, history: History = ()) -> FloatArray:
        """Return the LRs of the iterations start, ..., stop-1, float64 [stop-start].

        A closed-form policy ignores `history`. A reactive one uses the evaluations at or before each iteration, so that
        its LRs are known up to the next evaluation.

        Raises:
            PolicyError: start > stop or one is negative, or the policy is not bound.
        """
        if not 0 <= start <= stop <= MAX_ITERATIONS:
            raise PolicyError(f"lrs(start, stop) needs 0 <= start <= stop, not start={start} and stop={stop}")
        return self._evaluate_bound(np.arange(start, stop, dtype=np.int64), history)

    def _evaluate_bound(self, t: IntArray, history: History) -> FloatArray:
        if self.relative:
            raise PolicyError(
                f"{self.label} has parts that depend on the budget ({', '.join(self.relative[:3])}): "
                "call bind(steps, steps_per_epoch) first"
            )
        with np.errstate(over="ignore", under="ignore"):
            return self.evaluate(t, history)

    def then(self, policy: Policy, at: Length) -> Piecewise:
        """Follow this policy by another one from `at` on, which counts its iterations from its own start."""
        from lrbench.policy.composition import Piecewise

        return Piecewise(policies=(self, policy), at=(at,))

    def warmup(self, length: Length, start: float = 0.0) -> Warmup:
        """Lead this policy in by a linear ramp from the LR `start` over its first `length`."""
        from lrbench.policy.composition import Warmup

        return Warmup(policy=self, length=length, start=start)

    def scaled(self, factor: float) -> Scaled:
        """Multiply every LR of this policy by `factor`."""
        from lrbench.policy.composition import Scaled

        return Scaled(policy=self, factor=factor)

    def repeated(self, every: Length) -> Repeated:
        """Repeat this policy's first `every` iterations."""
        from lrbench.policy.composition import Repeated

        return Repeated(policy=self, every=every)

    def __mul__(self, factor: float) -> Scaled:
        return self.scaled(factor)

    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Policy):
            return NotImplemented
        return type(self) is type(other) and self.text == other.text

    def __hash__(self) -> int:
        return int(self.key[:15], 16)

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        from lrbench.policy.curve import policy_html

        return policy_html(self)

    def plot(self, steps: int = 1000, steps_per_epoch: int = 50, *, log: bool = False) -> Figure:
        """Draw the LR of each iteration of a run as a matplotlib figure, which a notebook shows.

        Args:
            steps: the iterations of the run, to which the policy is bound.
            steps_per_epoch: those of an epoch.
            log: a logarithmic axis of LRs.

        Raises:
            PolicyError: the policy does not fit the run, or reacts to evaluations.
        """
        from lrbench.policy.curve import FIGURES

        lrs = self.bind(steps, steps_per_epoch)(np.arange(steps))
        return FIGURES["lr"]({self.text: np.asarray(lrs)}, log=log)

    def __getstate__(self) -> dict[str, object]:
        return {parameter.name: getattr(self, parameter.name) for parameter in self.parameters}


def blend(low: FloatArray | float, high: FloatArray | float, share: FloatArray) -> FloatArray:
    """Interpolate from `low`, where `share` is 0, to `high`, where it is 1; exact at both ends, never outside."""
    mixed = low * (1.0 - share) + high * share
    return np.asarray(np.clip(mixed, np.minimum(low, high), np.maximum(low, high)), dtype=np.float64)


def _iterations(t: ArrayLike) -> IntArray:
    steps = np.asarray(t)
    if steps.dtype.kind not in "iu":
        raise PolicyError(f"iterations are whole numbers of at least 0, not {short_repr(t)}")
    if steps.size and (steps.min() < 0 or steps.max() > MAX_ITERATIONS):
        raise PolicyError(f"iterations are whole numbers of at least 0, not {steps.min()} to {steps.max()}")
    return np.ascontiguousarray(steps, dtype=np.int64).reshape(steps.shape)
