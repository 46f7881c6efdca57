"""studies/step_grid.toml as the tree that it is, beside each of its runs trained for itself.

Both are trained by the serial engine in one process. Without the tree, a fork is said to cost more than any run, so
that the same code shares nothing.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from harness import ROOT, Candidate, Comparison, Settings, Size, alternate, answer_of, timed

SEEDS_AND_STEPS = {Size.FULL: (5, 1000), Size.QUICK: (1, 1000), Size.TOY: (1, 100)}
ROUNDS = {Size.FULL: 3, Size.QUICK: 3, Size.TOY: 1}
TREE = "step_grid as a tree"
ALONE = "each of its runs for itself"


def compare(settings: Settings) -> list[Comparison]:
    seeds, steps = SEEDS_AND_STEPS[settings.size]

    def candidate(sharing: str) -> Candidate:
        return lambda: answer_of("cases.tree", sharing, str(seeds), str(steps))

    candidates = {ALONE: candidate("alone"), TREE: candidate("shared")}
    rounds = alternate(candidates, settings.rounds_or(ROUNDS))
    note = f"{seeds} seed{'s' if seeds > 1 else ''} of {steps} iterations"
    return [rounds.compare(TREE, ALONE, measure, note) for measure in ("seconds", "iterations")]


def main(sharing: str, seeds: int, steps: int) -> None:
    from lrbench.store import open_store
    from lrbench.study.file import load_study
    from lrbench.training import estimate
    from lrbench.training.runner import RunCounts, run

    if sharing == "alone":
        estimate.SECONDS_OF_A_FORK = 1e9
    study = load_study(ROOT / "studies" / "step_grid.toml", seeds=seeds, steps=steps)
    tallies: list[RunCounts] = []
    with tempfile.TemporaryDirectory() as folder, open_store(Path(folder) / "lrbench.db") as store:
        seconds = timed(lambda: tallies.append(run(study, store, device="cpu", workers=1, engine="serial")))
    print(json.dumps({"seconds": seconds, "iterations": tallies[0].steps_trained}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
