"""What a policy costs in a study of 20,000 policies, beside one of 2,000: no more, where all is linear in the runs.

Every command is a process of its own. The studies that are ranked and reported are made up, with five seeds a policy;
the dry run plans a grid. The smaller study pays more a policy for what a command loads. The larger one is compared with
the targets, too, where a ratio under 1 misses one.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from harness import Candidate, Comparison, Measured, Settings, Size, alternate, environment, finished

from cases.store import fill
from lrbench.store import open_store

POLICIES = {Size.FULL: (2_000, 20_000), Size.QUICK: (1_000, 4_000), Size.TOY: (20, 40)}
ROUNDS = {Size.FULL: 3, Size.QUICK: 1, Size.TOY: 1}
TARGETS = {"dry run": {"seconds": 4.0, "MB": 300.0}, "ranking": {"seconds": 10.0}, "report": {"cpu": 30.0}}
"""What each command is to need at most for 20,000 policies."""
SEEDS = 5
LENGTHS = 20
GRID = """seeds = {seeds}

[task]
base = "mnist1d-mlp"

[[policies]]
function = "TRI"
k0 = 0.001
k1 = {peaks}
l = {lengths}
"""
RANKING = """
import sys
from lrbench.store import open_store
from lrbench.study.results import results
with open_store(sys.argv[1]) as store:
    print(results("generated", store))
"""
MEASURED = """
import json, resource, subprocess, sys, time
began = time.perf_counter()
subprocess.run([sys.executable, *sys.argv[1:]], check=True, stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""


def compare(settings: Settings) -> list[Comparison]:
    sizes, rounds = POLICIES[settings.size], settings.rounds_or(ROUNDS)
    compared = []
    with tempfile.TemporaryDirectory() as scratch:
        commands = {policies: _commands(policies, Path(scratch)) for policies in sizes}
        for name in commands[sizes[0]]:
            names = {policies: f"{name} of {policies:,} policies" for policies in sizes}
            candidates = {names[policies]: _command(commands[policies][name], policies) for policies in sizes}
            measured = alternate(candidates, rounds)
            fewest, *more = names.values()
            compared += [
                measured.compare(one, fewest, measure) for one in more for measure in ("seconds a policy", "MB")
            ]
            for measure, target in TARGETS[name].items():
                largest = measured[names[sizes[-1]]]
                note = "the target is that of 20,000 policies"
                theirs = [{measure: target}] * len(largest)
                compared.append(Comparison(names[sizes[-1]], f"{target:g} {measure}", largest, theirs, measure, note))
    return compared


def _commands(policies: int, folder: Path) -> dict[str, tuple[str, ...]]:
    """Make a study in a store and one in a file, and list the commands that are measured, by name."""
    place, grid = folder / f"{policies}.db", folder / f"grid_{policies}.toml"
    with open_store(place) as store:
        fill(store, policies, seeds=SEEDS)
    peaks = [0.01 + number / policies for number in range(policies // LENGTHS)]
    lengths = [f"{number / LENGTHS}dur" for number in range(1, LENGTHS + 1)]
    grid.write_text(GRID.format(seeds=SEEDS, peaks=peaks, lengths=lengths))
    report = ("report", "generated", "--store", str(place), "-o", str(folder / "report.html"))
    return {
        "dry run": ("-m", "lrbench", "run", str(grid), "--dry-run", "--store", str(folder / "none.db")),
        "ranking": ("-c", RANKING, str(place)),
        "report": ("-m", "lrbench", *report),
    }


def _command(arguments: tuple[str, ...], policies: int) -> Candidate:
    def once() -> Measured:
        command = [sys.executable, "-c", MEASURED, *arguments]
        seconds, cpu, megabytes = json.loads(finished(command, Path.cwd(), environment()))
        return {"seconds": seconds, "cpu": cpu, "MB": megabytes, "seconds a policy": seconds / policies}

    return once
