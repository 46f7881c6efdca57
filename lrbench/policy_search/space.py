"""The pairs of policy and setting that a search may try, from the parameters that LR functions declare.

Which numbers a policy has depends on its function, so the space is conditional: a function's numbers are chosen once
the function is. What a number may be follows from its declaration (`lrbench.policy.parameter`), so that a function of
the user's own is searched like any other:

    the highest LR      log-uniform over the space's `lr`, one number for all functions
    the other LRs       left at their default, else a share of the highest one, log-uniform from 0.001 to 0.5
    one length          a fraction of the budget, uniform from 0.05 to 1
    several lengths     shares of the budget that add up to it, in the order of their declaration
    a list of lengths   one to three, which cut the budget
    a factor a step     log-uniform from 0.05 to 0.9
    a decay             what is left of the LR after the whole budget, log-uniform from 0.0001 to 0.5
    a slope             over the whole budget, log-uniform from 1 to 1000, or uniform from -50 to 50 where it has a sign
    any other number    left at its default, else log-uniform from 1/4 to 4, or uniform within its bounds

Which LR is the highest is found out by building the function with each of them as the highest. A number that several
functions inherit from one declaration, such as the length of all waves, is one dimension of the search, so that what
is learnt of it with one function is known of the others.

Axes are settings of the task that are chosen beside the policy, from the domains that are given.

All lengths are fractions of the budget, so that a policy is the same shape at every budget.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Any

from lrbench.errors import PolicyError, StudyError, did_you_mean, unknown_name
from lrbench.policy import Parameter, Piecewise, Policy, catalog, catalogs, functions
from lrbench.policy.function import Named, build
from lrbench.policy.kind import Bounds, DecayRate, LengthKind, LengthsKind, NumberKind, RestKind, SlopeRate, WholeKind
from lrbench.policy_search.domain import Between, Chooser, Domain, OneOf, rounded

Pair = tuple[Policy, Mapping[str, Any]]
"""A policy, and the settings of the task at which it is trained, by name."""

LR_SHARE = Between(1e-3, 0.5, log=True)
"""Of the highest LR: another LR of the policy."""

LENGTH = Between(0.05, 1.0)
"""Of the budget, or of the stage: a length that is alone."""

SEVERAL = Between(0.05, 1.0)
"""The weights by which several lengths share the budget or the stage."""

MOST_CUTS = 3
FACTOR = Between(0.05, 0.9, log=True)
"""Of its upper bound: a number between 0 and a bound."""

LEFT = Between(1e-4, 0.5, log=True)
STEEPNESS = Between(1.0, 1000.0, log=True)
SIGNED_STEEPNESS = Between(-50.0, 50.0)
EXPONENT = Between(0.25, 4.0, log=True)
START = Between(0.1, 0.9)
"""Of what is left of the budget: where the next stage begins."""

MOST_STAGES = 3
SHORTEST = 0.01
"""No length is a smaller fraction of the budget."""


@dataclass(frozen=True)
class Space:
    """A set of policies, and of settings at which they are trained.

    Attributes:
        functions: the names of the LR functions.
        lr: what the highest LR of a policy, or of a stage of it, may be; None waits for a range test.
        narrowed: by function and parameter, a domain in place of the declaration's.
        stages: of how many functions, one after the other, a policy may be made.
        warmup: the fraction of the budget over which the LR rises from 0; None for no warmup.
        levels: the number of evenly spaced values that every range is reduced to; None for all.
        axes: settings of the task, as of a `Study`, with the domain of each.

    Raises:
        StudyError: the space is empty, or narrows a function or a parameter that is not there.
    """

    functions: tuple[str, ...]
    lr: Between | None
    narrowed: Mapping[str, Mapping[str, Domain]] = field(default_factory=dict)
    stages: tuple[int, ...] = (1,)
    warmup: Between | None = None
    levels: int | None = None
    axes: Mapping[str, Domain] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.functions:
            raise StudyError("the space has no functions: name at least one")
        if self.lr is not None and not 0 < self.lr.low <= self.lr.high < math.inf:
            ends = f"from {self.lr.low} to {self.lr.high}"
            raise StudyError(f"the space's lr must go from a positive number to a higher one, not {ends}")
        if not self.stages or not set(self.stages) <= set(range(1, MOST_STAGES + 1)):
            raise StudyError(f"the space's stages must be numbers from 1 to {MOST_STAGES}, not {list(self.stages)}")
        if self.warmup is not None and not 0 < self.warmup.low <= self.warmup.high < 1:
            raise StudyError("the space's warmup must be a fraction of the budget between 0 and 1")
        if self.levels is not None and self.levels < 2:
            raise StudyError(f"the space's levels must be at least 2, not {self.levels}")
        for name, domains in self.narrowed.items():
            if name not in self.functions:
                hint = did_you_mean(name, self.functions)
                raise StudyError(f"the space narrows {name}, which is not among its functions{hint}")
            known = [parameter.name for parameter in functions()[name].parameters]
            for given in domains:
                if given not in known:
                    hint = did_you_mean(given, known)
                    raise StudyError(f"{name} has no parameter '{given}'{hint}: it takes {', '.join(known)}")
        for name in self.functions:
            self._shapes[name].check()

    @cached_property
    def _shapes(self) -> Mapping[str, Shape]:
        return {name: Shape(functions()[name], self.narrowed.get(name, {})) for name in self.functions}

    def pair(self, chooser: Chooser) -> Pair:
        """Make the policy and the settings of a chooser's choices.

        Raises:
            PolicyError: the numbers, each of them allowed, do not go together.
        """
        policy = self.policy(chooser)
        return policy, {name: domain.choose(chooser, name, self.levels) for name, domain in self.axes.items()}

    def policy(self, chooser: Chooser) -> Policy:
        """Make the policy of a chooser's choices.

        Raises:
            PolicyError: the numbers, each of them allowed, do not go together.
        """
        count = OneOf(self.stages).choose(chooser, "stages", None)
        starts = [0.0]
        for stage in range(2, count + 1):
            left = 1.0 - starts[-1]
            starts.append(rounded(starts[-1] + left * START.choose(chooser, f"{stage}.at", self.levels)))
        spans = [stop - start for start, stop in zip(starts, [*starts[1:], 1.0], strict=True)]
        parts = [self.part(chooser, "" if stage == 1 else f"{stage}.", span) for stage, span in enumerate(spans, 1)]
        policy = parts[0] if count == 1 else Piecewise(policies=parts, at=[fraction(start) for start in starts[1:]])
        return self._warmed(chooser, policy)

    def part(self, chooser: Chooser, prefix: str, span: float) -> Policy:
        """Make one function for a stage that is `span` of the budget.

        Raises:
            PolicyError: the numbers, each of them allowed, do not go together.
        """
        if self.lr is None:
            raise StudyError("the space's lr is not known yet: a range test has to find it")
        name = OneOf(self.functions).choose(chooser, f"{prefix}function", None)
        shape = self._shapes[name]
        own = None if shape.peak is None else shape.narrowed.get(shape.peak)
        if own is None:
            peak = self.lr.choose(chooser, f"{prefix}lr", self.levels)
        else:
            peak = own.choose(chooser, f"{prefix}{name}.{shape.peak}", self.levels)
        return shape.policy(chooser, prefix, peak, span, self.levels)

    def to_json(self) -> dict[str, Any]:
        """Return what makes two spaces the same."""
        return {
            "functions": list(self.functions),
            "lr": "auto" if self.lr is None else self.lr.to_json(),
            "narrowed": {
                name: {key: domain.to_json() for key, domain in domains.items()}
                for name, domains in self.narrowed.items()
            },
            "stages": list(self.stages),
            "warmup": None if self.warmup is None else self.warmup.to_json(),
            "levels": self.levels,
            **({"axes": {name: domain.to_json() for name, domain in self.axes.items()}} if self.axes else {}),
        }

    def _warmed(self, chooser: Chooser, policy: Policy) -> Policy:
        if self.warmup is None or not chooser.suggest_categorical("warmup", (False, True)):
            return policy
        return policy.warmup(fraction(self.warmup.choose(chooser, "warmup.length", self.levels)))


@dataclass(frozen=True)
class Shape:
    """One function of a space: how its numbers are chosen."""

    function: type[Named]
    narrowed: Mapping[str, Domain]

    @property
    def name(self) -> str:
        return self.function.__name__

    @cached_property
    def peak(self) -> str | None:
        """The parameter that is the highest LR; None where the function has none."""
        rates = [parameter for parameter in self.function.parameters if parameter.role == "range"]
        candidates = [rate.name for rate in rates if rate.required] or [rate.name for rate in rates]
        for candidate in candidates:
            others = {name: 0.1 for name in candidates if name != candidate}
            try:
                build(self.name, {**self._examples(), **others, candidate: 1.0})
            except PolicyError:
                continue
            return candidate
        if candidates:
            raise StudyError(f"{self.name} cannot be searched: whichever of its LRs is the highest, it is not allowed")
        return None

    def check(self) -> None:
        """Refuse a function that cannot be searched.

        Raises:
            StudyError: why not.
        """
        _ = self.peak
        for parameter in self._chosen():
            domain_of(self.name, parameter)

    def policy(self, chooser: Chooser, prefix: str, peak: float, span: float, levels: int | None) -> Policy:
        """Make the function with chosen numbers, for a stage that is `span` of the budget.

        Raises:
            PolicyError: the numbers do not go together.
        """
        values: dict[str, Any] = {} if self.peak is None else {self.peak: peak}
        for parameter in self.function.parameters:
            if parameter.name in self.narrowed and parameter.name != self.peak:
                key = f"{prefix}{self.name}.{parameter.name}"
                value = self.narrowed[parameter.name].choose(chooser, key, levels)
                values[parameter.name] = spanned(parameter, value, span)
        lengths = [parameter for parameter in self._chosen() if isinstance(parameter.kind, LengthKind)]
        if len(lengths) > 1:
            keys = [self._key(prefix, parameter) for parameter in lengths]
            weights = [SEVERAL.choose(chooser, key, levels) for key in keys]
            shares = [span * weight / sum(weights) for weight in weights]
            values |= {one.name: fraction(share) for one, share in zip(lengths, shares, strict=True)}
        for parameter in self._chosen():
            if parameter.name in values:
                continue
            key = self._key(prefix, parameter)
            if isinstance(parameter.kind, LengthsKind):
                values[parameter.name] = _cuts(chooser, key, span, levels)
                continue
            value = domain_of(self.name, parameter).choose(chooser, key, levels)
            if parameter.role == "range":
                values[parameter.name] = rounded(value * values[str(self.peak)])
            else:
                values[parameter.name] = spanned(parameter, value, span)
        return build(self.name, values)

    def _chosen(self) -> Iterator[Parameter]:
        """Yield the parameters whose domain is that of their declaration: searched, and not narrowed."""
        for parameter in self.function.parameters:
            if is_searched(parameter) and parameter.name != self.peak and parameter.name not in self.narrowed:
                yield parameter

    def _key(self, prefix: str, parameter: Parameter) -> str:
        """Return the name of a dimension: the class that declares the parameter, and the parameter."""
        for base in self.function.__mro__:
            if parameter.name in inspect.get_annotations(base):
                return f"{prefix}{base.__name__}.{parameter.name}"
        return f"{prefix}{self.name}.{parameter.name}"

    def _examples(self) -> dict[str, Any]:
        """Return a value for each parameter that needs one, but for LRs."""
        values: dict[str, Any] = {}
        for parameter in self.function.parameters:
            if not is_searched(parameter) or parameter.role == "range":
                continue
            if isinstance(parameter.kind, LengthsKind):
                values[parameter.name] = ["0.5dur"]
                continue
            domain = self.narrowed.get(parameter.name) or domain_of(self.name, parameter)
            example = domain.high if isinstance(domain, Between) else domain.values[0]
            values[parameter.name] = spanned(parameter, example, 1.0)
        return values


def is_searched(parameter: Parameter) -> bool:
    """Return whether a search chooses a parameter: it has no default, or what other lengths leave of the budget."""
    return parameter.required or isinstance(parameter.kind, RestKind)


def domain_of(function: str, parameter: Parameter) -> Domain:
    """Return the domain of a parameter by its declaration: an LR as a share of the highest, a length of the budget.

    Raises:
        StudyError: the declaration gives none.
    """
    match parameter.kind:
        case NumberKind() if parameter.role == "range":
            return LR_SHARE
        case LengthKind():
            return LENGTH
        case LengthsKind():
            return Between(1, MOST_CUTS, whole=True)
        case DecayRate():
            return LEFT
        case SlopeRate(bounds=bounds):
            return STEEPNESS if bounds.low >= 0 else SIGNED_STEEPNESS
        case WholeKind(bounds=bounds) if math.isfinite(bounds.high):
            return Between(bounds.low, bounds.high, whole=True)
        case NumberKind(bounds=bounds) if math.isfinite(bounds.low):
            return _numbers(bounds)
    raise StudyError(
        f"{function} cannot be searched as it is: nothing says what its {parameter.name} should be tried as, "
        f"so give [space.{function}] {parameter.name}"
    )


def spanned(parameter: Parameter, value: Any, span: float) -> Any:
    """Rescale a number, or a value for the whole budget, to a stage that is `span` of the budget."""
    kind = parameter.kind
    if isinstance(kind, LengthKind):
        return fraction(_share(value) * span)
    if isinstance(kind, LengthsKind):
        return [fraction(_share(one) * span) for one in value]
    if isinstance(kind, DecayRate | SlopeRate):
        number, _, length = value.partition(" per ") if isinstance(value, str) else (value, "", 1.0)
        return f"{float(number)} per {fraction(_share(length) * span)}"
    return value


def _share(length: float | str) -> float:
    return float(length.removesuffix("dur")) if isinstance(length, str) else length


def fraction(share: float) -> str:
    """Write a fraction of the budget as a length."""
    return f"{rounded(max(share, SHORTEST))}dur"


def function_names(wanted: Iterable[str]) -> tuple[str, ...]:
    """List the functions of these names, and those of the policies in catalogs of these names, each once.

    Raises:
        StudyError: there is neither a function nor a catalog of a name.
    """
    names: dict[str, None] = {}
    for name in wanted:
        if name in functions():
            names[name] = None
        elif name in catalogs():
            found = [type(entry.policy) for entry in catalog(name).values()]
            names |= {
                one.__name__: None
                for one in found
                if issubclass(one, Named) and all(parameter.role != "part" for parameter in one.parameters)
            }
        else:
            raise StudyError(unknown_name("LR function or catalog", name, [*functions(), *catalogs()]))
    return tuple(names)


def _cuts(chooser: Chooser, key: str, span: float, levels: int | None) -> list[str]:
    """Choose one to three increasing lengths that cut a span of the budget."""
    count = chooser.suggest_int(f"{key}.count", 1, MOST_CUTS)
    weights = [SEVERAL.choose(chooser, f"{key}.{count}.{place}", levels) for place in range(count + 1)]
    return [fraction(span * position / sum(weights)) for position in list(accumulate(weights))[:-1]]


def _numbers(bounds: Bounds) -> Between:
    if math.isfinite(bounds.high):
        if bounds.low == 0 and bounds.low_open:
            return Between(FACTOR.low * bounds.high, FACTOR.high * bounds.high, log=True)
        return Between(bounds.low, bounds.high)
    return Between(
        max(bounds.low, EXPONENT.low), max(bounds.low, EXPONENT.low) * EXPONENT.high / EXPONENT.low, log=True
    )
