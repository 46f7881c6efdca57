"""A search as a value: its task, space, sampler, budget and objectives."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from lrbench.errors import StudyError, TaskError, unknown_name
from lrbench.metrics import BASE_LR_SCALES
from lrbench.policy.kind import short_repr
from lrbench.policy_search.domain import OneOf
from lrbench.study.axes import variant_at
from lrbench.study.limits import (
    END_OF_SEEDS,
    MOST_RUNS,
    Seeds,
    SharedSettings,
    Whole,
    check_confirm,
    check_scores,
    margin_of,
)
from lrbench.study.validation import validated

if TYPE_CHECKING:
    from lrbench.policy_search.space import Space
    from lrbench.tasks import AnyTask

SAMPLERS = ("tpe", "cmaes", "gp", "nsga2", "random", "grid")

OBJECTIVES = ("accuracy", "steps", "robustness")
"""`accuracy`: the task's validation objective. `steps`: iterations to the target. `robustness`: what other base LRs
leave of the validation objective; nothing of one that is no better than guessing."""

RUNGED = ("tpe", "random", "grid")
"""The samplers that learn from a policy that was left at a shorter budget, or that learn nothing."""

SHORTEST_RUN = 20
"""No rung has fewer iterations."""


class SearchSettings(SharedSettings):
    """The settings of a search's runs, in its file and from Python alike."""

    seeds: Seeds = (0, 1)
    confirm: Annotated[
        Whole, Field(ge=1, le=MOST_RUNS, description=f"a number of fresh seeds from 1 on, at most {MOST_RUNS:,}")
    ] = 5


class SearchTable(BaseModel):
    """How a space is searched.

    Attributes:
        sampler: Optuna's sampler that proposes policies
        objectives: what is looked for, one or two of them
        policies: the limit on policies
        steps: the limit on iterations of all runs; no further batch is asked for behind it
        batch: how many policies are proposed before the next are
        rungs: at how many budgets policies are tried; 3 where the sampler allows it, else 1
        reduction: each budget is this many times shorter than the next, and of its policies one in this many goes on
        staged: how many of the best policies are kept as first stages, for which second stages are searched
        seed: of the sampler
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    sampler: Annotated[str, Field(description=f"one of {', '.join(SAMPLERS)}")] = "tpe"
    objectives: Annotated[
        tuple[str, ...],
        BeforeValidator(lambda given: tuple(given) if isinstance(given, list) else given),
        Field(min_length=1, description=f"a list of {', '.join(OBJECTIVES)}"),
    ] = ("accuracy",)
    policies: Annotated[Whole, Field(ge=1, le=MOST_RUNS, description="how many policies are tried, from 1 on")] = 64
    steps: Annotated[
        Annotated[Whole, Field(ge=1)] | None, Field(description="how many iterations are spent, from 1 on")
    ] = None
    batch: Annotated[Whole, Field(ge=1, le=10_000, description="how many are asked for at once, from 1 on")] = 8
    rungs: Annotated[
        Annotated[Whole, Field(ge=1, le=20)] | None, Field(description="a number of budgets from 1 to 20")
    ] = None
    reduction: Annotated[Whole, Field(ge=2, le=100, description="a whole number from 2 to 100")] = 3
    staged: Annotated[Whole, Field(ge=0, le=1000, description="a number of first stages from 0 on")] = 0
    seed: Annotated[Whole, Field(ge=0, lt=END_OF_SEEDS, description="a whole number from 0 on")] = 0


@dataclass(frozen=True)
class Rung:
    """One rung of a search.

    Attributes:
        task: with the budget of the rung, evaluated as often as at the whole one.
        seeds, objectives: of the rung; shorter budgets have the validation objective alone.
        steps: the iterations of all runs of a policy.
    """

    task: AnyTask
    seeds: tuple[int, ...]
    objectives: tuple[str, ...]
    steps: int


@dataclass(frozen=True, kw_only=True)
class Search:
    """A search for a policy.

    Attributes:
        seeds: of the runs at the whole budget; shorter ones have the first of them.
        objectives: what is optimized; with two, the search finds the policies that no other beats in both.
        policies: the most policies that are tried.
        steps: the iterations of all runs after which no batch follows; None for no such limit. Each run counts in full,
            also one that shares its beginning with another or was cached.
        batch: the number of policies that are proposed at once.
        rungs: the number of budgets at which a policy may be tried: the task's own, and `rungs` - 1 shorter ones, each
            `reduction` times shorter than the next. Lengths are rescaled with the budget, and of all policies tried at
            a budget the best 1/`reduction` go on to the next.
        staged: the number of best policies that are kept as first stages, from which second stages are searched with
            the second half of the policies; 0 for none.
        seed: of the sampler.
        margin, target: as in a study; the margin is that of the task's metric unless given.
        confirm: the number of fresh seeds on which the winner and its closest rivals are trained again.

    Raises:
        StudyError: a field is out of range, or they do not go together.
    """

    name: str
    task: AnyTask
    space: Space
    seeds: tuple[int, ...] = (0, 1)
    sampler: str = "tpe"
    objectives: tuple[str, ...] = ("accuracy",)
    policies: int = 64
    steps: int | None = None
    batch: int = 8
    rungs: int = 3
    reduction: int = 3
    staged: int = 0
    seed: int = 0
    margin: float | None = None
    target: float | None = None
    confirm: int = 5

    def __post_init__(self) -> None:
        where = f"search '{self.name}'"
        for model in (SearchSettings, SearchTable):
            given = {name: getattr(self, name) for name in model.model_fields}
            for name, value in validated(model, given, where):
                object.__setattr__(self, name, value)
        if self.margin is None:
            object.__setattr__(self, "margin", margin_of([self.task], where))
        if self.sampler not in SAMPLERS:
            raise StudyError(f"{where}: {unknown_name('sampler', self.sampler, SAMPLERS)}")
        for objective in self.objectives:
            if objective not in OBJECTIVES:
                raise StudyError(f"{where}: {unknown_name('objective', objective, OBJECTIVES)}")
        if not 1 <= len(set(self.objectives)) == len(self.objectives) <= 2:
            raise StudyError(f"{where}: objectives must be one or two different ones of {', '.join(OBJECTIVES)}")
        if "steps" in self.objectives and self.target is None:
            raise StudyError(f"{where}: the objective 'steps' needs a target to count the iterations to")
        if self.sampler == "cmaes" and len(self.objectives) > 1:
            raise StudyError(f"{where}: the sampler 'cmaes' follows one objective alone; nsga2, tpe and gp follow two")
        if self.sampler == "grid" and self.space.levels is None:
            raise StudyError(f"{where}: the sampler 'grid' needs a finite space: give [space] levels")
        if self.steps is not None and self.steps < self.task.steps:
            raise StudyError(f"{where}: steps = {self.steps} must be at least the task's {self.task.steps}")
        if len(set(self.seeds)) < len(self.seeds):
            raise StudyError(f"{where}: seeds = {short_repr(self.seeds)} must be different")
        check_confirm(self.confirm, self.seeds, where)
        check_scores({"margin": self.margin, "target": self.target}, self.task, where)
        for name, domain in self.space.axes.items():
            for value in domain.values if isinstance(domain, OneOf) else (domain.low, domain.high):
                try:
                    variant_at({name: value}).task_of(self.task)
                except TaskError as error:
                    raise StudyError(f"{where}: axes: {name}: {error}") from error
        if self.rungs > 1:
            self._check_rungs(where)

    def _check_rungs(self, where: str) -> None:
        if self.sampler not in RUNGED:
            raise StudyError(
                f"{where}: the sampler '{self.sampler}' cannot learn from shorter budgets: set rungs = 1, "
                f"or use one of {', '.join(RUNGED)}"
            )
        if self.objectives != ("accuracy",):
            raise StudyError(f"{where}: shorter budgets say nothing of {' and '.join(self.objectives)}: set rungs = 1")
        shortest = self.budgets[0]
        if shortest < SHORTEST_RUN:
            raise StudyError(
                f"{where}: {self.rungs} rungs with reduction {self.reduction} leave {shortest} iterations of the "
                f"task's {self.task.steps}, and at least {SHORTEST_RUN} are needed: use fewer rungs"
            )

    @property
    def budgets(self) -> tuple[int, ...]:
        """The iterations of a run at each rung, the task's own last."""
        return tuple(round(self.task.steps / self.reduction**rung) for rung in reversed(range(self.rungs)))

    @cached_property
    def ladder(self) -> tuple[Rung, ...]:
        """The rungs, shortest budget first."""
        shorter = [
            Rung(self.task.with_budget(steps), self.seeds[:1], ("accuracy",), steps) for steps in self.budgets[:-1]
        ]
        return (*shorter, Rung(self.task, self.seeds, self.objectives, len(self.seeds) * self.steps_a_seed))

    @property
    def base_lr_scales(self) -> tuple[float, ...]:
        """The base-LR factors at which every policy is trained as well."""
        return BASE_LR_SCALES if "robustness" in self.objectives else ()

    @property
    def steps_a_seed(self) -> int:
        """The iterations of a policy's runs with one seed at the whole budget."""
        return self.task.steps * len({1.0, *self.base_lr_scales})

    def identity(self) -> dict[str, Any]:
        """Return what must be the same for a search to go on: all but how long it goes on; as a store gives it back."""
        identity = {
            "task": self.task.key,
            "space": self.space.to_json(),
            "seeds": list(self.seeds),
            "sampler": self.sampler,
            "objectives": list(self.objectives),
            "rungs": self.rungs,
            "reduction": self.reduction,
            "staged": self.staged,
            "seed": self.seed,
            "target": self.target if "steps" in self.objectives else None,
        }
        as_stored: dict[str, Any] = json.loads(json.dumps(identity))
        return as_stored
