"""How soon a command has answered, beside a Python that does nothing and one that imports torch."""

from __future__ import annotations

import sys

from harness import ROOT, Candidate, Comparison, Settings, Size, alternate, environment, finished, timed

ROUNDS = {Size.FULL: 15, Size.QUICK: 5, Size.TOY: 1}
NOTHING = "python -c pass"
TORCH = "python -c 'import torch'"
BASELINES = {NOTHING: ("-c", "pass"), TORCH: ("-c", "import torch")}
POLICY = "TRI(k0=0.01, k1=0.1, l=50)"
OURS = {
    "python -c 'import lrbench'": ("-c", "import lrbench"),
    "lrbench --help": ("-m", "lrbench", "--help"),
    "lrbench list policies": ("-m", "lrbench", "list", "policies"),
    f"lrbench show '{POLICY}' --steps 200": ("-m", "lrbench", "show", POLICY, "--steps", "200"),
}


def compare(settings: Settings) -> list[Comparison]:
    candidates = {name: _command(arguments) for name, arguments in {**BASELINES, **OURS}.items()}
    rounds = alternate(candidates, settings.rounds_or(ROUNDS), warm_up=True)
    return [rounds.compare(ours, baseline) for ours in OURS for baseline in BASELINES]


def _command(arguments: tuple[str, ...]) -> Candidate:
    command = [sys.executable, *arguments]
    return lambda: {"seconds": timed(lambda: finished(command, ROOT, environment()))}
