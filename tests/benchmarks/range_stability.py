"""Whether a range test finds the same range with other seeds, and whether its upper end is one.

The range of a task is found twice, with five seeds each that have nothing in common. Then five further seeds train
FIX at the upper end of the first range, and at ten times that.

    python tests/benchmarks/range_stability.py mnist1d-mlp
    python tests/benchmarks/range_stability.py mnist-lenet cifar10-cnn3 --data-root DIR

It takes up what an earlier call has trained, and writes what it finds into range_stability.json beside this file.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lrbench
from lrbench.lr_range.crossings import Estimate
from lrbench.lr_range.range_test import RangeTest
from lrbench.metrics import Scorecard
from lrbench.policy import FIX
from lrbench.study.file import load_study
from lrbench.study.study import Study, StudyPolicy
from lrbench.tasks import AnyTask

ANSWER = Path(__file__).with_suffix(".json")
SEEDS = (range(5), range(5, 10))
FURTHER_SEEDS = range(10, 15)
SAMPLES = 500
"""So many samples of each split are evaluated on: a range is read off the training loss, which takes none."""

BEYOND = 10
MOST_APART = 2


@dataclass(frozen=True)
class Case:
    """A task by its data's folder, and the iterations of each run."""

    task: Callable[[Path], AnyTask]
    steps: int


CASES = {
    "mnist1d-mlp": Case(lambda root: lrbench.load_task("mnist1d-mlp", data_root=root), 200),
    "mnist-lenet": Case(lambda root: lrbench.load_task("mnist-lenet", data_root=root), 100),
    "cifar10-cnn3": Case(lambda root: load_study("cifar10_cnn3", data_root=root).tasks[0], 100),
}


def examined(name: str, data_root: Path, store: Path) -> dict[str, Any]:
    """The two ranges of a task, how far they are apart, and what becomes of their upper end."""
    case = CASES[name]
    task = case.task(data_root)
    task = task.evaluated_on(SAMPLES)
    tests = [lrbench.range_test(task, seeds=seeds, steps=case.steps, store=store, device="cpu") for seeds in SEEDS]
    for test in tests:
        print(test, flush=True)
    found = [end for end in ("low", "high", "cliff") if all(getattr(test, end) for test in tests)]
    apart = {end: ratio(*(getattr(test, end) for test in tests)) for end in found}
    for end, factor in apart.items():
        print(f"{end:6}apart by a factor of {factor:.3f}: {'as' if factor < MOST_APART else 'NOT as'} it should be")
    ends = trained_ends(task, case.steps, tests[0].high.value, store)
    return {"steps": case.steps, "ranges": [told(test) for test in tests], "apart": apart, "ends": ends}


def ratio(one: Estimate, other: Estimate) -> float:
    """The factor between two estimates of an end of a range, at least 1."""
    return max(one.value, other.value) / min(one.value, other.value)


def told(test: RangeTest) -> dict[str, Any]:
    """A range test without its runs."""
    return {key: value for key, value in test.to_json().items() if key not in ("constant", "sweeps")}


def trained_ends(task: AnyTask, steps: int, high: float, store: Path) -> list[dict[str, Any]]:
    """What a constant learning rate at the upper end of the range comes to, and at many times that."""
    rates = {"upper end": high, f"{BEYOND} x upper end": BEYOND * high}
    study = Study(
        name=f"ends of the range of {task.name}",
        tasks=(task.with_(steps=steps, eval_every=steps),),
        policies=tuple(StudyPolicy(name, FIX(k0=rate)) for name, rate in rates.items()),
        seeds=tuple(FURTHER_SEEDS),
    )
    cards = {card.name: card for card in lrbench.run(study, store=store, device="cpu").results.tasks[0].scorecards}
    return [end(name, rate, cards[name]) for name, rate in rates.items()]


def end(name: str, rate: float, card: Scorecard) -> dict[str, Any]:
    """An end of the range beside what its runs say; accuracy is that on the validation split."""
    assert card.verdict is not None
    verdict, val = card.verdict, card.val
    accuracy = f"{val.mean:.3f} [{val.low:.3f}, {val.high:.3f}], n = {val.n}"
    print(f"{name}: FIX {rate:.3g} is {verdict.label} ({verdict.reason}), accuracy {accuracy}", flush=True)
    return {"name": name, "lr": rate, "verdict": verdict.label, "reason": verdict.reason, "accuracy": val.to_json()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="+", choices=CASES, metavar="TASK", help=", ".join(CASES))
    parser.add_argument("--store", type=Path, default=Path("range_stability.db"), help="where runs are kept")
    parser.add_argument("--data-root", type=Path, default=Path("data"), metavar="DIR")
    given = parser.parse_args()
    answer = json.loads(ANSWER.read_text()) if ANSWER.exists() else {}
    for name in given.tasks:
        answer[name] = examined(name, given.data_root, given.store)
        ANSWER.write_text(json.dumps(answer, indent=2) + "\n")


if __name__ == "__main__":
    main()
