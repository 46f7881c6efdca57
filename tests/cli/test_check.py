"""`lrbench check` on traces of real loops."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.optim.lr_scheduler import ExponentialLR
from typer.testing import Result

from lrbench.schedule_check.trace import trace

Command = Callable[..., Result]
POLICY = ("--policy", "EXP(k0=0.5, gamma=0.9)", "--steps", "20")


@pytest.fixture
def traced(tmp_path: Path) -> Callable[[int], Path]:
    """Traces of a loop that steps its scheduler a number of times each iteration."""

    def traced(times: int) -> Path:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
        trace(optimizer, file := tmp_path / f"{times}.trace")
        scheduler = ExponentialLR(optimizer, 0.9)
        for _ in range(20):
            optimizer.step()
            for _ in range(times):
                scheduler.step()
        return file

    return traced


def test_the_exit_code_says_whether_the_policy_ran(lrbench: Command, traced: Callable[[int], Path]) -> None:
    right, wrong = lrbench("check", traced(1), *POLICY), lrbench("check", traced(2), *POLICY)

    assert (right.exit_code, wrong.exit_code) == (0, 1)
    assert right.stdout == "The schedule that ran is EXP(k0=0.5, gamma=0.9) at each of its 20 steps.\n"
    assert wrong.stdout.startswith("stepped several times: The scheduler was stepped 2 times an optimizer step")


def test_without_a_policy_what_ran_is_shown(lrbench: Command, traced: Callable[[int], Path]) -> None:
    result = lrbench("check", traced(2))

    assert result.exit_code == 0
    assert result.stdout == "The schedule that ran is EXP(k0=0.5, gamma=0.81) at each of its 20 steps.\n"


def test_the_document_has_the_faults_with_their_mends(lrbench: Command, traced: Callable[[int], Path]) -> None:
    result = lrbench("check", traced(0), *POLICY, "--json")
    document = json.loads(result.stdout)

    assert result.exit_code == 1
    assert (document["ok"], document["steps"], document["seen"]) == (False, 20, 20)
    assert [(fault["name"], fault["mend"]) for fault in document["faults"]] == [
        ("never stepped", "Call scheduler.step() once after each optimizer.step().")
    ]


def test_what_cannot_be_checked_exits_with_2_and_a_sentence(lrbench: Command, traced: Callable[[int], Path]) -> None:
    file = traced(1)
    for arguments, says in {
        ("missing.trace", *POLICY): "the trace missing.trace cannot be read: No such file or directory",
        (file, "--policy", "TRI", "--steps", "20"): "'TRI' is a function, which needs its numbers",
        (file, "--policy", "STEP(k0=1, gamma=0.5, l=1ep)", "--steps", "20"): "steps_per_epoch is needed for l=1ep",
        (file, "--policy", "FIX(k0=1)", "--steps", "0"): "'0' is not a whole number from 1",
    }.items():
        result = lrbench("check", *arguments)
        assert result.exit_code == 2
        assert says in result.stderr
