"""The messages between a coordinator and its workers: plain values that can be sent to another process or machine."""

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
    from lrbench.tasks import AnyTask

EngineName = Literal["serial", "stacked"]
History = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Setup:
    """The setup of a worker.

    Attributes:
        tasks: by their keys.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        seconds_at_risk: the work that a killed process may lose: a lane that takes longer leaves snapshots.
    """

    tasks: Mapping[str, AnyTask]
    device: str
    seconds_at_risk: float


@dataclass(frozen=True)
class LaneSpec:
    """A branch of a study's tree, for a worker.

    Attributes:
        name: identifies the lane in messages.
        start, stop: the iterations to train, counted from 0; `stop` is not among them.
        lrs: their learning rates, or the policy where that is reactive, or the task's runs do not fork.
        watchers: the watcher of each run of the branch, if it has one, by the run's key.
        history: for a reactive policy, the evaluations before `start`: (iterations done, gain of the validation
            objective).
        state: the checkpoint that it goes on from; None for the initial weights.
        folder: the folder that a training function may keep checkpoints in.
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
    folder: str = ""


@dataclass(frozen=True)
class TrainLanes:
    """Lanes of one task for one worker: one for the serial engine, any number for the stacked one."""

    task: str
    engine: EngineName
    lanes: tuple[LaneSpec, ...]


@dataclass(frozen=True)
class Probe:
    """The question how many lanes of a task, up to `at_most`, are trained fastest at once."""

    task: str
    at_most: int


@dataclass(frozen=True)
class Step:
    """The progress of a lane.

    Attributes:
        segments: the new segment of each of its runs, by key.
        snapshot: the state after them as a checkpoint; None where the runs have ended.
        done: whether the lane is at its stop, or has diverged.
        history: as in `LaneSpec`, up to now.
    """

    segments: Mapping[str, Segment]
    snapshot: bytes | None
    done: bool
    history: History = ()


@dataclass(frozen=True)
class Progress:
    """The progress of lanes, by name, which is written in one transaction."""

    steps: Mapping[str, Step]


@dataclass(frozen=True)
class Lanes:
    """The answer to a probe: 1 where lanes are trained fastest one by one."""

    count: int


@dataclass(frozen=True)
class OrderDone:
    """A worker has carried out its order, and is idle."""


@dataclass(frozen=True)
class OrderFailed:
    """An order raised an error; the worker is idle again."""

    traceback: str


@dataclass(frozen=True)
class WorkerDied:
    """A worker is gone with its work since its last message; another has taken its place."""

    reason: str


Order = TrainLanes | Probe
Message = Progress | Lanes | OrderDone | OrderFailed | WorkerDied
