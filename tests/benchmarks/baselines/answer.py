"""How the baselines of the quickstart are asked and answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import mean

Run = tuple[str, int]
"""A schedule's name and a seed."""


def parse_runs(text: str) -> list[Run]:
    """The runs of a command line, a JSON list of pairs."""
    return [(name, seed) for name, seed in json.loads(text)]


FIRST = 2
"""As many runs as any baseline trains at once; they are slower than others, as libraries prepare much on first use."""


def say(ended: Sequence[float], accuracies: Sequence[float]) -> None:
    """Print one line of JSON: the seconds that all runs but the first took, and the mean of all test accuracies.

    `ended` is when each run ended, in seconds.
    """
    in_order = sorted(ended)
    print(json.dumps({"further": in_order[-1] - in_order[FIRST - 1], "accuracy": mean(accuracies)}))
