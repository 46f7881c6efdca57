"""How often a modifier's effect is said to depend on the policy, where it does not and where it does.

Effects [policies, seeds] are simulated (tests/interactions.py). `none` has equal means, so that every claim is wrong.
In `one`, one policy is 1.5 standard deviations ahead, in `half` half of them are ahead by one, and in `line` they lie
evenly over two.

    python -m tests.benchmarks.interaction_rates --studies 2000

It prints a line a cell and keeps its numbers in interaction_rates.json beside this file: the shares of studies with
p <= 5%, by the rotation test of lrbench, by what it had before, an analysis of variance with the correction of
Greenhouse and Geisser (1959), and by that with the correction of Huynh and Feldt (1976).
"""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path

from lrbench.metrics import equal_means_p
from tests.interactions import CASES, greenhouse_geisser_p, huynh_feldt_p, rejected

ANSWER = Path(__file__).with_suffix(".json")
EFFECTS = ("none", "one", "half", "line")
POLICIES = (2, 3, 4, 8, 12)
SEEDS = (3, 5, 10, 20)

TESTS = {"rotation": equal_means_p, "greenhouse_geisser": greenhouse_geisser_p, "huynh_feldt": huynh_feldt_p}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000, metavar="N", help="simulated studies a cell")
    studies = parser.parse_args().studies
    answer = json.loads(ANSWER.read_text()) if ANSWER.exists() else {}
    for effects, case, policies, seeds in product(EFFECTS, CASES, POLICIES, SEEDS):
        name = f"{effects} | {case} | {policies} policies | {seeds} seeds"
        if answer.get(name, {}).get("studies", 0) < studies:
            shares = {key: rejected(test, case, effects, policies, seeds, studies) for key, test in TESTS.items()}
            answer[name] = {key: round(share, 4) for key, share in shares.items()} | {"studies": studies}
            ANSWER.write_text(json.dumps(answer, indent=1) + "\n")
        print(name, answer[name], flush=True)


if __name__ == "__main__":
    main()
