"""How the baselines of the quickstart are asked and answer."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from statistics import mean

Run = tuple[str, int]
"""A schedule's name and a seed."""


def parse_runs(text: str) -> list[Run]:
    """The runs of a command line, a JSON list of pairs."""
    return [(name, seed) for name, seed in json.loads(text)]


def say(began: float, accuracies: Sequence[float]) -> None:
    """Print as one line of JSON how long training took until now, and the mean of the runs' test accuracies.

    `began` is when the first run began, by `time.time()`: what came before does not grow with the number of runs.
    """
    print(json.dumps({"training": time.time() - began, "accuracy": mean(accuracies)}))
