"""The values that are written to a store and read from it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields
from hashlib import blake2b
from typing import Any, Literal, NamedTuple, Self, overload

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from lrbench.policy.budget import Budget
from lrbench.policy.table import RATES

Status = Literal["running", "finished", "diverged", "failed"]

ENDED: tuple[Status, ...] = ("finished", "diverged")
"""The statuses of runs whose numbers are final; any other run is trained when it is next asked for."""


@dataclass(frozen=True)
class Score:
    """An evaluation: losses, and the task's objective on validation and test, which may be nan or infinite.

    A loss is nan where it was not measured.
    """

    step: int
    train_loss: float
    val_loss: float
    val_score: float
    test_loss: float
    test_score: float


LOSSES = ("train_loss", "val_loss")
"""The columns that no evaluation of lrbench's engine lacks."""

EVALUATION = np.dtype([(one.name, np.int64 if one.name == "step" else np.float64) for one in fields(Score)])
"""An evaluation as an element of an array."""


class Scores(Sequence[Score]):
    """A run's evaluations by rising step, in one array, since a store of 100,000 runs has millions of them.

    Args:
        table: `EVALUATION` [evaluations].
    """

    def __init__(self, table: NDArray[np.void] | None = None) -> None:
        self._table = np.empty(0, EVALUATION) if table is None else table

    def __len__(self) -> int:
        return len(self._table)

    @overload
    def __getitem__(self, place: int) -> Score: ...
    @overload
    def __getitem__(self, place: slice) -> Scores: ...
    def __getitem__(self, place: int | slice) -> Score | Scores:
        if isinstance(place, slice):
            return Scores(self._table[place])
        return Score(*self._table[place].tolist())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Scores):
            mine, theirs = (self._table, other._table)
            return all(np.array_equal(mine[name], theirs[name], equal_nan=True) for name in EVALUATION.fields or ())
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __repr__(self) -> str:
        return repr(tuple(self))

    def column(self, name: str) -> NDArray[Any]:
        """Return a field of all evaluations as an array [evaluations]."""
        column: NDArray[Any] = self._table[name]
        return column

    def steps(self) -> tuple[int, ...]:
        return tuple(self._table["step"].tolist())


@dataclass(frozen=True)
class Segment:
    """The results of a segment of a run.

    Attributes:
        step: the iterations of the run after it.
        seconds: the wall time of its training, without that of its evaluations and of other watchers.
        flops: the floating-point operations of training of the whole run so far.
        final: the metrics of the last evaluation, once the run is finished.
        checkpoint: the file name of the state after it, from which the run goes on.
        provenance: the software and hardware that trained it, where the run began with other ones.
        exact: whether the serial engine trained it, whose numbers are exact to the bit.
        evaluating: the wall time of its evaluations, in seconds; None where `seconds` includes it.
    """

    step: int
    seconds: float
    flops: int
    scores: tuple[Score, ...]
    status: Status = "running"
    diverged_at: int | None = None
    final: Mapping[str, Any] | None = None
    checkpoint: str | None = None
    provenance: Mapping[str, Any] | None = None
    exact: bool = True
    evaluating: float | None = 0.0


@dataclass(frozen=True)
class NewRun:
    """A run before its training."""

    key: str
    task: str
    task_key: str
    policy: str
    modifiers: str
    seed: int
    steps: int
    provenance: Mapping[str, Any]


@dataclass(frozen=True)
class StoredRun(NewRun):
    """A run in the store.

    Attributes:
        seconds: the wall time of its training; where `evaluating` is None, of its evaluations too.
        created: when it was begun, in seconds since 1970.
        exact: whether the serial engine alone trained it; the stacked one's numbers differ by rounding.
        evaluating: the wall time of its evaluations, in seconds; None where that is not told from training: by a
            training function, and in a store of schema 4 or older.
    """

    status: Status
    step: int
    seconds: float
    flops: int
    diverged_at: int | None
    error: str | None
    final: Mapping[str, Any] | None
    checkpoint: str | None
    created: float = field(compare=False)
    exact: bool
    evaluating: float | None
    scores: Scores = field(default_factory=Scores)

    @property
    def ended(self) -> bool:
        """Whether the numbers are final."""
        return self.status in ENDED


@dataclass(frozen=True)
class StudySlot:
    """A place of a study that a run fills: a policy with a variant, on a task, with a seed, at a base-LR scale."""

    task: str
    stage: str
    policy: str
    variant: str
    scale: float
    seed: int
    run: str


Kind = Literal["study", "imported", "search", "rung", "confirmation", "range_test", "score", "verify"]
"""The kind of a study: a user's own, runs from elsewhere, or a part of a search, range test, score or verification."""

ASKED_IN_PARTS: tuple[Kind, ...] = ("rung", "range_test", "verify")
"""The kinds that ask for more and more of their runs, each time from the first on: a part makes no new version."""


IMPORTED_KEY = "imported:"
"""What the keys of tasks begin with whose runs come from elsewhere; lrbench's own begin with a hash."""


class _Record(BaseModel):
    """A value that is stored as JSON."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")


class TaskRecord(_Record):
    """A task of a study, as far as verdicts and metrics need it.

    Attributes:
        steps, steps_per_epoch, eval_every: the budget, the length of an epoch and of an evaluation's interval, in
            iterations.
        tokens_per_step, parameters: of a task on a text, the tokens of an iteration, and the parameters of its model.
        chance: the objective's value for guessing; None where it is not known.
        bounds: the lowest and the highest value of the objective; None in older records.
        test_samples, val_samples: the sizes of the splits; None where they are not known.
        trunk: a digest that is equal for budgets of one task whose runs may share iterations; None where not known.
        paired: whether the runs of one seed belong together; not hashed, since the digest of a source covers it.
    """

    name: str
    key: str
    steps: int
    steps_per_epoch: int
    eval_every: int
    objective: str
    chance: float | None
    better: Literal["higher", "lower"] = "higher"
    bounds: tuple[float | None, float | None] | None = None
    class_names: tuple[str, ...] | None = None
    test_samples: int | None
    val_samples: int | None
    paired: bool = True
    tokens_per_step: int | None = None
    parameters: int | None = None
    trunk: str | None = None

    @property
    def is_imported(self) -> bool:
        """Whether its runs come from elsewhere."""
        return self.key.startswith(IMPORTED_KEY)

    @property
    def budget(self) -> Budget:
        return Budget(self.steps, self.steps_per_epoch, self.tokens_per_step, self.parameters)


class PolicyRecord(_Record):
    """A policy of a study: its name there, its text, and its peak where a range test found that.

    Attributes:
        lrs: the LRs that the text has only a digest of. To read the record is to know them.
    """

    name: str
    policy: str
    found_peak: float | None = None
    lrs: tuple[tuple[float, ...], ...] = ()

    def model_post_init(self, context: object) -> None:
        for one in self.lrs:
            RATES.read(one)


class Proposal(_Record):
    """A policy that a search asks for.

    Attributes:
        batch: the number of its batch, from 0.
        phase: 1, or 2 for a policy that goes on from a first stage of the search.
        policy: its text.
        settings: of the task, at which it is trained; none for the task's own.
        params: the sampler's choices, by dimension.
        notes: whole numbers that the sampler keeps with it.
    """

    batch: int
    phase: int
    policy: str
    settings: Mapping[str, Any] = {}
    params: Mapping[str, Any]
    notes: Mapping[str, int]


class SearchRecord(_Record):
    """The proposals of a search.

    Attributes:
        identity: settings that must be the same for the search to go on.
        asked: the proposals, oldest first.
        trained: the iterations of training of each batch, without those of a process that was killed.
    """

    identity: Mapping[str, Any]
    asked: tuple[Proposal, ...] = ()
    trained: Mapping[int, int] = {}

    @property
    def batches(self) -> int:
        """The number of batches."""
        return self.asked[-1].batch + 1 if self.asked else 0


class SourceRecord(_Record):
    """The source of an imported study.

    Attributes:
        digest: a hash of its runs and of how they were read.
        planned: whether the looks were fixed before the runs, as in a study that lrbench trained and exported; without,
            the runs of each policy are all that there will be.
    """

    digest: str
    planned: bool = False


class StudyRecord(_Record):
    """A study, as far as its results need it beside the runs.

    Attributes:
        seeds: in the order in which they are given to policies.
        until_decided: the number of seeds with which every policy begins, where more are added until it is decided.
        looks: the numbers of seeds at which verdicts are made, each with its share of the error rate, as they were
            fixed when the study was first run; None in older records.
        variants: the names of the variants; the empty one is training without modifiers.
        by: the goals that rank, each NAME or NAME:MARGIN; none for the objective of each task.
        tolerated_divergence: the share of seeds on which a policy may diverge.
        search: the proposals of a record of kind "search", which has no runs itself.
        source: the source of the runs of a record of kind "imported".
    """

    margin: float = 0.01
    target: float | None = None
    confirm: int = 0
    base_lr_scales: tuple[float, ...] = ()
    seeds: tuple[int, ...] = ()
    until_decided: int | None = None
    looks: tuple[tuple[int, float], ...] | None = None
    policies: tuple[PolicyRecord, ...] = ()
    variants: tuple[str, ...] = ("",)
    tasks: tuple[TaskRecord, ...] = ()
    by: tuple[str, ...] = ()
    tolerated_divergence: float = 0.0
    search: SearchRecord | None = None
    source: SourceRecord | None = None

    def fingerprint(self, slots: Iterable[StudySlot] = ()) -> str:
        """Hash the record with its runs, in any order."""
        content = [self.model_dump_json(exclude=self._not_hashed), sorted(astuple(slot) for slot in slots)]
        return blake2b(json.dumps(content).encode(), digest_size=16).hexdigest()

    @property
    def _not_hashed(self) -> dict[str, Any]:
        """The fields that are not hashed.

        Looks stay as they were at first, older records lacked fields, the text of a policy has a digest of LRs, and the
        key of a task one of its tokens and its model.
        """
        added = ("until_decided", "by", "tolerated_divergence", "source")
        lacked = {name: True for name in added if not getattr(self, name)}
        return {
            "looks": True,
            "policies": {"__all__": {"lrs"}},
            "tasks": {"__all__": {"paired", "tokens_per_step", "parameters", "trunk"}},
            **lacked,
        }

    def going_on_from(self, older: Self) -> Self:
        """Return this record with the looks of an older one that it adds to, with its seeds first and its fresh seeds.

        Looks hold only if they were fixed before anything was seen, and seeds only in the order in which they came.
        """
        added = tuple(seed for seed in self.seeds if seed not in older.seeds)
        confirm = max(self.confirm, older.confirm)
        return self.model_copy(update={"looks": older.looks, "seeds": older.seeds + added, "confirm": confirm})

    def adds_to(self, older: Self) -> bool:
        """Tell whether this record has the terms of an older one."""
        terms = ("margin", "target", "until_decided", "tolerated_divergence")
        return all(getattr(self, name) == getattr(older, name) for name in terms)


@dataclass(frozen=True)
class StudyEntry:
    """A study in the list of a store, or the record of a search.

    Attributes:
        id: its number in this store.
        version: a number that no other record of the same name has.
        parent: the id of the record that it belongs to, as a rung does to its search.
        is_latest: whether its name alone means it, since no other study of the name was run after it.
    """

    id: int
    kind: Kind
    name: str
    version: int
    parent: int | None
    is_latest: bool

    @property
    def address(self) -> str:
        """The name of the study, with its version where it is not the latest: NAME or NAME@VERSION."""
        return self.name if self.is_latest else f"{self.name}@{self.version}"


@dataclass(frozen=True)
class Holder:
    """A coordinator that holds runs: its machine, its process there, and the number of runs."""

    machine: str
    process: int
    runs: int


@dataclass(frozen=True)
class Coordinator:
    """A coordinator that is alive.

    Attributes:
        heard: the seconds since its last heartbeat.
        runs: the keys of the runs that it holds.
        studies: the ids of the studies that these runs are of.
    """

    machine: str
    process: int
    heard: float
    runs: frozenset[str]
    studies: frozenset[int]


@dataclass(frozen=True)
class StudyTotals:
    """Totals over the runs of a study, each run counted once.

    Attributes:
        statuses: the number of runs by status; "missing" for those that were not begun.
        steps: the iterations that were done, shared ones counted in each run.
        seconds: the wall time of training and evaluating.
        created: when the last run was begun, in seconds since 1970; None without a run.
        last_run: a number that is higher for a study that was run later.
    """

    statuses: Mapping[str, int]
    steps: int
    seconds: float
    created: float | None
    last_run: int


class RunProgress(NamedTuple):
    """How far a run is: its status, the iterations done and those of its budget."""

    status: Status
    step: int
    steps: int
