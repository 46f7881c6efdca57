"""A trace: the learning rates that an optimizer really had, one line a step, written and read.

A trace is a file of JSON lines. A session, which is one process that trains, begins with an object that describes it;
each line after it is a list of the step and the LR of each parameter group.
"""

from __future__ import annotations

import json
import os
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lrbench.errors import TraceError
from lrbench.files import read_regular, user_path
from lrbench.policy.budget import MAX_ITERATIONS, read_number, read_whole
from lrbench.policy.policy import FloatArray, IntArray

if TYPE_CHECKING:
    from torch.optim import Optimizer

FORMAT = "lrbench trace"
VERSION = 1

MOST_ROWS = 1_000_000
"""The most steps that a session writes."""

MOST_BYTES = 256 * 2**20
"""The largest trace that is read."""

TAIL = 1 << 16
"""How many bytes at a file's end are searched for its last step."""


@dataclass(frozen=True)
class Trace:
    """The learning rates of an optimizer's steps.

    Attributes:
        steps: the iterations, 0-based and increasing, [n].
        lrs: the LR of each parameter group at each of them, [n, groups]; NaN where there was no such group.
        ratios: of each group, the ratio of its LR to the policy's; None where none is known.
        resumes: the iterations at which a later session began.
        rank, world_size: which process wrote the trace, and of how many.
        is_full: a session has written as many steps as it may.
    """

    steps: IntArray
    lrs: FloatArray
    ratios: tuple[float | None, ...] = (1.0,)
    resumes: tuple[int, ...] = ()
    rank: int = 0
    world_size: int = 1
    is_full: bool = False


class TraceWriter:
    """What writes the trace of an optimizer; `trace` makes one."""

    def __init__(self, optimizer: Optimizer, path: Path, rank: int, world_size: int, step: int | None) -> None:
        import torch

        self._optimizer, self._path = optimizer, path
        self._about = {"rank": rank, "world_size": world_size, "optimizer": type(optimizer).__name__}
        self._step, self._rows = step, 0
        last = _last_step(path)
        self._resumed, self._next = last is not None, (last or 0) + (last is not None)
        # A line at a time, so that a process that is killed leaves the steps it has done.
        self._file = path.open("a", buffering=1, encoding="utf-8")
        self._hook = optimizer.register_step_pre_hook(torch.compiler.disable(self._record))

    def close(self) -> None:
        """End the trace; the optimizer is as it was before."""
        self._hook.remove()
        self._file.close()

    def _record(self, optimizer: Optimizer, *_: Any) -> None:
        try:
            if self._rows == 0:
                self._begin()
            self._write([self._next, *(float(group["lr"]) for group in optimizer.param_groups)])
            self._next, self._rows = self._next + 1, self._rows + 1
            if self._rows == MOST_ROWS:
                self._write({"full": True})
                self.close()
        except OSError as error:
            warnings.warn(f"the trace {self._path} ends here: {error}", stacklevel=2)
            self._hook.remove()

    def _begin(self) -> None:
        """Describe the session when its first step is due: only then is what it resumes from loaded."""
        done = _steps_done(self._optimizer) if self._step is None else self._step
        self._next = self._next if done is None else done
        groups = self._optimizer.param_groups
        header = {FORMAT: VERSION, "step": self._next, "resumed": self._resumed, "ratios": _ratios(groups)}
        self._write(header | self._about)

    def _write(self, line: object) -> None:
        self._file.write(json.dumps(line) + "\n")


def trace(optimizer: Optimizer, path: str | Path, *, step: int | None = None) -> TraceWriter | None:
    """Record the learning rates that an optimizer really has, one line a step, in a file.

    Call it once, before training, with any optimizer of torch or a wrapper of one that has it as `optimizer`
    (accelerate, Lightning). It changes no number of the training. A file that exists is appended to, as by a run that
    is resumed.

    Args:
        optimizer: the optimizer whose steps are recorded.
        path: the file. Of several processes only the first writes, unless `{rank}` is in the path, in place of which
            each has its number.
        step: iterations done before; by default those that the optimizer's state has counted (Adam's has), else those
            in the file.

    Returns:
        What writes, whose `close()` ends the trace; None in a process that does not write.

    Raises:
        TraceError: the file cannot be written, or is there and is no trace; or `optimizer` is no optimizer of torch.
    """
    while hasattr(optimizer, "optimizer"):
        optimizer = optimizer.optimizer
    if not hasattr(optimizer, "register_step_pre_hook"):
        raise TraceError(f"trace takes an optimizer of torch, not a {type(optimizer).__name__}")
    if step is not None and (not isinstance(step, int) or not 0 <= step <= MAX_ITERATIONS):
        raise TraceError(f"step is the iterations done before, a whole number of at least 0, not {step!r}")
    rank, world_size = _process()
    if rank and "{rank}" not in str(path):
        return None
    file = user_path(str(path).replace("{rank}", str(rank)))
    try:
        return TraceWriter(optimizer, file, rank, world_size, step)
    except OSError as error:
        raise TraceError(f"the trace {file} cannot be written: {error.strerror or error}") from None


def read_trace(path: str | Path) -> Trace:
    """Read a trace; where a later session has done a step again, its learning rates count.

    Raises:
        TraceError: the file cannot be read, is no trace or is damaged, or has no steps.
    """
    try:
        lines = read_regular(user_path(path), MOST_BYTES).decode("utf-8", "replace").splitlines()
    except OSError as error:
        raise TraceError(f"the trace {path} cannot be read: {error.strerror or error}") from None
    headers: list[dict[str, Any]] = []
    rows: dict[int, list[float]] = {}
    is_full = False
    for number, (line, after) in enumerate(zip(lines, [*lines, "{"][1:], strict=True), start=1):
        value = _parsed(line)
        if isinstance(value, dict) and FORMAT in value:
            header = _header(value, f"{path}: line {number}")
            headers = [*(one for one in headers if one["step"] < header["step"]), header]
            rows = {step: lrs for step, lrs in rows.items() if step < header["step"]}
        elif isinstance(value, dict) and headers:
            is_full = True
        elif headers and (row := _row(value)) is not None:
            rows[row[0]] = row[1]
        elif not headers:
            raise TraceError(f"{path} is no trace of lrbench, which begins with a line that describes the run")
        elif not after.startswith("{"):  # a process that was killed leaves its last line cut off
            raise TraceError(f"{path}: line {number} is no list of a step and its learning rates")
    if not rows:
        raise TraceError(f"the trace {path} has no steps")
    steps = sorted(rows)
    lrs = np.full((len(steps), max(map(len, rows.values()))), np.nan)
    for place, step in enumerate(steps):
        lrs[place, : len(rows[step])] = rows[step]
    last = headers[-1]
    ratios = (*last["ratios"], *[None] * lrs.shape[1])[: lrs.shape[1]]
    resumes = tuple(header["step"] for header in headers[1:])
    return Trace(np.array(steps), lrs, ratios, resumes, last["rank"], last["world_size"], is_full)


def _process() -> tuple[int, int]:
    """Return the rank of this process and how many there are."""
    import torch.distributed as processes

    if processes.is_available() and processes.is_initialized():
        return processes.get_rank(), processes.get_world_size()
    with suppress(ValueError):
        return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    return 0, 1


def _steps_done(optimizer: Optimizer) -> int | None:
    """Return the steps that an optimizer's state has counted; None where it counts none."""
    return max((int(state["step"]) for state in optimizer.state.values() if "step" in state), default=None)


def _ratios(groups: list[dict[str, Any]]) -> list[float | None]:
    """Return the ratio of each group's LR to the policy's: the one it notes, else that of its initial LR."""
    initial = [float(group.get("initial_lr", group["lr"])) for group in groups]
    first = read_number(groups[0].get("lr_ratio")) or 1.0
    noted = [read_number(group.get("lr_ratio")) for group in groups]
    known = [first * lr / initial[0] if initial[0] > 0 else None for lr in initial]
    return [known[place] if ratio is None else ratio for place, ratio in enumerate(noted)]


def _last_step(path: Path) -> int | None:
    """Return the last step in a trace that is there, and end a line that is cut off; None where there is no trace.

    Raises:
        TraceError: the file is no trace.
        OSError: it cannot be read or written.
    """
    if not path.exists() or path.stat().st_size == 0:
        return None
    with path.open("rb+") as file:
        if (
            not isinstance(start := _parsed(file.readline(TAIL).decode("utf-8", "replace")), dict)
            or FORMAT not in start
        ):
            raise TraceError(f"{path} is there and is no trace of lrbench: give the trace a path of its own")
        file.seek(max(0, path.stat().st_size - TAIL))
        tail = file.read()
        if not tail.endswith(b"\n"):
            file.write(b"\n")
    rows = (_row(_parsed(line)) for line in reversed(tail.decode("utf-8", "replace").splitlines()))
    return next((row[0] for row in rows if row is not None), None)


def _parsed(line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _row(value: object) -> tuple[int, list[float]] | None:
    """Read a line of a step and its learning rates; None where it is none."""
    if not isinstance(value, list) or len(value) < 2:
        return None
    step, lrs = read_whole(value[0]), [lr for lr in value[1:] if isinstance(lr, float | int)]
    known = step is not None and 0 <= step <= MAX_ITERATIONS and len(lrs) == len(value) - 1
    return (step, [float(lr) for lr in lrs]) if known and step is not None else None


def _header(value: dict[str, Any], where: str) -> dict[str, Any]:
    """Read the line that describes a session.

    Raises:
        TraceError: it is of another version, or a value of it is not allowed.
    """
    if value[FORMAT] != VERSION:
        raise TraceError(f"{where}: this lrbench reads traces of version {VERSION}, not {value[FORMAT]!r}")
    whole = {name: read_whole(value.get(name)) for name in ("step", "rank", "world_size")}
    ratios = value.get("ratios")
    if any(number is None or number < 0 for number in whole.values()) or not isinstance(ratios, list):
        raise TraceError(f"{where} lacks the step, ratios, rank or world_size of the session that it describes")
    return {**whole, "ratios": [read_number(ratio) for ratio in ratios]}
