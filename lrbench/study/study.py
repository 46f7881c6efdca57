"""A study as a value: policies, tasks, seeds, modifiers and settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

from lrbench.display.names import many
from lrbench.display.readable import LINE_WIDTH, Block, Readable
from lrbench.errors import PolicyError, StudyError
from lrbench.metrics.goal import By, Criterion, criteria, objective_criterion
from lrbench.metrics.looks import Looks
from lrbench.policy.budget import Budget, Length
from lrbench.policy.kind import short_repr
from lrbench.study.axes import variants_of_axes
from lrbench.study.file_modifiers import variants_of
from lrbench.study.horizons import at_horizons, on_one_trunk
from lrbench.study.limits import (
    StudySettings,
    check_confirm,
    check_name,
    check_rates,
    check_scores,
    declared_looks,
    margin_of,
    split_seeds,
)
from lrbench.study.schedule import Schedule
from lrbench.study.validation import toml_repr, validated
from lrbench.study.variant import Variant, with_controls

if TYPE_CHECKING:
    from lrbench.engine import Watcher
    from lrbench.policy import CatalogEntry, Policy, PolicyLike
    from lrbench.tasks import AnyTask, TaskLike

Table: TypeAlias = Mapping[str, Any]
StudyPolicyLike: TypeAlias = "PolicyLike | StudyPolicy | CatalogEntry | Table"
Policies: TypeAlias = "Mapping[str, StudyPolicyLike] | Sequence[StudyPolicyLike]"
ModifierLike: TypeAlias = "Watcher | str | Variant | Sequence[Watcher | str] | Table"
Modifiers: TypeAlias = "Mapping[str, ModifierLike] | Sequence[ModifierLike]"


class StudyArguments(TypedDict, total=False):
    """The arguments of a `Study` but for its policies, its tasks and their horizons."""

    modifiers: Modifiers
    seeds: int | Sequence[int] | str | Mapping[str, int]
    until_decided: int | None
    tolerated_divergence: float
    budget: str | Mapping[str, int] | None
    steps: Length | None
    name: str | None
    margin: float | None
    by: By
    target: float | None
    confirm: int
    axes: Mapping[str, Sequence[Any]] | None
    base_lr_scales: bool | Sequence[float]


NAMED = 4
"""The number of policies in the name of a study that is given none."""

MOST_SHOWN = 30
"""The most policies that are listed where a study is printed."""


@dataclass(frozen=True)
class StudyPolicy:
    """One policy of a study, under the name that its results carry.

    Attributes:
        auto_peak: whether the policy is still to be multiplied, so that its highest LR is the upper end of a range
            test of the study's one task, which `lrbench.run` trains first.
        found_peak: that upper end, once the policy was multiplied.
        on_trunk: whether the study has horizons, for all of which one trunk serves the policy, so that the state at the
            end of the trunk is kept, and a longer horizon goes on from it.
        variant: the one that the policy is trained with, in place of those of the study.
    """

    name: str
    policy: Policy
    auto_peak: bool = False
    found_peak: float | None = None
    on_trunk: bool = False

    variant: Variant | None = None

    @cached_property
    def _schedules(self) -> dict[tuple[Budget, float], Schedule]:
        return {}

    def schedule(self, task: AnyTask, scale: float = 1.0) -> Schedule:
        """Return the policy at a base-LR scale, bound to the budget of a task; the same one for an equal budget.

        Raises:
            PolicyError: the policy does not fit the budget.
        """
        key = (task.budget, scale)
        if key not in self._schedules:
            self._schedules[key] = Schedule(task, self.policy if scale == 1 else self.policy.scaled(scale))
        return self._schedules[key]


@dataclass(frozen=True, init=False, repr=False)
class Study(Readable):
    """Policies that are compared: each is trained on every task with every seed.

    The keys are those of study files, and each value may be as there, or a Python object::

        Study(policies={"flat": "FIX(k0=0.1)", "wave": TRI(k0=0.01, k1=0.1, l=50)}, task="mnist1d-mlp", seeds=3)

    The seeds are shared by all policies, so that a seed's initial weights and batch order are the same for every
    policy and differences are paired. Studies of equal fields compare equal; a `Task` equals itself alone.

    Args:
        policies: values, texts, functions of the iteration, lists of LRs, entries of a catalog, or tables as under
            [[policies]], in a list or by their names; the text is the name of a policy without one. A function is asked
            for each iteration of the longest budget.
        task: a `Task`, the name of a registered one, or a table as under [task]; `tasks` for several. The data of one
            that is named is looked for as `lrbench.load_task` does.
        modifiers: every policy is trained without and with each: values, texts, lists of both that are combined, or
            tables as under [[modifiers]], in a list or by their names.
        seeds: how many (0, 1, ...), or which; or "5..40": 5 to begin with, and up to 40 for the policies that more can
            help, until all are decided.
        until_decided: the number of seeds with which each policy begins, if that is not in `seeds`.
        tolerated_divergence: the share of seeds on which a policy may diverge; with 0 none that is trained. A policy is
            avoided where a test finds that it diverges more often, and else compared on the seeds without divergence.
        budget: the most runs or iterations, "200 runs" or {"steps": 200_000}, that a study of seeds until decided asks
            for, its confirmation included: it ends before the round that would go over it. A study of fixed seeds must
            fit in.
        steps: the training budget of every task in iterations, or as a length, in place of the task's own.
        horizons: budgets of the one task at each of which every policy is trained, such as ["25%", "50%", "100%"]: the
            study has a task for each. Runs of a policy share what they have in common, and a policy whose warmup is a
            part of the budget has that of the task's own at all of them, where one trunk serves them then.
        name: the study's name in a store; by default made of the names of policies and tasks.
        margin: a policy within this distance of the best (in the unit of the task's objective, for accuracy a
            fraction) is as good as the best; by default that of the objective: 0.01 of an accuracy, 0.02 of a
            cross-entropy. Another goal has its own in `by`, or the default of its metric.
        by: the goals that rank and judge, of which the first ranks: names of metrics, each with a margin behind a colon
            if need be, `["top1", "steps_to_target:50"]`, or a table of their margins; the objective of each task unless
            given. Claims are per goal.
        target: the validation objective to reach, for `steps_to_target`; None where no target is set.
        confirm: the number of fresh seeds on which the winner and its closest rivals are scored again.
        axes: settings at which every policy is trained as well, `{"weight_decay": [0.0, 1e-4], "batch_size": [32]}`:
            options of the optimizer, or how a task is trained (`lrbench.tasks.task.COMPARABLE`); each combination
            but the task's own is a row of its own, like a modifier, and is among `modifiers`.
        base_lr_scales: factors on the base LR at which every policy is also trained, for its robustness; true for
            lrbench's own, false for none.

    Raises:
        StudyError: a field is not allowed, or two seeds, policies, tasks or modifiers are the same.
        TaskError: a modifier cannot be used on a task, or there is no task of a name.
        DataError: the data of a task that is named cannot be had.
    """

    name: str
    tasks: tuple[AnyTask, ...]
    policies: tuple[StudyPolicy, ...]
    seeds: tuple[int, ...]
    until_decided: int | None
    tolerated_divergence: float
    budget: str | None
    margin: float
    by: tuple[str, ...]
    target: float | None
    confirm: int
    base_lr_scales: tuple[float, ...]
    modifiers: tuple[Variant, ...]

    def __init__(
        self,
        *,
        policies: Policies,
        task: TaskLike | None = None,
        tasks: Sequence[TaskLike] | None = None,
        modifiers: Modifiers = (),
        seeds: int | Sequence[int] | str | Mapping[str, int] = 5,
        until_decided: int | None = None,
        tolerated_divergence: float = 0.0,
        budget: str | Mapping[str, int] | None = None,
        steps: Length | None = None,
        horizons: Sequence[Length] = (),
        name: str | None = None,
        margin: float | None = None,
        by: By = (),
        target: float | None = None,
        confirm: int = 0,
        axes: Mapping[str, Sequence[Any]] | None = None,
        base_lr_scales: bool | Sequence[float] = False,
    ) -> None:
        from lrbench.study.file_policies import policies_of
        from lrbench.tasks import task_of

        where = "study" if name is None else f"study '{name}'"
        if name is not None and not isinstance(name, str):
            raise StudyError(f"study: name = {short_repr(name)} must be a text")
        numbers, first = split_seeds(seeds, where)
        asked = {"seeds": numbers, "margin": margin, "by": by, "target": target, "confirm": confirm, "steps": steps}
        asked |= {"until_decided": until_decided if first is None else first, "base_lr_scales": base_lr_scales}
        asked |= {"axes": axes or {}, "budget": budget, "tolerated_divergence": tolerated_divergence}
        asked |= {"horizons": horizons}
        settings = validated(StudySettings, asked, where)
        settled: dict[str, Any] = {key: value for key, value in settings if key not in ("steps", "horizons", "axes")}
        settled["tasks"] = tuple(task_of(one, steps=steps) for one in given_tasks(task, tasks, where))
        own = settled["tasks"]
        if settings.horizons:
            settled["tasks"] = at_horizons(own, settings.horizons, where)
        settled["policies"] = policies_of(policies, where, steps=max(one.steps for one in (*own, *settled["tasks"])))
        if settings.horizons:
            settled["policies"] = tuple(on_one_trunk(one, own[0]) for one in settled["policies"])
        if not settled["policies"]:
            raise StudyError(f"{where} names no policy: give at least one")
        settings_of_axes = variants_of_axes(settings.axes, settled["tasks"], where)
        settled["modifiers"] = (*variants_of(modifiers, where), *settings_of_axes)
        if settled["margin"] is None:
            settled["margin"] = margin_of(settled["tasks"], where)
        settled["name"] = _name_of(settled["policies"], settled["tasks"]) if name is None else name
        for field, value in settled.items():
            object.__setattr__(self, field, value)
        self._check(f"study '{self.name}'")

    def _check(self, where: str) -> None:
        check_confirm(self.confirm, self.seeds, where)
        if self.until_decided is not None and not 2 <= self.until_decided <= len(self.seeds):
            raise StudyError(
                f"{where}: until_decided = {self.until_decided} must be from 2 to the {len(self.seeds)} seeds given"
            )
        parts: tuple[Study | AnyTask | StudyPolicy | Variant, ...] = (self, *self.tasks, *self.policies, *self.variants)
        for part in parts:
            check_name(part.name, where)
        for noun, names in (
            ("seed", self.seeds),
            ("policy", [f"{one.name} + {one.variant.name}" if one.variant else one.name for one in self.policies]),
            ("task", [task.name for task in self.tasks]),
            ("modifier", [variant.name for variant in self.variants]),
        ):
            name, count = Counter(names).most_common(1)[0]
            if count > 1:
                raise StudyError(f"{where}: {noun} {name!r} is given {count} times, each may stand only once")
        if self.auto_peaks and len(self.tasks) > 1:
            each = "horizons" if self.is_at_horizons else "tasks"
            raise StudyError(
                f"{where}: the peak of '{self.auto_peaks[0]}' comes from a range test, and each of the "
                f"{len(self.tasks)} {each} has its own: make a study of each"
            )
        scales = {scale * variant.lr_scale for scale in (1.0, *self.base_lr_scales) for variant in self.variants}
        check_rates(where, len(self.policies) * len(scales), max(task.steps for task in self.tasks))
        for task in self.tasks:
            check_scores({"margin": self.margin, "target": self.target}, task, where)
            try:
                self.goals(task)
            except StudyError as error:
                raise StudyError(f"{where}: {error}") from error
            for variant in self.variants:
                variant.check(task)
            for named, variant in self.rows:
                try:
                    named.schedule(self.trained[task.name, variant.name])
                except PolicyError as error:
                    raise StudyError(f"{where}: policy '{named.name}' on task '{task.name}': {error}") from error

    def display(self, width: int = LINE_WIDTH, *, drawn: bool = False) -> Iterator[Block]:
        from lrbench.policy.curve import policies_table

        shown = {entry.name: entry.policy for entry in self.policies[:MOST_SHOWN]}
        tasks = ", ".join(task.name for task in self.tasks)
        title = f"{self.name}: {many(len(self.policies), 'policy')} on {tasks}, {many(len(self.seeds), 'seed')}"
        yield policies_table(shown, title, width, drawn=drawn)
        if len(self.policies) > MOST_SHOWN:
            yield f"and {len(self.policies) - MOST_SHOWN:,} more"
        if self.modifiers:
            yield f"each also with {', or '.join(variant.name for variant in self.modifiers)}"
        target = "" if self.target is None else f", target {self.target:g}"
        yield f"margin {self.margin:g}{target}"

    def goals(self, task: AnyTask) -> tuple[Criterion, ...]:
        """Return what ranks and judges on a task, the first of which ranks."""
        objective = objective_criterion(task.objective, task.better, self.margin)
        return criteria(self.by, objective, steps=task.steps, target=self.target, base_lr_scales=self.base_lr_scales)

    @property
    def looks(self) -> Looks:
        """The numbers of seeds at which verdicts are made, each with its share of the error rate."""
        return declared_looks(len(self.seeds), self.until_decided)

    @property
    def is_at_horizons(self) -> bool:
        """Whether its tasks are one at several budgets."""
        budgets, trunks = {task.steps for task in self.tasks}, {task.trunk for task in self.tasks}
        return len(self.tasks) > 1 and len(budgets) == len(self.tasks) and len(trunks) == 1

    @property
    def auto_peaks(self) -> tuple[str, ...]:
        """The names of the policies whose peak a range test is still to find."""
        return tuple(entry.name for entry in self.policies if entry.auto_peak)

    @cached_property
    def trained(self) -> Mapping[tuple[str, str], AnyTask]:
        """The task that is trained, by the names of a task and a variant."""
        return {(task.name, each.name): each.task_of(task) for task in self.tasks for each in self.variants}

    @property
    def variants(self) -> tuple[Variant, ...]:
        """The variants of every policy: without modifiers, with each of them, and their controls; and those of one."""
        shared = with_controls(self.modifiers)
        own = dict.fromkeys(entry.variant for entry in self.policies if entry.variant is not None)
        return (*shared, *(variant for variant in own if variant not in shared))

    @property
    def rows(self) -> Iterator[tuple[StudyPolicy, Variant]]:
        """Each policy with each of its variants."""
        shared = with_controls(self.modifiers)
        for entry in self.policies:
            for variant in shared if entry.variant is None else (entry.variant,):
                yield entry, variant


def given_tasks(task: object, tasks: object, where: str) -> Sequence[Any]:
    """List the tasks that are given as `task` or as `tasks`.

    Raises:
        StudyError: both are given, or neither, or `tasks` is no list.
    """
    if task is not None and tasks is not None:
        raise StudyError(f"{where}: give either task or tasks, not both")
    if task is not None:
        return [task]
    if tasks is None:
        raise StudyError(f'{where}: task is missing, say what is trained: task = "mnist1d-mlp"')
    if isinstance(tasks, str | Mapping) or not isinstance(tasks, Sequence):
        raise StudyError(f"{where}: tasks = {toml_repr(tasks)} must be a list of tasks, their names or tables")
    if not tasks:
        raise StudyError(f"{where} names no task: give at least one")
    return tasks


def _name_of(policies: Sequence[StudyPolicy], tasks: Sequence[AnyTask]) -> str:
    """Name a study by its first policies and its tasks."""
    first = [policy.name for policy in policies[:NAMED]]
    more = [f"{len(policies) - NAMED} more"] if len(policies) > NAMED else []
    return f"{', '.join(first + more)} on {', '.join(task.name for task in tasks)}"
