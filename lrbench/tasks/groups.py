"""Groups: parts of a network by name, each with a learning rate and optimizer settings of its own."""

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, dataclass
from fnmatch import fnmatchcase
from itertools import accumulate
from typing import Any

import torch
from torch import nn

from lrbench.errors import MOST_NAMES, PolicyError, TaskError, did_you_mean
from lrbench.policy.budget import Budget, read_length, read_number, round_iterations, shortest
from lrbench.policy.kind import short_repr
from lrbench.policy.notation import parse
from lrbench.policy.policy import Policy
from lrbench.tasks.depth import layers_of
from lrbench.tasks.optimizer_state import group_settings
from lrbench.tasks.optimizers import OptimizerSpec, optimizer_with
from lrbench.tasks.registry import frozen
from lrbench.tasks.snapshot import identical

FROZEN = "frozen"
OURS = ("ratio", "policy", "frozen_until")
"""The settings of a group that are no options of the optimizer."""
LAYER_DECAY = "layer_decay"

_DIMENSIONS = re.compile(r"ndim ?(<|<=|>=|>|==) ?(\d)")
_COMPARED: Mapping[str, Callable[[int, int], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">=": operator.ge,
    ">": operator.gt,
    "==": operator.eq,
}

Settings = tuple[tuple[str, Any], ...]
"""Settings by name, sorted."""


@dataclass(frozen=True)
class Groups:
    """The parameter groups of a task, from rules over the names of parameters.

    A rule is a selector and the settings of what it selects. A selector is a pattern over the names of
    `named_parameters()` (`fnmatch`: `*` stands for any text, dots too), or a comparison of the number of dimensions:
    `"ndim<2"` selects biases and the scales of normalisations, so that `{"ndim<2": {"weight_decay": 0}}` is weight
    decay on matrices only, as in nanoGPT's `configure_optimizers`.

    Settings are a number, which is the ratio of the part's learning rate to the policy's; 0 or `"frozen"`: the part is
    not trained; or a table with any of

    - `ratio`;
    - `policy`: the part has the learning rates of a policy of its own, times its ratio, whatever policy a study trains
      and at whatever scale;
    - `frozen_until`: a length such as `"0.2dur"`; the part is trained from that iteration on;
    - options of the optimizer.

    Where several rules select a parameter, each setting is that of the last rule that has it:
    `{"head.*": 10.0, "*.bias": {"weight_decay": 0}}` gives the head's biases both. What no rule selects has ratio 1.

    `layer_decay` multiplies the ratio of each layer by a power of itself: 1 for the last layer, `layer_decay` for the
    one before, its square before that (Clark et al., arXiv 2003.10555; Bao et al., arXiv 2106.08254). The layers are
    those of `lrbench.tasks.depth.layers_of`.

    Attributes:
        rules: selectors with their settings, in order.
        layer_decay: the ratio of a layer's learning rate to that of the next one; 1 for none.
    """

    rules: tuple[tuple[str, Settings], ...] = ()
    layer_decay: float = 1.0

    @classmethod
    def of(cls, given: object) -> "Groups":
        """Read groups as a study file writes them: `{ "head.*" = 10.0, "*.bias" = { weight_decay = 0 } }`.

        Raises:
            TaskError: a value is not allowed.
        """
        if isinstance(given, Groups):
            return given
        if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
            raise TaskError(
                f"task: groups = {short_repr(given)} must be a table of settings by the names of parameters"
            )
        decay = read_number(given.get(LAYER_DECAY, 1.0))
        if decay is None or not 0 < decay <= 1:
            allowed = "must be a number above 0 and at most 1"
            raise TaskError(f"task: groups: {LAYER_DECAY} = {short_repr(given[LAYER_DECAY])} {allowed}")
        rules = tuple((name, _settings(name, value)) for name, value in given.items() if name != LAYER_DECAY)
        return cls(rules, decay)

    def __bool__(self) -> bool:
        return self != Groups()

    def __str__(self) -> str:
        decay = [] if self.layer_decay == 1 else [f"{LAYER_DECAY}={shortest(self.layer_decay)}"]
        return ", ".join([*(f"{selector}: {_text(settings)}" for selector, settings in self.rules), *decay])

    def __fingerprint__(self) -> Iterator[str]:
        yield str(self)

    def check(self, optimizer: OptimizerSpec, budget: Budget | None = None) -> None:
        """Check the options of all rules, and the policies and lengths where the budget is known.

        Raises:
            TaskError: the optimizer has no such option, a value is not allowed, or something does not fit the budget.
        """
        for selector, settings in self.rules:
            try:
                if options := _options(settings):
                    optimizer_with(optimizer, options)
                if budget is not None:
                    _of_budget(settings, budget)
            except (TaskError, PolicyError) as error:
                raise TaskError(f"task: groups: {selector}: {error}") from error

    def of_budget(self, budget: Budget) -> tuple[Settings, ...]:
        """Return what rules come to in a budget: the policies of groups, and until when they are frozen."""
        return tuple(tuple(_of_budget(settings, budget).items()) for _, settings in self.rules)

    def settings(self, network: nn.Module) -> dict[str, Settings]:
        """Return the settings of each parameter of a network by its name.

        Raises:
            TaskError: a pattern matches no name.
        """
        names = dict(network.named_parameters())
        found: dict[str, dict[str, Any]] = {name: {} for name in names}
        for selector, settings in self.rules:
            selected = [name for name, weight in names.items() if _selects(selector, name, weight)]
            if not selected and not _DIMENSIONS.fullmatch(selector):
                raise TaskError(
                    f"task: groups: no parameter of the model has a name like '{selector}'{_near(selector, names)}"
                )
            for name in selected:
                found[name] |= settings
        if self.layer_decay != 1:
            for depth, layer in enumerate(reversed(layers_of(network))):
                for name in layer:
                    if name in found:
                        found[name]["ratio"] = found[name].get("ratio", 1.0) * self.layer_decay**depth
        return {name: tuple(sorted(each.items())) for name, each in found.items()}

    def freeze(self, network: nn.Module) -> nn.Module:
        """Take the frozen parts of a network out of training."""
        if self:
            for name, settings in self.settings(network).items():
                if dict(settings).get("ratio") == 0:
                    network.get_parameter(name).requires_grad_(False)
        return network

    def optimizer(
        self, spec: OptimizerSpec, weights: Mapping[str, nn.Parameter], settings: Mapping[str, Settings], budget: Budget
    ) -> torch.optim.Optimizer:
        """Build an optimizer over the weights that are trained, with a parameter group for each of their settings.

        Each group notes the ratio of its learning rate to the policy's as `lr_ratio`, and where it has one, a policy of
        its own as `lr_policy`, and as `frozen_until` the iteration from which it is trained.

        Args:
            weights: by name.
            settings: of each parameter by its name.
            budget: that of the run.

        Raises:
            TaskError: the optimizer has groups of its own, or no setting by group, or all is frozen at first.
        """
        parts: dict[Settings, list[nn.Parameter]] = {}
        for name, weight in weights.items():
            parts.setdefault(settings[name], []).append(weight)
        optimizer = spec.build([{"params": part, **_of_group(spec, part, own)} for own, part in parts.items()])
        if len(optimizer.param_groups) != len(parts):
            raise TaskError(
                f"task: groups: the optimizer {spec} makes parameter groups of its own: leave out the task's groups"
            )
        for group, own in zip(optimizer.param_groups, parts, strict=True):
            ratio = dict(own).get("ratio", 1.0)
            group.update(_of_budget(own, budget), lr=float(group["lr"]) * ratio, lr_ratio=ratio)
        if all("frozen_until" in group for group in optimizer.param_groups):
            raise TaskError("task: groups: all parts are frozen at first, and one must be trained from the start")
        return optimizer


FEW_NAMES = 8
"""The most parameters of a network that are listed one by one."""


def _settings(selector: str, value: object) -> Settings:
    """Read the settings of a rule: a ratio, "frozen" or a table."""
    where = f"task: groups: {selector} = {short_repr(value)}"
    if value == FROZEN:
        value = 0.0
    given = value if isinstance(value, Mapping) else {"ratio": value}
    read = {str(name): frozen(setting) for name, setting in given.items()}
    if "lr" in read:
        raise TaskError(f"{where}: the learning rate of a group is the policy's times its ratio: give ratio, or policy")
    if "ratio" in read:
        ratio = read_number(0.0 if read["ratio"] == FROZEN else read["ratio"])
        if ratio is None or ratio < 0:
            raise TaskError(
                f'{where} must be a ratio of at least 0, "{FROZEN}", or a table of ratio, policy and options of the '
                "optimizer"
            )
        read["ratio"] = ratio
    if "policy" in read:
        read["policy"] = _policy(where, read["policy"])
    if "frozen_until" in read:
        length = read_length(read["frozen_until"])
        if length is None:
            raise TaskError(f'{where}: frozen_until must be iterations, at least 1, or a length such as "0.2dur"')
        read["frozen_until"] = length
    return tuple(sorted(read.items()))


def _policy(where: str, given: object) -> Policy:
    try:
        policy = parse(given) if isinstance(given, str) else given
    except PolicyError as error:
        raise TaskError(f"{where}: {error}") from error
    if not isinstance(policy, Policy):
        raise TaskError(f'{where}: policy must be a policy, or its text such as "COSINE(k0=0.1, l=1dur)"')
    if policy.reacts:
        raise TaskError(f"{where}: the policy of a group cannot react to evaluations")
    return policy


def _selects(selector: str, name: str, weight: nn.Parameter) -> bool:
    dimensions = _DIMENSIONS.fullmatch(selector)
    if dimensions is None:
        return fnmatchcase(name, selector)
    return _COMPARED[dimensions[1]](weight.ndim, int(dimensions[2]))


def _near(selector: str, names: Mapping[str, object]) -> str:
    """Ask for the nearest name, or part of one with `.*`; else list the names, or the parts of a larger network."""
    modules = {part for name in names for part in accumulate(name.split(".")[:-1], "{}.{}".format)}
    known = [*names, *(f"{module}.*" for module in sorted(modules))]
    parts = [f"{first}{dot and '.*'}" for first, dot, _ in (name.partition(".") for name in names)]
    shown = list(names) if len(names) <= FEW_NAMES else list(dict.fromkeys(parts))[:MOST_NAMES]
    return did_you_mean(selector, known) or f"; there are {', '.join(shown)}"


def _options(settings: Settings) -> dict[str, Any]:
    return {name: value for name, value in settings if name not in OURS}


def _of_budget(settings: Settings, budget: Budget) -> dict[str, Any]:
    """Return what a parameter group notes of a policy of its own, and of the iteration until which it is frozen.

    Raises:
        PolicyError: it does not fit the budget.
    """
    own, noted = dict(settings), {}
    if "policy" in own:
        noted["lr_policy"] = own["policy"].bind(*astuple(budget))
    if "frozen_until" in own:
        noted["frozen_until"] = round_iterations(own["frozen_until"], budget)
    return noted


def _of_group(spec: OptimizerSpec, weights: list[nn.Parameter], settings: Settings) -> Mapping[str, Any]:
    """Return the items of a parameter group that stand for options: those with which the optimizer makes its own."""
    options = _options(settings)
    if not options:
        return {}
    plain = group_settings(spec.build(weights))
    for name, value in options.items():
        try:
            alone = optimizer_with(spec, {name: value})
        except TaskError:  # it is allowed beside another option only
            continue
        if alone != spec and identical(group_settings(alone.build(weights)), plain):
            raise TaskError(f"task: groups: the optimizer {spec} has one {name} for all parameters")
    group, *_ = group_settings(optimizer_with(spec, options).build(weights))
    return group


def _text(settings: Settings) -> str:
    """Write settings in a line, a ratio alone as a number; whole numbers of floats and of ints are the same."""
    if [name for name, _ in settings] == ["ratio"]:
        return FROZEN if not settings[0][1] else shortest(settings[0][1])
    return f"({', '.join(f'{name}={_value(value)}' for name, value in settings)})"


def _value(value: Any) -> str:
    number = read_number(value)
    return str(value) if number is None else shortest(number)
