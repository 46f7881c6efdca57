"""What a coordinator and its workers tell each other: plain values that can be sent to another process or machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lrbench.engine import Modifier, Watcher
    from lrbench.policy import Policy
    from lrbench.store import Segment
    from lrbench.tasks import Task

EngineName = Literal["serial", "stacked"]
History = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Setup:
    """What a worker knows from its beginning.

    Attributes:
        tasks: by their keys.
        device: where to train: "auto", "cpu", "cuda", "cuda:N" or "mps".
        seconds_at_risk: how much work a killed process may lose: a lane that takes longer leaves snapshots.
    """

    tasks: Mapping[str, Task]
    device: str
    seconds_at_risk: float


@dataclass(frozen=True)
class LaneSpec:
    """One branch of a study's tree, as a worker has to know it.

    Attributes:
        name: by which messages speak of it.
        start, stop: the iterations to train, counted from 0; `stop` is not among them.
        lrs: their learning rates; where these depend on evaluations, the policy that finds them.
        watchers: by the key of each run that the branch answers, what watches it, if anything does.
        history: for a reactive policy, the evaluations before `start`: (iterations done, gain of the validation
            objective).
        state: the checkpoint that it goes on from; None for the initial weights.
    """

    name: str
    seed: int
    start: int
    stop: int
    lrs: NDArray[np.float64] | Policy
    modifiers: tuple[Modifier, ...]
    watchers: Mapping[str, Watcher | None]
    history: History = ()
    state: bytes | None = None


@dataclass(frozen=True)
class TrainLanes:
    """Lanes of one task for one worker: one for the serial engine, any number for the stacked one."""

    task: str
    engine: EngineName
    lanes: tuple[LaneSpec, ...]


@dataclass(frozen=True)
class Probe:
    """The question how many lanes of a task are trained fastest at once, `at_most` so many."""

    task: str
    at_most: int


@dataclass(frozen=True)
class Step:
    """What a lane has come to.

    Attributes:
        segments: what that adds to each of its runs, by key.
        snapshot: the state after them as a checkpoint; None where the runs have ended.
        done: whether the lane needs no more work: it has come to its stop, or has diverged.
        history: all evaluations so far, where the policy reacts to them.
    """

    segments: Mapping[str, Segment]
    snapshot: bytes | None
    done: bool
    history: History = ()


@dataclass(frozen=True)
class Progress:
    """Where lanes have come to, by name; facts that belong together and are written together."""

    steps: Mapping[str, Step]


@dataclass(frozen=True)
class Lanes:
    """The answer to a probe: 1 where lanes are trained fastest one by one."""

    count: int


@dataclass(frozen=True)
class OrderDone:
    """A worker has done what it was given."""


@dataclass(frozen=True)
class OrderFailed:
    """What a worker was given raised an error; the worker is idle again."""

    traceback: str


@dataclass(frozen=True)
class WorkerDied:
    """A worker is gone, with what it was doing since its last message; another has taken its place."""

    reason: str


Order = TrainLanes | Probe
Message = Progress | Lanes | OrderDone | OrderFailed | WorkerDied
