"""The trace of an optimizer: what it had at each step, in every kind of loop, resumed, killed, in several processes."""

import json
import os
import signal
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

import lrbench
from lrbench.errors import TraceError
from lrbench.policy import TRI, PolicyLR
from lrbench.schedule_check.trace import TraceWriter, read_trace, trace

POLICY = TRI(k0=0.01, k1=0.1, l=7)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "lrs.trace"


def parameter() -> nn.Parameter:
    weight = nn.Parameter(torch.zeros(2))
    weight.grad = torch.ones(2)
    return weight


def follow(optimizer: Optimizer, scheduler: PolicyLR, steps: int) -> None:
    for _ in range(steps):
        optimizer.step()
        scheduler.step()


def test_each_step_has_the_lr_that_the_optimizer_used(file: Path) -> None:
    optimizer = SGD([parameter()], lr=0.1)
    optimizer.add_param_group({"params": [parameter()], "lr": 0.2})
    lrbench.trace(optimizer, file)
    follow(optimizer, PolicyLR(optimizer, POLICY), 30)

    read = read_trace(file)
    assert read.steps.tolist() == list(range(30))
    np.testing.assert_array_equal(read.lrs, np.stack([POLICY.lrs(0, 30), 2 * POLICY.lrs(0, 30)], axis=1))
    assert (read.ratios, read.resumes, read.rank, read.world_size) == ((1.0, 2.0), (), 0, 1)


def test_a_trace_changes_no_number_and_ends_where_it_is_closed(file: Path) -> None:
    weights = []
    for traced in (False, True):
        optimizer = Adam([weight := parameter()], lr=0.1)
        writer = trace(optimizer, file) if traced else None
        follow(optimizer, scheduler := PolicyLR(optimizer, POLICY), 5)
        if writer is not None:
            writer.close()
        follow(optimizer, scheduler, 5)
        weights.append(weight.detach().clone())
    assert torch.equal(*weights)
    assert len(read_trace(file).steps) == 5


@pytest.mark.parametrize("options", [{"fused": True}, {"foreach": True}, {"lr": torch.tensor(1.0), "foreach": False}])
def test_fused_and_tensor_lrs_are_recorded(file: Path, options: dict[str, Any]) -> None:
    optimizer = AdamW([parameter()], **{"lr": 1.0, **options})
    trace(optimizer, file)
    follow(optimizer, PolicyLR(optimizer, POLICY), 10)
    np.testing.assert_allclose(read_trace(file).lrs[:, 0], POLICY.lrs(0, 10), rtol=1e-7)


def test_a_compiled_step_is_recorded_each_time(file: Path) -> None:
    optimizer = SGD([parameter()], lr=1.0)
    trace(optimizer, file)
    scheduler = PolicyLR(optimizer, POLICY)
    step = torch.compile(lambda: optimizer.step(), backend="eager")
    for _ in range(4):
        step()
        scheduler.step()
    np.testing.assert_array_equal(read_trace(file).lrs[:, 0], POLICY.lrs(0, 4))


def test_the_optimizer_that_accelerate_has_wrapped_is_recorded(file: Path) -> None:
    optimizer = Accelerator(cpu=True).prepare(SGD([parameter()], lr=1.0))
    trace(optimizer, file)
    follow(optimizer, PolicyLR(optimizer, POLICY), 4)
    np.testing.assert_array_equal(read_trace(file).lrs[:, 0], POLICY.lrs(0, 4))


def test_a_resumed_run_goes_on_where_the_optimizers_state_is_and_replaces_what_is_done_again(file: Path) -> None:
    first = Adam([parameter()], lr=1.0)
    trace(first, file)
    scheduler = PolicyLR(first, POLICY)
    follow(first, scheduler, 6)
    saved, scheduled = deepcopy((first.state_dict(), scheduler.state_dict()))
    follow(first, scheduler, 3)  # lost: the run is killed here

    second = Adam([parameter()], lr=1.0)
    trace(second, file)
    scheduler = PolicyLR(second, POLICY)
    second.load_state_dict(saved)
    scheduler.load_state_dict(scheduled)
    follow(second, scheduler, 2)

    read = read_trace(file)
    assert read.steps.tolist() == list(range(8))
    assert read.resumes == (6,)
    np.testing.assert_array_equal(read.lrs[:, 0], POLICY.lrs(0, 8))


def test_an_optimizer_that_counts_no_steps_goes_on_after_those_in_the_file_unless_they_are_given(file: Path) -> None:
    for step in (None, None, 3):
        trace(optimizer := SGD([parameter()], lr=1.0), file, step=step)
        for _ in range(4):
            optimizer.step()
    read = read_trace(file)
    assert (read.steps.tolist(), read.resumes) == (list(range(7)), (3,))


def test_a_killed_process_leaves_the_steps_that_it_has_done(file: Path) -> None:
    code = (
        "import os, signal, torch, lrbench\n"
        "optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)\n"
        f"lrbench.trace(optimizer, {str(file)!r})\n"
        "for _ in range(3): optimizer.step()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "RANK": "0", "WORLD_SIZE": "2"}, check=False
    )
    assert ended.returncode == -signal.SIGKILL
    assert (read_trace(file).lrs.tolist(), read_trace(file).world_size) == ([[0.5]] * 3, 2)


def test_a_line_that_was_cut_off_is_left_out_also_where_the_run_went_on(file: Path) -> None:
    trace(optimizer := SGD([parameter()], lr=0.5), file)
    optimizer.step()
    with file.open("a", encoding="utf-8") as torn:
        torn.write("[1, 0.")
    assert read_trace(file).steps.tolist() == [0]
    trace(optimizer := SGD([parameter()], lr=0.25), file)
    optimizer.step()
    assert read_trace(file).lrs.tolist() == [[0.5], [0.25]]


def test_of_several_processes_the_first_writes_unless_each_has_a_file(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    optimizer = SGD([parameter()], lr=0.5)
    assert trace(optimizer, file) is None
    assert not file.exists()
    assert isinstance(trace(optimizer, tmp_path / "lrs{rank}.trace"), TraceWriter)
    optimizer.step()
    assert (read_trace(tmp_path / "lrs1.trace").rank, read_trace(tmp_path / "lrs1.trace").world_size) == (1, 2)


def test_a_session_is_bounded_and_training_goes_on(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrbench.schedule_check.trace.MOST_ROWS", 3)
    trace(optimizer := SGD([parameter()], lr=0.5), file)
    for _ in range(5):
        optimizer.step()
    assert len(read_trace(file).steps) == 3
    assert read_trace(file).is_full


def test_what_cannot_be_traced_is_refused(tmp_path: Path, file: Path) -> None:
    optimizer = SGD([parameter()], lr=0.5)
    with pytest.raises(TraceError, match="takes an optimizer of torch, not a Linear"):
        trace(nn.Linear(1, 1), file)  # type: ignore[arg-type]
    with pytest.raises(TraceError, match="a whole number of at least 0, not -1"):
        trace(optimizer, file, step=-1)
    with pytest.raises(TraceError, match="cannot be written: No such file or directory"):
        trace(optimizer, tmp_path / "missing" / "lrs.trace")
    file.write_text("my notes\n")
    with pytest.raises(TraceError, match="is there and is no trace of lrbench"):
        trace(optimizer, file)
    assert file.read_text() == "my notes\n"


HEADER = json.dumps({"lrbench trace": 1, "step": 0, "ratios": [1.0], "rank": 0, "world_size": 1})


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], "has no steps"),
        ([HEADER], "has no steps"),
        (["step,lr", "0,0.1"], "is no trace of lrbench"),
        ([HEADER.replace(": 1,", ": 2,", 1), "[0, 0.1]"], "reads traces of version 1, not 2"),
        ([HEADER.replace('"rank": 0, ', ""), "[0, 0.1]"], "line 1 lacks the step, ratios, rank or world_size"),
        ([HEADER, "[0, 0.1]", "[1, ", "[2, 0.1]"], "line 3 is no list of a step"),
        ([HEADER, '[0, "0.1"]', "[1, 0.1]"], "line 2 is no list of a step"),
        ([HEADER, "[-1, 0.1]", "[1, 0.1]"], "line 2 is no list of a step"),
    ],
)
def test_a_file_that_is_no_trace_is_refused_in_a_sentence(file: Path, lines: list[str], says: str) -> None:
    file.write_text("".join(line + "\n" for line in lines))
    with pytest.raises(TraceError, match=says):
        read_trace(file)


def test_a_trace_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="cannot be read: No such file"):
        read_trace(tmp_path / "missing.trace")
    with pytest.raises(TraceError, match="cannot be read: Is a directory"):
        read_trace(tmp_path)
