"""The range test: the range in which a constant LR learns, measured by short runs.

It has two kinds of runs, with several seeds each. A *sweep* raises the LR within one run from far too low to far too
high (Smith 2017, arXiv 1506.01186): a few runs show about where to look, but what a rate does late in a sweep depends
on what came before it. *Constant* rates, each trained from the start, have no such memory: lrbench tries the powers of
ten and refines between them, and reads the range off these runs, as `crossings` says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean, median
from typing import TYPE_CHECKING, Any, Literal, get_args

from lrbench.display.names import many
from lrbench.display.readable import LINE_WIDTH, Block, Readable
from lrbench.display.table import Column, Table
from lrbench.errors import TaskError
from lrbench.lr_range.crossings import (
    HIGHEST,
    LOWEST,
    PER_DECADE,
    ConstantRun,
    Estimate,
    SweepRun,
    between,
    beyond,
    decades,
    ends,
    falls_by_seed,
    initial_losses,
    lr_of,
)
from lrbench.metrics import as_gain
from lrbench.policy import FIX, GEOMETRIC, LINEAR
from lrbench.study.study import Study, StudyPolicy

if TYPE_CHECKING:
    import pandas as pd

    from lrbench.metrics import Better
    from lrbench.policy import Policy
    from lrbench.store import Score, StoredRun
    from lrbench.tasks import AnyTask
    from lrbench.training.trainer import Trainer

LEAST_FALL = 0.02
"""A loss that no rate lowers by this share of it has not begun to fall."""

RANGE_SEEDS = (0, 1, 2)
"""The seeds of a range test within a search, a study or an advice, so that these share its runs."""

FEWEST_STEPS = 20
FEWEST_DEFAULT_STEPS, MOST_DEFAULT_STEPS = 100, 500
SWEEP_EVALUATIONS = 25
RUN_EVALUATIONS = 5
LAST_EVALUATIONS = 2
EVALUATED_SAMPLES = 1000
"""The range comes from training losses; the accuracies shown beside it are of this many samples at most."""

Sweep = Literal["exponential", "linear"]


@dataclass(frozen=True, repr=False)
class RangeTest(Readable):
    """The range of constant learning rates in which a task learns.

    Attributes:
        better: which way the objective is better.
        steps: iterations of each run.
        low, high, cliff: as `crossings` says; `cliff` is None where no rate that was tried is too high.
        steps_spent: the iterations of all runs together, whenever they were trained.
        steps_trained: those that this call trained.
    """

    task: str
    objective: str
    steps: int
    seeds: tuple[int, ...]
    low: Estimate
    high: Estimate
    cliff: Estimate | None
    constant: tuple[ConstantRun, ...]
    sweeps: tuple[SweepRun, ...]
    steps_spent: int
    steps_trained: int = field(default=0, compare=False)
    better: Better = "higher"

    def to_json(self) -> dict[str, Any]:
        """The document of `lrbench range-test --json`."""
        return {
            "task": self.task,
            "objective": self.objective,
            "better": self.better,
            "steps": self.steps,
            "seeds": list(self.seeds),
            "low": self.low.to_json(),
            "high": self.high.to_json(),
            "cliff": None if self.cliff is None else self.cliff.to_json(),
            "constant": [vars(run) for run in self.constant],
            "sweeps": [vars(run) for run in self.sweeps],
            "steps_spent": self.steps_spent,
        }

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas DataFrame with a row for each run at a constant rate.

        Its columns: lr, seed, loss (the mean training loss over the last two fifths of the run), score (the validation
        objective at the end) and steps (the iterations that were trained); loss and score are NaN where it diverged.
        """
        import pandas as pd

        return pd.DataFrame(map(vars, self.constant)).astype({"loss": float, "score": float})

    def display(self, width: int = LINE_WIDTH, *, drawn: bool = False) -> Iterator[Block]:
        seeds = many(len(self.seeds), "seed")
        title = f"{self.task}: constant LRs over {many(self.steps, 'iteration')}, {seeds}"
        rows = []
        for name, what, estimate in (
            ("low", "below it training is slow", self.low),
            ("high", "above it learning suffers", self.high),
            ("cliff", "nothing is learnt from there on", self.cliff),
        ):
            if estimate is None:
                highest, where = max(run.lr for run in self.constant), "" if len(self.seeds) == 1 else " on every seed"
                rows.append((name, "–", "", f"no rate up to {highest:.3g} is too high{where}"))
            else:
                by_seed = f"{min(estimate.per_seed):.3g} to {max(estimate.per_seed):.3g}"
                rows.append((name, f"{estimate.value:.3g}", by_seed, what))
        yield Table((Column(""), Column("LR", right=True), Column("by seed"), Column("what it says")), rows, title)
        yield f"{many(self.steps_spent, 'iteration')} were trained for it"


def find_range(
    task: AnyTask,
    trainer: Trainer,
    *,
    seeds: Sequence[int],
    steps: int | None = None,
    sweep: Sweep = "exponential",
    sweep_range: tuple[float, float] = (1e-6, 10.0),
) -> RangeTest:
    """Find the range of constant learning rates in which a task learns; the same seeds give the same range.

    Args:
        steps: iterations of each run; by default a fifth of the task's own, from 100 to 500.
        sweep: how the LR rises within a sweep.
        sweep_range: from where to where.

    Raises:
        TaskError: there are too few iterations, or no rate learns anything in them.
    """
    steps = default_steps(task) if steps is None else steps
    _check(task, seeds, steps, sweep, sweep_range)
    light = task.evaluated_on(EVALUATED_SAMPLES)
    short = light.with_budget(steps, evaluations=RUN_EVALUATIONS)
    watched = light.with_budget(steps, evaluations=SWEEP_EVALUATIONS)
    sweeps, steps_trained = _swept(watched, trainer, seeds, sweep, sweep_range)

    def tried(exponents: Iterable[int]) -> tuple[ConstantRun, ...]:
        nonlocal steps_trained
        runs, trained = _constant(short, trainer, seeds, sorted(exponents))
        steps_trained += trained
        return runs

    exponents = decades(sweeps)
    runs = tried(exponents)
    while outside := beyond(exponents, falls_by_seed(runs, sweeps)):
        exponents |= outside
        runs = tried(exponents)
    _check_learnt(short, runs, sweeps)
    for width in (PER_DECADE, PER_DECADE // 2):
        exponents |= between(exponents, falls_by_seed(runs, sweeps), width)
        runs = tried(exponents)
    low, high, cliff = ends(falls_by_seed(runs, sweeps).values())
    return RangeTest(
        task=task.name,
        objective=task.objective,
        steps=steps,
        seeds=tuple(seeds),
        low=low,
        high=high,
        cliff=cliff,
        constant=runs,
        sweeps=sweeps,
        steps_spent=sum(run.steps for run in runs) + sum(run.steps for run in sweeps),
        steps_trained=steps_trained,
        better=task.better,
    )


def default_steps(task: AnyTask) -> int:
    """Return the iterations of each run of a range test unless they are given."""
    return min(max(task.steps // 5, FEWEST_DEFAULT_STEPS), MOST_DEFAULT_STEPS)


def _check(task: AnyTask, seeds: Sequence[int], steps: int, sweep: str, sweep_range: tuple[float, float]) -> None:
    where = f"range test of '{task.name}'"
    if not seeds:
        raise TaskError(f"{where}: give at least one seed")
    if steps < FEWEST_STEPS:
        raise TaskError(f"{where}: steps = {steps} must be at least {FEWEST_STEPS}")
    if sweep not in get_args(Sweep):
        raise TaskError(f"{where}: a sweep is exponential or linear, not {sweep!r}")
    low, high = sweep_range
    least, most = (10 ** (end / PER_DECADE) for end in (LOWEST, HIGHEST))
    if not 0 < low < high < math.inf:
        raise TaskError(f"{where}: a sweep goes from a positive rate to a higher one, not from {low} to {high}")
    if high < least or low > most:
        raise TaskError(f"{where}: no rate outside of {least:g} to {most:g} is tried, as from {low:g} to {high:g}")


def _swept(
    task: AnyTask, trainer: Trainer, seeds: Sequence[int], sweep: Sweep, ends: tuple[float, float]
) -> tuple[tuple[SweepRun, ...], int]:
    """Return the sweeps, and the number of iterations that this call trained."""
    rising: Callable[..., Policy] = GEOMETRIC if sweep == "exponential" else LINEAR
    policy = rising(k0=ends[0], k1=ends[1], l="1dur")
    bound = task.bind(policy)
    runs, trained = _trained(
        f"{sweep} sweep of {task.name}, {task.steps} steps", task, trainer, seeds, {"sweep": policy}
    )

    def swept(seed: int, run: StoredRun) -> SweepRun:
        middles = [(before + after) // 2 for before, after in pairwise([0, *(score.step for score in run.scores)])]
        return SweepRun(
            seed,
            tuple(bound(step) for step in middles),
            tuple(_loss(score, task) for score in run.scores),
            tuple(score.val_score for score in run.scores),
            None if run.diverged_at is None else bound(max(run.diverged_at - 1, 0)),
            run.step,
        )

    return tuple(swept(seed, run) for (_, seed), run in runs.items()), trained


def _constant(
    task: AnyTask, trainer: Trainer, seeds: Sequence[int], exponents: Sequence[int]
) -> tuple[tuple[ConstantRun, ...], int]:
    """Return the runs with constant rates, and the number of iterations that this call trained."""
    rates = {f"{lr_of(exponent):.4g}": lr_of(exponent) for exponent in exponents}
    policies = {name: FIX(k0=rate) for name, rate in rates.items()}
    runs, trained = _trained(f"range test of {task.name}, {task.steps} steps", task, trainer, seeds, policies)

    def measured(name: str, seed: int, run: StoredRun) -> ConstantRun:
        if run.status != "finished":
            return ConstantRun(rates[name], seed, None, None, run.step)
        loss = fmean(_loss(score, task) for score in run.scores[-LAST_EVALUATIONS:])
        return ConstantRun(rates[name], seed, loss, run.scores[-1].val_score, run.step)

    return tuple(measured(name, seed, run) for (name, seed), run in runs.items()), trained


def _loss(score: Score, task: AnyTask) -> float:
    """Return the training loss of an evaluation; where it was not measured, what the task is judged by, as a loss."""
    return -as_gain(score.val_score, task.better) if math.isnan(score.train_loss) else score.train_loss


def _trained(
    name: str, task: AnyTask, trainer: Trainer, seeds: Sequence[int], policies: Mapping[str, Policy]
) -> tuple[dict[tuple[str, int], StoredRun], int]:
    """Return the runs of policies by name and seed, and the number of iterations that this call trained.

    Raises:
        TaskError: one of them failed.
    """
    named = tuple(StudyPolicy(name, policy) for name, policy in policies.items())
    study = Study(name=name, tasks=(task,), policies=named, seeds=tuple(seeds))
    evidence, tally = trainer.trained(study, "range_test")
    for failure in evidence.failures(evidence.tasks[0]):
        raise TaskError(f"{name}: LR {failure.name}, seed {failure.seed} failed: {failure.error}")
    keys = {(slot.policy, slot.seed): slot.run for slot in evidence.slots}
    runs = {(name, seed): evidence.runs[keys[name, seed]] for name in policies for seed in seeds}
    return runs, tally.steps_trained


def _check_learnt(task: AnyTask, runs: Sequence[ConstantRun], sweeps: Sequence[SweepRun]) -> None:
    rates = [run.lr for run in runs]
    where, tried = f"range test of '{task.name}'", f"learning rate from {min(rates):.3g} to {max(rates):.3g}"
    if all(run.loss is None for run in runs):
        raise TaskError(f"{where}: training diverges with every {tried}: look at the loss, the model and the data")
    initial = initial_losses(runs, sweeps)
    shares = []
    for seed, loss in initial.items():
        best = min((run.loss for run in runs if run.seed == seed and run.loss is not None), default=loss)
        shares.append((loss - best) / max(abs(loss), 1e-12))
    if not shares or median(shares) < LEAST_FALL:
        raise TaskError(
            f"{where}: no {tried} lowers the training loss within {task.steps} iterations: give it more steps"
        )
