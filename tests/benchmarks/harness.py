"""Candidates that take turns, and what their measurements say about each other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from statistics import median
from typing import Any

BENCHMARKS = Path(__file__).parent
ROOT = BENCHMARKS.parents[1]
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
NOT_PASSED_ON = (*THREADS, "LRBENCH_STORE", "PYTHONDONTWRITEBYTECODE")

Measured = Mapping[str, float]
"""What a candidate measured in a round by name, such as "seconds"."""
Candidate = Callable[[], Measured]
"""Does its work once, and says what that took."""


class Size(StrEnum):
    """How much is trained: enough for figures to publish, for a first impression, or to see that it works."""

    FULL = "full"
    QUICK = "quick"
    TOY = "toy"


@dataclass(frozen=True)
class Settings:
    """What the command line asks for; `rounds` is None where each benchmark has its own number of them.

    `device` is that of the benchmark of GPUs.
    """

    size: Size
    rounds: int | None
    data_root: Path
    device: str

    def rounds_or(self, usual: Mapping[Size, int]) -> int:
        return usual[self.size] if self.rounds is None else self.rounds


@dataclass(frozen=True)
class Comparison:
    """One candidate of ours beside a baseline, both measured in the same rounds.

    Attributes:
        what: our candidate.
        baseline: what it is compared with.
        ours, theirs: what they measured, round by round.
        measure: what of that is compared; less of it is better.
        note: what a reader has to know to judge the ratio.
    """

    what: str
    baseline: str
    ours: Sequence[Measured]
    theirs: Sequence[Measured]
    measure: str = "seconds"
    note: str = ""

    @property
    def ratios(self) -> list[float]:
        """How many times as much the baseline needs, round by round."""
        return [theirs[self.measure] / ours[self.measure] for ours, theirs in zip(self.ours, self.theirs, strict=True)]

    def to_json(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "baseline": self.baseline,
            "measure": self.measure,
            "ratio": median(self.ratios),
            "lowest": min(self.ratios),
            "highest": max(self.ratios),
            "n": len(self.ratios),
            "ratios": self.ratios,
            "ours": list(self.ours),
            "theirs": list(self.theirs),
            "note": self.note,
        }


class Rounds(dict[str, list[Measured]]):
    """What every candidate measured, by its name and round."""

    def compare(self, ours: str, theirs: str, measure: str = "seconds", note: str = "") -> Comparison:
        return Comparison(ours, theirs, self[ours], self[theirs], measure, note)


def alternate(candidates: Mapping[str, Candidate], rounds: int, warm_up: bool = False) -> Rounds:
    """Let all candidates have their turn in each round; a first round that only warms up is not kept."""
    measured = Rounds({name: [] for name in candidates})
    for number in range(0 if warm_up else 1, rounds + 1):
        for name, candidate in candidates.items():
            seen = candidate()
            told = ", ".join(f"{measure} {value:.4g}" for measure, value in seen.items())
            print(f"  round {number} of {rounds}  {name}: {told}", file=sys.stderr, flush=True)
            if number:
                measured[name].append(seen)
    return measured


def timed(work: Callable[[], object]) -> float:
    """The wall seconds that some work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


# Candidates in processes of their own --------------------------------------------------------------------------------


def environment(threads: int | None = None, **more: str) -> dict[str, str]:
    """The environment of a candidate: so many threads, or as many as its libraries take where they are not told.

    Python keeps what it compiles, as it does of an installed package.
    """
    told = {} if threads is None else dict.fromkeys(THREADS, str(threads))
    kept = {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}
    return {**kept, **told, **more}


def finished(command: Sequence[str], folder: Path, env: Mapping[str, str]) -> str:
    """The standard output of a command once it has ended; raises RuntimeError with what it said if it failed."""
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed with exit code {done.returncode}:\n{done.stderr[-4000:]}")
    return done.stdout


def answer_of(module: str, *arguments: str, threads: int | None = None) -> dict[str, float]:
    """The JSON on the last line that `python -m MODULE ARGUMENTS` prints, run in this folder."""
    said = finished([sys.executable, "-m", module, *arguments], BENCHMARKS, environment(threads))
    answer: dict[str, float] = json.loads(said.strip().splitlines()[-1])
    return answer


@contextmanager
def served(module: str, *arguments: str) -> Iterator[Candidate]:
    """A process of one thread that does its work whenever it is asked, and waits idly while others have their turn.

    `python -m MODULE ARGUMENTS` is to call `serve`.
    """
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(
        command, cwd=BENCHMARKS, env=environment(1), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def once() -> Measured:
            stdin.write("\n")
            stdin.flush()
            said = stdout.readline()
            if not said:
                raise RuntimeError(f"{' '.join(command)} ended: see what it said above")
            return {"seconds": float(said)}

        yield once


def serve(work: Callable[[], object]) -> None:
    """Do some work for each line on standard input, and print the seconds that it took."""
    for _ in sys.stdin:
        print(timed(work), flush=True)
