"""lrbench from Python: score a policy, run a study, find the range of LRs, search, recommend, verify."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property, wraps
from inspect import Parameter, signature
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypedDict, TypeVar, Unpack

from lrbench.advice.evidence import AskedTask, evidence_by_task, imported_task
from lrbench.advice.recommend import Advice, advise, advise_by_range_test, no_evidence, verified
from lrbench.advice.verify import Verification, check_policy
from lrbench.display.names import many
from lrbench.display.readable import LINE_WIDTH, Block, Readable
from lrbench.errors import DataError, StudyError, TaskError
from lrbench.imports.read import Source
from lrbench.imports.reading import Reading, ReadingArguments
from lrbench.imports.stored import Imported, runs_to_import
from lrbench.lr_range.auto_peak import with_auto_peaks
from lrbench.lr_range.range_test import RangeTest, Sweep, find_range
from lrbench.metrics.goal import By
from lrbench.policy import PolicyLike, policy_of
from lrbench.policy.budget import Budget, Length, round_iterations
from lrbench.policy_search.file import load_search
from lrbench.policy_search.loop import SearchResult, run_search
from lrbench.policy_search.search import Search
from lrbench.progress import progress_where_seen
from lrbench.signatures import own_parameters, spells_out
from lrbench.store import Kind, Store, open_store
from lrbench.study.file import load_study, settings_given
from lrbench.study.limits import check_scores, seeds_of, split_seeds
from lrbench.study.results import Results, answer, results
from lrbench.study.study import Policies, Study, StudyArguments
from lrbench.study.study_runs import StudyRuns
from lrbench.tasks import AnyTask, TaskLike, settings_from_dict, task_of
from lrbench.training.engine_choice import Engine
from lrbench.training.listener import Listener, Listeners
from lrbench.training.runner import RunCounts, check_training
from lrbench.training.trainer import Trainer
from lrbench.training.workers import Workers, parse_workers

if TYPE_CHECKING:
    from typing import Self

    import pandas as pd
    from matplotlib.figure import Figure

    from lrbench.metrics import Scorecard

P = ParamSpec("P")
T = TypeVar("T")
Location = str | Path


@dataclass(frozen=True, repr=False)
class Outcome(Readable):
    """A study's results, and what it took to have them.

    Attributes:
        kept: NAME@VERSION of an earlier study with this name and another content; None where there was none.
        evidence: the study with its runs, as they were read; pictures are drawn of it.
    """

    results: Results
    tally: RunCounts
    kept: str | None = None
    evidence: StudyRuns | None = field(default=None, compare=False)

    def plot(self, kind: str = "ranking", *, task: str | None = None) -> Figure:
        """Draw the study as a matplotlib figure, which a notebook shows.

        Args:
            kind: one of `lrbench list plots`, such as "ranking", "training" or "cost".
            task: which task of a study that has several.

        Raises:
            StudyError: there is no such plot, or the study has nothing for it to show.
        """
        from lrbench.report.frames import frames_of
        from lrbench.report.plot import PLOTS, figure_of

        if self.evidence is None:
            raise StudyError(f"this outcome of study '{self.results.study}' has no runs to draw: take `Lab.plot`")
        return figure_of(PLOTS.find(kind), frames_of(self.evidence, self.results, ""), task)

    def to_frame(self) -> pd.DataFrame:
        """Return the results as a pandas DataFrame; see `Results.to_frame`."""
        return self.results.to_frame()

    def display(self, width: int = LINE_WIDTH, *, drawn: bool = False) -> Iterator[Block]:
        yield from self.results.display(width, drawn=drawn)
        yield ""
        yield self.tally.sentence
        failures = Counter(failure.error for task in self.results.tasks for failure in task.failures)
        for error, count in failures.most_common():
            yield f"{many(count, 'run')} failed: {error}"
        if self.kept is not None:
            yield self.kept_sentence

    @property
    def kept_sentence(self) -> str:
        return f"Another study '{self.results.study}' was in the store: it is kept as {self.kept}."

    def to_json(self) -> dict[str, Any]:
        """Return the document of `lrbench run --json`."""
        return self.results.to_json() | self.tally.to_json()


class LabArguments(TypedDict, total=False):
    """The arguments of a `Lab`, which each of its questions takes too."""

    store: Store | Location | None
    data_root: Location | None
    download: bool
    device: str
    workers: Workers
    engine: Engine
    gpus_per_worker: float
    listener: Listener | None
    listeners: Sequence[Listener]
    progress: bool


class ImportArguments(ReadingArguments, LabArguments, total=False):
    """The arguments of an import."""


class ComparisonArguments(StudyArguments, LabArguments, total=False):
    """The arguments of a comparison."""


def _of_lab(method: Callable[..., object], arguments: dict[str, Any]) -> dict[str, Any]:
    """Take the arguments that are not a method's own, but its lab's, out of those of a call."""
    return {name: arguments.pop(name) for name in arguments.keys() - {one.name for one in own_parameters(method)}}


def _question(method: Callable[Concatenate[Lab, P], T]) -> Callable[Concatenate[Lab, P], T]:
    """Answer in a lab with other arguments where a method of `Lab` is given some as `**lab`."""

    parameters = [*own_parameters(method), Parameter("lab", Parameter.VAR_KEYWORD, annotation="Unpack[LabArguments]")]

    @wraps(method)
    def question(lab: Lab, /, *args: P.args, **kwargs: P.kwargs) -> T:
        changes = _of_lab(method, kwargs)
        if not changes:
            return method(lab, *args, **kwargs)
        kept = {name: getattr(lab, name) for name in LabArguments.__annotations__.keys() - changes}
        with Lab(**kept, **changes) as other:
            return method(other, *args, **kwargs)

    question.__dict__["__signature__"] = signature(method).replace(parameters=parameters)
    return question


class Lab:
    """Answer questions about policies with runs: a store, data, and how the runs that are missing are trained.

    Every function of lrbench that trains is a method of a lab; called without one, it makes a lab for itself. A method
    takes the arguments of a lab too, in place of the lab's own for that call. A lab opens its store when it first needs
    it, and closes it at the end of a `with` block, unless it was given open::

        with lrbench.Lab(store="runs.db", workers=4) as lab:
            lab.run("quickstart")
            print(lab.recommend("mnist1d-mlp"))

    Args:
        store: an open store or where it is; by default LRBENCH_STORE, else `lrbench.db` in the working directory.
        data_root: the folder of data sets, laid out as torchvision does.
        download: let torchvision download what is missing there.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        workers: how many processes train: 1 for this one alone, "auto" for one a core (or a GPU) as far as there is
            enough to do; or a Ray cluster, "ray" or its address.
        engine: "serial", one run after the other and exact to the bit; "stacked", many as one batched computation; or
            "auto" for what a short probe finds faster, for each task whose runs can all be stacked.
        gpus_per_worker: on Ray, the share of a GPU that a worker is given.
        listener: hears of the progress of training, in place of the display.
        listeners: hear of it too, beside the display, such as `lrbench.Tracking("tensorboard:runs")`.
        progress: show the progress of training where stderr is a terminal or a notebook's.

    Raises:
        StudyError: there are no such workers.
    """

    def __init__(
        self,
        *,
        store: Store | Location | None = None,
        data_root: Location | None = None,
        download: bool = False,
        device: str = "auto",
        workers: Workers = "auto",
        engine: Engine = "auto",
        gpus_per_worker: float = 0.0,
        listener: Listener | None = None,
        listeners: Sequence[Listener] = (),
        progress: bool = True,
    ) -> None:
        self.data_root, self.download, self.listener, self.progress = data_root, download, listener, progress
        self.listeners = tuple(listeners)
        self.device, self.engine, self.gpus_per_worker = device, engine, gpus_per_worker
        self.workers = parse_workers(workers)
        self._given = store

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @cached_property
    def store(self) -> Store:
        """The store, opened when it is first asked for, and made only where the lab can train.

        Raises:
            StoreError: it cannot be opened.
            StudyError: there is no such engine, or Ray is not installed.
            TaskError: there is no such device.
        """
        check_training(self.device, self.workers, self.engine, self.gpus_per_worker)
        return self._given if isinstance(self._given, Store) else open_store(self._given)

    def close(self) -> None:
        """Close the store that the lab has opened; the next question opens it again."""
        opened = vars(self).pop("store", self._given)
        if opened is not self._given:
            opened.close()

    @contextmanager
    def _trainer(self) -> Iterator[Trainer]:
        """Open what trains into the store, with progress shown."""
        shown = progress_where_seen() if self.progress and self.listener is None else nullcontext(self.listener)
        store = self.store
        with shown as listener:
            if self.listeners:
                listener = Listeners(*filter(None, (listener, *self.listeners)))
            yield Trainer(store, self.device, self.workers, self.engine, self.gpus_per_worker, listener)

    def task(self, task: TaskLike) -> AnyTask:
        """Return the task itself, or that of a name or a table, with its data.

        Raises:
            TaskError, DataError: there is none, or its data cannot be used.
        """
        return task_of(task, data_root=self.data_root, download=self.download)

    def study(
        self,
        study: Study | Location,
        *,
        steps: Length | None = None,
        at: Sequence[Length] | None = None,
        seeds: int | str | None = None,
        confirm: int | None = None,
        budget: str | None = None,
        by: By = (),
    ) -> Study:
        """Return the study itself, or that of a file, with its data; with another budget, seeds or goals where given.

        Raises:
            StudyError: there is none, or it cannot be used.
        """
        if not isinstance(study, Study):
            asked: dict[str, Any] = {"steps": steps, "seeds": seeds, "confirm": confirm, "budget": budget, "by": by}
            return load_study(study, data_root=self.data_root, download=self.download, at=at, **asked)
        if study.is_at_horizons and (steps is not None or at is not None):
            raise StudyError(
                f"study '{study.name}' was made with horizons, its budgets: give it other ones where it is made, "
                f"not {'steps' if at is None else 'at'} where it is run"
            )
        changes: dict[str, Any] = {"tasks": tuple(task.with_budget(steps) for task in study.tasks)}
        changes |= settings_given(at, confirm, budget, by)
        if seeds is not None:
            numbers, first = split_seeds(seeds, study.name)
            changes |= {"seeds": seeds_of(numbers, study.name), "until_decided": first}
        return replace(study, **changes)

    @_question
    def run(
        self,
        study: Study | Location,
        *,
        steps: Length | None = None,
        at: Sequence[Length] | None = None,
        seeds: int | str | None = None,
        confirm: int | None = None,
        budget: str | None = None,
        by: By = (),
        **lab: Unpack[LabArguments],
    ) -> Outcome:
        """Train what a study asks for and the store does not have yet, and rank its policies.

        Args:
            study: a `Study`, a TOML file, or the name of a study that ships with lrbench, such as "quickstart".
            steps: the budget of every task in iterations, in place of the study's own; see `Task.with_budget`.
            at: the horizons, in place of those of the file; see `Study`. A run with a constant part goes on from a
                shorter one that was trained before.
            seeds: train with seeds 0, 1, ..., `seeds` - 1, in place of the study's own; or "5..40": with 5, and up to
                40 for the policies that more can help, until all are decided.
            confirm: on how many fresh seeds the winner and its closest rivals are trained again, in place of the
                study's own.
            budget: the most runs or iterations, such as "200 runs", in place of the study's own; see `Study`.
            by: the goals that rank and judge, in place of the study's own; see `Study`.
            lab: store, data_root, download, device, workers, engine, gpus_per_worker, listener, listeners, progress:
                see `Lab`.

        Raises:
            LRBenchError: the study, its data or the store cannot be used; nothing is trained then.
            TaskError: policies take their peak from a range test, and no learning rate learns anything.
            KeyboardInterrupt: after Ctrl-C, with everything written; running the study again goes on from there.
        """
        asked = self.study(study, steps=steps, at=at, seeds=seeds, confirm=confirm, budget=budget, by=by)
        return self._answered(asked, "study")

    def results(self, study: int | str, *, by: By = ()) -> Results:
        """Rank and judge the policies of a study in the store; nothing is trained.

        Args:
            study: its name, NAME@VERSION or its number.
            by: the goals that rank and judge, in place of the study's own; see `Study`.

        Raises:
            StoreError: the store has no such study, or cannot be read.
            StudyError: a goal cannot be used.
        """
        return results(study, self.store, by)

    @_question
    @spells_out(ReadingArguments, Reading)
    def import_runs(self, source: Source, name: str | None = None, **reading: Unpack[ImportArguments]) -> Imported:
        """Write runs that another program trained into the store, as a study: all of them or none.

        The same source under the same name is nothing new. Imported runs are never those of a study that lrbench
        trains, whatever the names are.

        Args:
            source: where the runs are; this and the arguments after the name are as for `lrbench.judge`.
            name: of the study, by default that of the file or folder without its suffix.
            metric, better, margin, target, columns, pattern, wide, paired: see `lrbench.judge`, but that a target is
                one for `steps_to_target`.
            lab: as for `run`, though nothing is trained.

        Raises:
            StudyError: the runs cannot be read or used.
            StoreError: another study has the name, or the store cannot be written.
        """
        given: Any = reading  # arguments of a lab are taken out of it
        return runs_to_import(source, name, **given).into(self.store)

    def plot(self, kind: str, study: int | str, *, task: str | None = None, by: By = ()) -> Figure:
        """Draw a study in the store as a matplotlib figure; nothing is trained.

        Args:
            kind: one of `lrbench list plots`, such as "ranking", "training" or "cost".
            study: its name, NAME@VERSION or its number.
            task: which task of a study that has several.
            by: the goals that rank and judge, in place of the study's own; see `Study`.

        Raises:
            StoreError: the store has no such study, or cannot be read.
            StudyError: there is no such plot, or the study has nothing for it to show.
        """
        from lrbench.report.frames import study_frames
        from lrbench.report.plot import PLOTS, figure_of

        return figure_of(PLOTS.find(kind), study_frames(study, self.store, by), task)

    def _answered(self, study: Study, kind: Kind) -> Outcome:
        with self._trainer() as trainer:
            before = trainer.store.find(study.name)
            evidence, tally = trainer.trained(with_auto_peaks(study, trainer), kind)
            after = None if before is None or not before.is_latest else trainer.store.entry(before.id)
            kept = None if after is None or after.is_latest else after.address
            return Outcome(answer(evidence), tally, kept, evidence)

    @_question
    @spells_out(StudyArguments, Study)
    def compare(self, policies: Policies, task: TaskLike, **study: Unpack[ComparisonArguments]) -> Outcome:
        """Train policies on a task with the same seeds, as far as the store lacks them, and rank them with verdicts.

        The arguments are those of a `Study`: `compare({"flat": "FIX(k0=0.1)", "wave": wave}, task)`. On the command
        line, `lrbench compare` shows two policies of a study that was run.

        Args:
            policies: values, texts, functions of the iteration, lists of LRs or tables, in a list or by their names.
            task: a `Task`, the name of a registered one, such as "mnist1d-mlp", or a table as under [task].
            modifiers, axes, seeds, budget, steps, margin, by, target, confirm, name and the others: see `Study`.
            lab: as for `run`.

        Raises:
            LRBenchError: the policies, the task or the store cannot be used; nothing is trained then.
        """
        given: Any = study  # arguments of a lab are taken out of it
        return self.run(Study(policies=policies, task=self.task(task), **given))

    @_question
    @spells_out(StudyArguments, Study)
    def horizons(
        self,
        policies: Policies,
        task: TaskLike,
        *,
        at: Sequence[Length] = ("25%", "50%", "100%"),
        **study: Unpack[ComparisonArguments],
    ) -> Outcome:
        """Train policies on a task for several budgets, and say what training on one trunk for all of them costs.

        A policy with a constant part, such as `WSD`, is trained once along it, and its cooldowns fork from there; each
        is the same, bit for bit, as a run of that budget alone. `Outcome.results.horizons` has score against budget.

        Args:
            policies: as for `compare`; a warmup that is a part of the budget is that of the task's own.
            at: the budgets: shares such as "25%", iterations, or lengths such as "2e6tok"; see `Study`.
            task, seeds, steps and the others: as for `compare`; `steps` is the budget that shares are of.
            lab: as for `run`.

        Raises:
            LRBenchError: the policies, the task or the store cannot be used; nothing is trained then.
        """
        given: Any = study  # arguments of a lab are taken out of it
        return self.run(Study(policies=policies, task=self.task(task), horizons=at, **given))

    @_question
    def score(
        self,
        policy: PolicyLike,
        task: TaskLike,
        *,
        seeds: int | Sequence[int] | str = 5,
        steps: Length | None = None,
        target: float | None = None,
        base_lr_scales: Sequence[float] = (),
        **lab: Unpack[LabArguments],
    ) -> Scorecard:
        """Train one policy on a task with several seeds, and measure what it is worth.

        Args:
            policy: a policy or its text, such as "TRI(k0=0.01, k1=0.1, l=0.1dur)"; or a function of the iteration, such
                as `lambda t: 0.1 * 0.999**t`, or the LR of each iteration.
            task: a `Task`, or the name of a registered one, such as "mnist1d-mlp".
            seeds: how many (0, 1, ...), or which.
            steps: the budget in iterations, in place of the task's own; see `Task.with_budget`.
            target: the validation objective to reach, for `steps_to_target`.
            base_lr_scales: factors at which the policy is trained as well, for its robustness over the base LR.
            lab: as for `run`.

        Raises:
            LRBenchError: the policy, the task or the store cannot be used; nothing is trained then.
            TaskError: every run raised an error; the store has the tracebacks.
        """
        seeds, task = seeds_of(seeds, "score"), self.task(task).with_budget(steps)
        policy = policy_of(policy, task.steps)
        study = Study(
            name=f"score {policy} on {task.name}, {task.steps} iterations",
            task=task,
            policies=[policy],
            seeds=seeds,
            target=target,
            base_lr_scales=base_lr_scales,
        )
        (scored,) = self._answered(study, "score").results.tasks
        if not scored.scorecards:
            raise TaskError(f"no run of {policy} on task '{task.name}' could be finished: {scored.failures[0].error}")
        return replace(scored.scorecards[0], verdict=None, verdicts={})

    @_question
    def range_test(
        self,
        task: TaskLike,
        *,
        seeds: int | Sequence[int] = 5,
        steps: int | None = None,
        sweep: Sweep = "exponential",
        sweep_range: tuple[float, float] = (1e-6, 10.0),
        **lab: Unpack[LabArguments],
    ) -> RangeTest:
        """Find the range of constant learning rates in which a task learns, and where it stops to learn.

        Args:
            task: a `Task`, or the name of a registered one, such as "mnist1d-mlp".
            seeds: how many (0, 1, ...), or which; the range is the median over them.
            steps: iterations of each run; by default a fifth of the task's own, from 100 to 500.
            sweep: "exponential" or "linear": how the LR rises in the runs that find about where to look.
            sweep_range: from where to where it rises.
            lab: as for `run`.

        Raises:
            LRBenchError: the task or the store cannot be used, or no learning rate learns anything.
        """
        seeds, task = seeds_of(seeds, "range test"), self.task(task)
        with self._trainer() as trainer:
            return find_range(task, trainer, seeds=seeds, steps=steps, sweep=sweep, sweep_range=sweep_range)

    @_question
    def search(
        self,
        search: Search | Location,
        *,
        steps: Length | None = None,
        seeds: int | None = None,
        policies: int | None = None,
        mirror: str | None = None,
        **lab: Unpack[LabArguments],
    ) -> SearchResult:
        """Search a space of policies for the best one on a task, and confirm it on fresh seeds.

        A search that was stopped goes on where it was, and one that is done is answered from the store.

        Args:
            search: a `Search`, a TOML file with a [search] table, or the name of one that ships with lrbench.
            steps: the whole budget of a run in iterations, in place of the task's own; see `Task.with_budget`.
            seeds: train with seeds 0, 1, ..., `seeds` - 1, in place of the search's own.
            policies: try at most this number of policies, in place of the search's own.
            mirror: the URL of an Optuna storage, such as "sqlite:///optuna.db", that is kept up to date for
                optuna-dashboard; the search itself needs none.
            lab: as for `run`.

        Raises:
            LRBenchError: the search, its data or the store cannot be used.
            KeyboardInterrupt: after Ctrl-C, with everything written.
        """
        if isinstance(search, Search):
            chosen = search.seeds if seeds is None else seeds_of(seeds, search.name)
            policies = search.policies if policies is None else policies
            search = replace(search, task=search.task.with_budget(steps), seeds=chosen, policies=policies)
        else:
            search = load_search(
                search, data_root=self.data_root, download=self.download, steps=steps, seeds=seeds, policies=policies
            )
        with self._trainer() as trainer, trainer.store.lease() as lease:
            return run_search(search, replace(trainer, lease=lease), mirror_to=mirror)

    @_question
    def verify(
        self,
        policy: PolicyLike,
        task: TaskLike,
        *,
        target: float,
        seeds: int | Sequence[int] = 5,
        steps: Length | None = None,
        **lab: Unpack[LabArguments],
    ) -> Verification:
        """Train a policy with several seeds, and decide whether it reaches a target: yes, no or undecided.

        Args:
            policy, task: as for `score`.
            target: the validation objective to reach by the end of the budget, as a mean over seeds.
            seeds: how many, after all that runs of the policy on the task have used, or which; at least two.
            steps: the budget in iterations, in place of the task's own. Lengths that are fractions of it follow it.
            lab: as for `run`.

        Raises:
            LRBenchError: the policy, the task or the store cannot be used, or a run failed.
        """
        task = self.task(task).with_budget(steps)
        policy = policy_of(policy, task.steps)
        check_scores({"target": target}, task, "verify")
        with self._trainer() as trainer:
            return check_policy(policy, task, trainer, target=target, seeds=_count_or_seeds(seeds, "verify"))

    @_question
    def recommend(
        self,
        task: TaskLike,
        *,
        goal: str = "accuracy",
        at_most: int = 3,
        without: Collection[str] = (),
        range_test: bool = False,
        target: float | None = None,
        seeds: int | Sequence[int] = 5,
        steps: Length | None = None,
        **lab: Unpack[LabArguments],
    ) -> Advice:
        """Recommend policies for a task from the nearest evidence: the store's runs and those that ship with lrbench.

        Numbers on fresh seeds come first, then the order is by the worse end of the interval. Nothing is trained unless
        `range_test` or `target` asks for it; without them, the data of the task need not be there.

        Args:
            task: a `Task`, or the name of a registered one, such as "mnist1d-mlp", or of one of imported runs.
            goal: "accuracy", "cost" (iterations until near the best), "robust" (against a wrong base LR), or a goal
                that ranks studies, such as "loss" or "seconds:5%", with verdicts by it; see `Study`.
            at_most: how many policies.
            without: the names of studies to leave out of the evidence, as to see what the others say.
            range_test: where there is no evidence, train a range test, and recommend common policies with its LRs.
            target: train them on the task, in their order, until one is verified to reach this validation objective.
            seeds: of that verification, as for `verify`.
            steps: the budget in iterations that the advice is for, in place of the task's own.
            lab: as for `run`.

        Raises:
            LRBenchError: the goal or a study to leave out is unknown, the task or the store cannot be used, there is no
                evidence, or nothing learns on the task.
        """
        if at_most < 1:
            raise StudyError(f"recommend: at_most = {at_most} must be at least 1")
        seeds, asked = _count_or_seeds(seeds, "recommend"), self._asked(task, steps)
        if asked.is_imported and (range_test or target is not None):
            raise StudyError(
                f"nothing can be trained on task '{asked.name}', of which the store has imported runs alone"
            )
        if target is not None:
            check_scores({"target": target}, self.task(task), "recommend")
        with self._trainer() as trainer:
            known = evidence_by_task(trainer.store, without)
            advice = advise(asked, known, goal=goal, at_most=at_most)
            if advice is None and not range_test:
                raise StudyError(
                    f"task '{asked.name}': {no_evidence(goal)}, in {trainer.store.name} or shipped with lrbench; ask "
                    "for a range test (--range-test, range_test=True)"
                )
            if advice is not None and target is None:
                return advice
            task = self.task(task).with_budget(steps)
            if advice is None:
                advice = advise_by_range_test(task, trainer, goal=goal, at_most=at_most)
            return advice if target is None else verified(advice, task, trainer, target=target, seeds=seeds)

    def _asked(self, task: TaskLike, steps: Length | None) -> AskedTask:
        """Describe the task of a question that may be answered without the task's data, or is of imported runs."""
        from lrbench.tasks.registry import tasks

        if isinstance(task, str) and task not in tasks and (imported := imported_task(task, self.store)) is not None:
            own = Budget(imported.steps, imported.steps)
            return imported if steps is None else replace(imported, steps=round_iterations(steps, own))
        try:
            return AskedTask.of(self.task(task).with_budget(steps))
        except DataError:
            assert not isinstance(task, AnyTask)
            settings = settings_from_dict({"base": task} if isinstance(task, str) else task).with_budget(steps)
            if isinstance(settings.steps, str):
                raise
            return AskedTask.of(settings)


def _count_or_seeds(seeds: int | Sequence[int], where: str) -> int | tuple[int, ...]:
    """Check seeds; a number of them stays a number."""
    known = seeds_of(seeds, where)
    return len(known) if isinstance(seeds, Integral) else known


def _alone(method: Callable[Concatenate[Lab, P], T]) -> Callable[P, T]:
    """Make a function of a question of `Lab`, which makes a lab for itself.

    Its signature spells out the arguments of that lab, for `help` and completion.
    """

    @wraps(method)
    def function(*args: P.args, **kwargs: P.kwargs) -> T:
        with Lab(**_of_lab(method, kwargs)) as lab:
            return method(lab, *args, **kwargs)

    parameters = [*own_parameters(method)[1:], *signature(Lab).parameters.values()]
    function.__dict__["__signature__"] = signature(method).replace(parameters=parameters)
    function.__qualname__ = function.__name__
    return function


run = _alone(Lab.run)
compare = _alone(Lab.compare)
horizons = _alone(Lab.horizons)
score = _alone(Lab.score)
range_test = _alone(Lab.range_test)
search = _alone(Lab.search)
verify = _alone(Lab.verify)
recommend = _alone(Lab.recommend)
import_runs = _alone(Lab.import_runs)
