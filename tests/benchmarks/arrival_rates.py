"""How often a study claims what is false of the iterations to a target, by what is wrong with late policies.

As in error_rates.py, whole studies are simulated whose truth is the least favourable one: every policy but the first is
late, or never there, on exactly half of its seeds, so that it counts as close for `avoid` and as not close for `good`;
of unpaired runs, in exactly half of the pairs of a run of each.

    python -m tests.benchmarks.arrival_rates --studies 1000

It prints a line a cell and keeps its numbers in arrival_rates.json beside this file. `t tests` are those of steps that
are cut at the budget, which do not hold the error rate; with them means are compared. Neither do, of unpaired runs of
two policies, t tests wherever no run misses the target (`means where all arrive`), Wilcoxon's test and that of Brunner
and Munzel.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lrbench.metrics.familywise import ScoresAtLooks, familywise_p
from lrbench.metrics.looks import Looks
from lrbench.metrics.pairs import Pairs, Ranks, Signs, Unpaired
from lrbench.metrics.racing import next_seeds
from tests.arrivals import ALONE, ARRIVALS, arrivals, arrivals_alone

ANSWER = Path(__file__).with_suffix(".json")
ALPHA = 0.05
FIRST, LAST = 5, 40
POLICIES = (2, 5, 13)
DESIGNS = ("once at 8", "once at 20", "every number to 40", "race 5..40")
CUT = "t tests, once at 5"
BUDGET = 1000.0
UNPAIRED = {
    f"unpaired, {one} and {other} runs": (one, other)
    for one, other in (*((n, n) for n in (3, 4, 5, 6, 8, 12, 20)), (3, 20), (20, 3), (5, 20), (20, 5))
}
"""The runs of the best policy, and those of each other one."""
UNPAIRED_POLICIES = (2, 3, 5, 12)
OTHER_TESTS = ("means where all arrive", "Wilcoxon", "Brunner and Munzel")
LATEST = 1e9

FloatArray = NDArray[np.float64]


def claimed(design: str, gains: FloatArray, margin: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which policies are called good and which avoid, [studies, policies] each."""
    seen, done = gains, np.full(gains.shape[:-1], LAST)
    match design.split():
        case ["once", "at", seeds]:
            looks, done = Looks.once(int(seeds)), np.full(gains.shape[:-1], int(seeds))
        case ["every", *_]:
            looks = Looks.planned(FIRST)
        case _:
            looks = Looks.between(FIRST, LAST)
            done = np.array([raced(study, margin, looks) for study in gains])
            seen = np.where(np.arange(LAST) < done[..., None], gains, np.nan)
    p_good, p_avoid = familywise_p(ScoresAtLooks(seen, done, looks, test=Signs), margin)
    return p_good[-1] <= ALPHA, p_avoid[-1] <= ALPHA


def raced(gains: FloatArray, margin: float, looks: Looks) -> NDArray[np.int64]:
    """How many seeds each policy has been given once a race is over."""
    done = np.zeros(len(gains), dtype=np.int64)
    while True:
        seen = np.where(np.arange(LAST) < done[:, None], gains, np.nan)
        more = next_seeds(seen, done, margin, looks, LAST, test=Signs)
        if (more == done).all():
            return done
        done = more


def cut_at_the_budget(k: int, seeds: int, studies: int, missed: float) -> tuple[FloatArray, float]:
    """Steps of which all policies but the first have a share cut at the budget; their means are beyond the margin."""
    rng = np.random.default_rng([k, seeds])
    steps = 300 + 60 * rng.standard_normal((studies, k, seeds))
    never = (rng.random((studies, k, seeds)) < missed) & (np.arange(k)[:, None] > 0)
    return -np.where(never, BUDGET, steps), 0.9 * missed * (BUDGET - 300)


def wrong_alone(test: str, gains: FloatArray, margin: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which policies a test calls good and avoid, of runs that share no seeds; by default `Ranks`."""
    done, looks = np.full(gains.shape[:-1], gains.shape[-1]), Looks.once(gains.shape[-1])
    p_good, p_avoid = (p[-1] for p in familywise_p(ScoresAtLooks(gains, done, looks, test=Ranks), margin))
    if test == OTHER_TESTS[0]:
        means = familywise_p(
            ScoresAtLooks(np.where(np.isinf(gains), np.nan, gains), done, looks, 0.0, Unpaired), margin
        )
        all_arrive = np.isneginf(gains).sum(axis=(1, 2))[:, None] == 0
        p_good, p_avoid = (np.where(all_arrive, p[-1], q) for p, q in zip(means, (p_good, p_avoid), strict=True))
    elif test:
        one, other = (row[:, ~np.isnan(row[0])] for row in np.moveaxis(np.maximum(gains, -LATEST), 1, 0))
        compare = stats.mannwhitneyu if test == "Wilcoxon" else stats.brunnermunzel
        with warnings.catch_warnings():  # without overlap Brunner and Munzel's statistic is not known
            warnings.simplefilter("ignore")
            ahead = "greater" if test == "Wilcoxon" else "less"
            p = compare(other + margin, one, alternative=ahead, axis=1).pvalue
        p_good, p_avoid = np.stack([np.ones(len(p)), np.nan_to_num(p, nan=1.0)], axis=1), np.ones((len(p), 2))
    return p_good <= ALPHA, p_avoid <= ALPHA


def cells() -> Iterator[tuple[str, int, str]]:
    """Design, policies and case."""
    yield from ((design, k, case) for design in DESIGNS for k in POLICIES for case in ARRIVALS)
    yield from ((CUT, k, f"{missed} never reach it") for k in POLICIES for missed in (0.05, 0.1, 0.3))
    for design in UNPAIRED:
        yield from ((design, k, case) for k in UNPAIRED_POLICIES for case in ALONE)
        yield from ((f"{design}, {test}", 2, case) for test in OTHER_TESTS for case in ALONE)


def simulated(design: str, k: int, case: str, studies: int) -> dict[str, float]:
    """The shares of studies with a wrong claim of each kind."""
    if design == CUT:
        gains, margin = cut_at_the_budget(k, FIRST, studies, float(case.split()[0]))
        done, looks = np.full(gains.shape[:-1], FIRST), Looks.once(FIRST)
        p_good, p_avoid = familywise_p(ScoresAtLooks(gains, done, looks, 0.0, Pairs), margin)
        good, avoid = p_good[-1] <= ALPHA, p_avoid[-1, :, :1] <= ALPHA
    elif design.startswith("unpaired"):
        runs = next(runs for name, runs in UNPAIRED.items() if design.startswith(name))
        gains, margin = arrivals_alone(case, k, runs, studies)
        test = next((test for test in OTHER_TESTS if design.endswith(test)), "")
        good, avoid = wrong_alone(test, gains, margin)
    else:
        gains, margin = arrivals(case, k, LAST, studies)
        good, avoid = claimed(design, gains, margin)
    wrong = good[:, 1:] if "equal" not in case else good[:, :0]
    shares = {"wrong_good": wrong.any(axis=1).mean(), "wrong_avoid": avoid.any(axis=1).mean()}
    return {name: round(float(share), 4) for name, share in shares.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000, metavar="N", help="simulated studies a cell")
    parser.add_argument("--only", default="", metavar="DESIGN", help="designs whose names begin like this")
    asked = parser.parse_args()
    studies = asked.studies
    answer = json.loads(ANSWER.read_text()) if ANSWER.exists() else {}
    for design, k, case in cells():
        if not design.startswith(asked.only):
            continue
        name = f"{design} | k = {k} | {case}"
        if answer.get(name, {}).get("studies", 0) < studies:
            answer[name] = simulated(design, k, case, studies) | {"studies": studies}
            ANSWER.write_text(json.dumps(answer, indent=1) + "\n")
        print(name, answer[name], flush=True)


if __name__ == "__main__":
    main()
