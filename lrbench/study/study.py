"""A study as a value: which policies, on which tasks, with which seeds, and what is asked of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrbench.display.names import many
from lrbench.display.readable import LINE_WIDTH, Block, Readable
from lrbench.errors import StudyError
from lrbench.policy.budget import read_number
from lrbench.policy.kind import short_repr
from lrbench.study.limits import check_confirm, check_name, check_rates, seeds_of
from lrbench.study.variant import Variant, with_controls

if TYPE_CHECKING:
    from lrbench.policy import Policy
    from lrbench.tasks import Task

LEDGER = ": what was asked"
"""How the names end under which a store keeps the records of searches, which no study may have."""


MOST_SHOWN = 30
"""Of a study's policies no more than these are listed where it is printed."""


@dataclass(frozen=True)
class StudyPolicy:
    """One policy of a study, under the name that its results carry.

    Attributes:
        auto_peak: whether the policy is still to be multiplied, so that its highest LR is the upper end of a range
            test of the study's one task. `lrbench.run` does so before anything else.
        found_peak: that upper end, once the policy was multiplied; None for one that was not.
    """

    name: str
    policy: Policy
    auto_peak: bool = False
    found_peak: float | None = None


@dataclass(frozen=True, kw_only=True, repr=False)
class Study(Readable):
    """Policies that are compared: each is trained on every task with every seed.

    The seeds are shared by all policies, so that a seed's initial weights and batch order are the same for every
    policy and differences are paired.

    Attributes:
        margin: a policy within this distance of the best (in the unit of the task's objective, for accuracy a
            fraction) is as good as the best.
        target: the validation objective to reach, for `steps_to_target`; None where no target is set.
        confirm: on how many fresh seeds the winner and its closest rivals are scored again; 0 for none.
        base_lr_scales: the factors at which every policy is also trained, for its robustness over the base LR;
            empty for none.
        modifiers: with what every policy is also trained, beside training as it is.

    Raises:
        StudyError: a field is out of range, or two seeds, policies, tasks or modifiers are the same.
        TaskError: a modifier cannot be used on a task.
    """

    name: str
    tasks: tuple[Task, ...]
    policies: tuple[StudyPolicy, ...]
    seeds: tuple[int, ...]
    margin: float = 0.01
    target: float | None = None
    confirm: int = 0
    base_lr_scales: tuple[float, ...] = ()
    modifiers: tuple[Variant, ...] = ()

    def __post_init__(self) -> None:
        where = f"study '{self.name}'"
        if self.name.endswith(LEDGER):
            raise StudyError(f"{where}: names that end in '{LEDGER}' are those of the records of searches")
        if not self.tasks:
            raise StudyError(f"{where} names no task: give at least one")
        if not self.policies:
            raise StudyError(f"{where} names no policy: give at least one")
        object.__setattr__(self, "seeds", seeds_of(self.seeds, where))
        if not self.seeds:
            raise StudyError(f"{where} has no seeds: give at least one")
        margin = read_number(self.margin)
        if margin is None or margin < 0:
            raise StudyError(f"{where}: margin must be a finite number of at least 0, not {short_repr(self.margin)}")
        if self.target is not None and read_number(self.target) is None:
            raise StudyError(f"{where}: target must be a finite number, not {short_repr(self.target)}")
        check_confirm(self.confirm, self.seeds, where)
        parts: tuple[Study | Task | StudyPolicy | Variant, ...] = (self, *self.tasks, *self.policies, *self.variants)
        for part in parts:
            check_name(part.name, where)
        for noun, names in (
            ("seed", self.seeds),
            ("policy", [entry.name for entry in self.policies]),
            ("task", [task.name for task in self.tasks]),
            ("modifier", [variant.name for variant in self.variants]),
        ):
            name, count = Counter(names).most_common(1)[0]
            if count > 1:
                raise StudyError(f"{where}: {noun} {name!r} is given {count} times, each may stand only once")
        if self.auto_peaks and len(self.tasks) > 1:
            raise StudyError(
                f"{where}: the peak of '{self.auto_peaks[0]}' comes from a range test, and each of the "
                f"{len(self.tasks)} tasks has its own: make a study of each"
            )
        scales = {scale * variant.lr_scale for scale in (1.0, *self.base_lr_scales) for variant in self.variants}
        check_rates(where, len(self.policies) * len(scales), max(task.steps for task in self.tasks))
        for task in self.tasks:
            for variant in self.variants:
                variant.check(task)

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

    @property
    def auto_peaks(self) -> tuple[str, ...]:
        """The names of the policies whose peak a range test is still to find."""
        return tuple(entry.name for entry in self.policies if entry.auto_peak)

    @property
    def variants(self) -> tuple[Variant, ...]:
        """What every policy is trained with: nothing, each of the modifiers, and their controls."""
        return with_controls(self.modifiers)
