"""Policies of your own numbers: functions of the iteration, lists of LRs, CSV files."""

import math
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lrbench.errors import PolicyError
from lrbench.policy import FIX, POLYLINE, TABLE, load_lrs, parse, policy_of, tabulate
from lrbench.policy.curve import policy_html, sketch

LONG = [0.1 * 0.99**t for t in range(300)]


def test_a_function_of_one_iteration_and_one_of_an_array_are_the_same_policy() -> None:
    one = tabulate(lambda t: 0.1 if t < 100 else 0.01, 200)
    assert one(99) == 0.1
    assert one(100) == 0.01
    assert one == tabulate(lambda t: np.where(np.less(t, 100), 0.1, 0.01), 200)
    assert tabulate(lambda t: t.clip(0, 100) / 1000, 200)(150) == 0.1  # an int has no clip
    assert hash(one) == hash(policy_of(one.array.tolist()))
    assert one != tabulate(lambda t: 0.1 if t < 101 else 0.01, 200)


def test_a_factor_for_torchs_lambda_lr_times_a_peak_gives_the_lrs_of_torch() -> None:
    def factor(t: int) -> float:
        return 0.5 * (1 + math.cos(math.pi * t / 50))

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    theirs = []
    for _ in range(50):
        theirs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert tabulate(factor, 50, peak=0.3).lrs(0, 50).tolist() == theirs


def test_short_tables_are_written_out_and_long_ones_are_named_by_a_digest_of_their_lrs() -> None:
    short, long = TABLE(values=[0.1, 0.05]), TABLE(values=LONG)
    assert str(short) == "TABLE(values=[0.1, 0.05])"
    assert len(str(long)) < 80
    assert str(long).startswith('TABLE(values="300 LRs of 0.004954 to 0.1, ')
    for policy in (short, long, long.warmup(10), FIX(k0=0.1).then(long, at=20), POLYLINE(values=LONG, l="1dur")):
        assert parse(str(policy)) == policy == pickle.loads(pickle.dumps(policy))
    assert str(TABLE(values=[*LONG[:-1], LONG[-1] + 1e-9])) != str(long)


def test_another_process_does_not_know_the_lrs_of_a_digest_and_says_so() -> None:
    code = "import sys; from lrbench.policy import parse; parse(sys.argv[1])"
    ended = subprocess.run([sys.executable, "-c", code, str(TABLE(values=LONG))], capture_output=True, text=True)
    assert "the text has a digest of them, and no study that was read here has the LRs themselves" in ended.stderr


def test_a_pickled_table_is_known_where_it_is_read() -> None:
    policy = TABLE(values=[lr + 1 for lr in LONG])
    code = "import pickle, sys; from lrbench.policy import parse; p = pickle.load(sys.stdin.buffer)"
    code += "; assert parse(str(p)) == p and p(299) == float(sys.argv[1])"
    ended = subprocess.run([sys.executable, "-c", code, repr(policy(299))], input=pickle.dumps(policy))
    assert ended.returncode == 0


def test_a_budget_of_more_iterations_than_lrs_is_refused_wherever_the_table_stands() -> None:
    table = TABLE(values=[0.1] * 20)
    fits = [
        (table, 20),
        (table, 5),
        (table.scaled(0.5), 20),
        (table.repeated(20), 1000),
        (table.then(FIX(k0=0.1), at=20), 1000),
        (FIX(k0=0.1).then(table, at=30), 50),
        (POLYLINE(values=[0.1] * 20, l="1dur"), 1000),
    ]
    for policy, steps in fits:
        assert policy.bind(steps, 10).lrs(0, steps).shape == (steps,)
    lacking = [
        (table, 21),
        (table.warmup(5), 21),
        (table.repeated(21), 1000),
        (table.then(FIX(k0=0.1), at=21), 1000),
        (FIX(k0=0.1).then(table, at=30), 51),
        (table.then(table, at="0.5dur"), 42),
    ]
    for policy, steps in lacking:
        with pytest.raises(
            PolicyError, match=r"has LRs for \d+ iterations, and the budget has [\d,]+: give one for each"
        ):
            policy.bind(steps, 10)


def test_a_polyline_has_the_same_shape_in_every_budget() -> None:
    drawn = POLYLINE(values=[0, 0.1, 0.1, 0], l="1dur")
    for steps in (30, 300):
        bound = drawn.bind(steps, 10)
        assert [bound(steps // 3), bound(2 * steps // 3), bound(steps)] == [0.1, 0.1, 0.0]
        assert bound(steps // 6) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "values must be a list of 1 to 1,000,000 learning rates, .*: there are 0"),
        ([0.1, math.nan], "not .*: that of iteration 1 is nan"),
        ([0.1, 0.2, -1], "not .*: that of iteration 2 is -1"),
        ([[0.1], [0.2]], "each a finite number of at least 0, not"),
        (["0.1"], r"\['0.1'\] must be a policy, its text such as"),
        (FIX, "must be a policy, its text such as"),
        (lambda t: -t, "the function of the iteration gives -1.0 for iteration 1: an LR is a finite number"),
        (lambda t: 1 / (3 - t), "the function of the iteration fails for iteration 3: ZeroDivisionError"),
        (lambda: 0.1, "the function of the iteration fails for iteration 0: TypeError"),
        (lambda t: "a", "the function of the iteration fails for iteration 0: ValueError"),
        (lambda t: sys.exit(3), "the function of the iteration fails for iteration 0: SystemExit: 3"),
    ],
)
def test_what_is_no_lr_is_named(given: object, says: str) -> None:
    with pytest.raises(PolicyError, match=says) as raised:
        policy_of(given, 10)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)


def test_a_function_with_a_name_is_named_where_it_fails() -> None:
    def my_rates(t: int) -> float:
        return math.sqrt(2 - t)

    with pytest.raises(PolicyError, match="my_rates fails for iteration 3: ValueError"):
        policy_of(my_rates, 10)
    for steps in (0, 10**7, 1.5):
        with pytest.raises(PolicyError, match=f"a function is asked for 1 to 1,000,000 iterations, not {steps}"):
            tabulate(my_rates, steps)  # type: ignore[arg-type]


def test_the_curve_of_a_table_is_as_long_as_it_is() -> None:
    found = sketch(TABLE(values=LONG))
    assert found is not None
    assert found.lrs.tolist() == LONG
    assert found.horizon == "300 iterations"
    assert "300 LRs of 0.004954 to 0.1" in policy_html(TABLE(values=LONG))


@pytest.mark.parametrize(
    "text", ["0.1\n0.05\n", "lr\n0.1\n0.05", "# mine\nstep,LR\n0,0.1\n1,0.05\n\n", "\ufeffmine\r\n0.1\r\n0.05\r\n"]
)
def test_a_csv_file_has_lrs_in_its_one_column_or_in_that_called_lr(text: str, tmp_path: Path) -> None:
    file = tmp_path / "lrs.csv"
    file.write_text(text, newline="")
    assert load_lrs(file).tolist() == [0.1, 0.05]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a,b\n1,2\n", "must have one column, or one that is called lr"),
        (b"", "must have one column, or one that is called lr"),
        (b"lr\n0.1\nhigh\n", "line 3 has no number in its column of LRs"),
        (b"step,lr\n0,0.1\n1\n", "line 3 has no number in its column of LRs"),
        (b"step,lr\n0,0.1\n50,0.05\n", "line 3 is of step 50, where 1 is needed: a CSV of LRs has a row for each"),
        (b"iteration,lr\n1,0.1\n2,0.05\n4,0.02\n", "line 4 is of iteration 4, where 3 is needed"),
        (b"\xff\xfe", "is not a CSV file in UTF-8"),
        (b'lr\n"' + b"1" * 200_000 + b'"', "is not a CSV file in UTF-8"),
    ],
)
def test_a_csv_file_that_cannot_be_used_is_refused_in_a_sentence(content: bytes, says: str, tmp_path: Path) -> None:
    file = tmp_path / "lrs.csv"
    file.write_bytes(content)
    with pytest.raises(PolicyError, match=f"lrs.csv:? {says}"):
        load_lrs(file)
    with pytest.raises(PolicyError, match="cannot be read as a CSV file: it is a folder"):
        load_lrs(tmp_path)
    with pytest.raises(PolicyError, match="cannot be read as a CSV file: No such file"):
        load_lrs(tmp_path / "none.csv")
