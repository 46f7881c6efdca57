"""What machines do to a study, done on purpose: `python tests/training/faults.py --help`.

Each scenario trains a study while something goes wrong again and again, runs it once more, and asks that its store then
has what an undisturbed study has: the same runs, none missing, each with the same numbers bit for bit.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lrbench.store import open_store

STUDY = """
import sys
import lrbench
import lrbench.training.runner
from lrbench.policy import parse
from lrbench.study.study import StudyPolicy

store, workers, steps, policies = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
lrbench.training.runner.SECONDS_AT_RISK = 0.2
task = lrbench.load_task("mnist1d-mlp").with_(steps=steps, eval_every=steps // 10)
texts = [f"STEP(k0=0.1, gamma=0.1, l={(i + 1) / (policies + 1):.4f}dur)" for i in range(policies)]
texts += ["TRI(k0=0.001, k1=0.2, l=0.25dur)", "FIX(k0=1e30)"]
policies = tuple(StudyPolicy(text, parse(text)) for text in texts)
study = lrbench.Study(name="faults", tasks=(task,), policies=policies, seeds=(0, 1), target=0.5)
print("begun", flush=True)
outcome = lrbench.run(study, store=store, device="cpu", engine="serial", workers=workers)
sys.exit(outcome.tally.failed > 0)
"""

Numbers = list[tuple[object, ...]]


@dataclass(frozen=True)
class Size:
    """How large the study is, and how often something goes wrong.

    Attributes:
        steps: iterations of a run.
        policies: how many of STEP, beside one that shares nothing and one that diverges.
        faults: how many processes are killed.
    """

    steps: int
    policies: int
    faults: int


def begin(store: Path, size: Size, workers: str = "2", **options: object) -> subprocess.Popen[str]:
    """A coordinator that has read its study and is about to train it."""
    command = [sys.executable, "-c", STUDY, str(store), workers, str(size.steps), str(size.policies)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload]
    assert process.stdout is not None
    process.stdout.readline()
    return process


def numbers(store: Path) -> Numbers:
    """What a store says of every run, without times and places."""
    with open_store(store, must_exist=True) as opened:
        _, slots = opened.study("faults")
        runs = opened.study_runs("faults")
    found = [
        (run.key, run.status, run.step, run.diverged_at, repr(run.scores), str(run.final)) for run in runs.values()
    ]
    assert {slot.run for slot in slots} == set(runs), "runs are missing"
    return sorted(found)


def workers_of(coordinator: int) -> list[int]:
    """The worker processes of a coordinator."""
    listed = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(coordinator)], capture_output=True, text=True
    )
    return [
        int(line.split()[0]) for line in listed.stdout.splitlines() if "lrbench.training.pools.process_main" in line
    ]


def undisturbed(folder: Path, size: Size) -> tuple[Numbers, float]:
    """The numbers that every scenario has to end with, and how long a study takes that is left alone."""
    started = time.monotonic()
    assert begin(folder / "undisturbed.db", size).wait() == 0
    return numbers(folder / "undisturbed.db"), time.monotonic() - started


def finish(store: Path, size: Size, workers: str = "2") -> None:
    """Run the study once more, to its end."""
    assert begin(store, size, workers).wait() == 0, "the study does not end well when it is run again"


def kill_workers(store: Path, size: Size, duration: float, draw: random.Random) -> int:
    """Random workers are killed at random times, while their coordinator goes on; how many were."""
    killed, process = 0, begin(store, size)
    while killed < size.faults:
        time.sleep(draw.uniform(0, 0.5 * duration / size.faults))
        if process.poll() is not None:
            break
        if alive := workers_of(process.pid):
            os.kill(draw.choice(alive), signal.SIGKILL)
            killed += 1
    process.wait()
    return killed


def kill_coordinators(store: Path, size: Size, duration: float, draw: random.Random) -> int:
    """The coordinator is killed at random times and begun anew; how often it was."""
    killed = 0
    for _ in range(size.faults):
        process = begin(store, size)
        try:
            process.wait(draw.uniform(0, 0.5 * duration / size.faults) + 1)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
    return killed


def lose_ray_nodes(store: Path, size: Size, duration: float, draw: random.Random) -> int:
    """One of the two nodes of a Ray cluster is lost at random times, and another joins; how many were."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        node = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        process, lost = begin(store, size, cluster.address), 0
        while lost < max(1, size.faults // 4):
            time.sleep(draw.uniform(0, duration / size.faults) + 4)
            if process.poll() is not None:
                break
            cluster.remove_node(node, allow_graceful=False)
            lost += 1
            node = cluster.add_node(num_cpus=1)
        process.wait()
        finish(store, size, cluster.address)
        return lost
    finally:
        cluster.shutdown()


def fill_the_disk(store: Path, size: Size, duration: float, draw: random.Random) -> int:
    """The disk is full in the middle of the study; how often that was said."""
    with small_disk(store.parent / "full", "300k") as disk:
        process = begin(disk / store.name, size, stderr=subprocess.PIPE)
        _, said = process.communicate()
        subprocess.run(["mount", "-o", "remount,size=500m", str(disk)], check=True)
        finish(disk / store.name, size)
        keep(disk / store.name, store)
    return int("full" in said or "No space left" in said)


def freeze_the_disk(store: Path, size: Size, duration: float, draw: random.Random) -> int:
    """The file system becomes read-only in the middle of the study; how often that was said."""
    with small_disk(store.parent / "frozen", "500m") as disk:
        process = begin(disk / store.name, size, stderr=subprocess.PIPE)
        time.sleep(duration / 2)
        # files that are open for writing keep a file system from being remounted: the process is stopped meanwhile
        process.kill()
        process.wait()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        process = begin(disk / store.name, size, stderr=subprocess.PIPE)
        _, said = process.communicate()
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        finish(disk / store.name, size)
        keep(disk / store.name, store)
    return int("readonly" in said or "read-only" in said.lower())


@contextmanager
def small_disk(folder: Path, capacity: str) -> Iterator[Path]:
    """A file system of its own, in memory; only root can make one."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={capacity}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def keep(store: Path, copy: Path) -> None:
    """Copy a store, with what is in its write-ahead log."""
    for suffix in ("", "-wal"):
        file = store.with_name(store.name + suffix)
        if file.exists():
            copy.with_name(copy.name + suffix).write_bytes(file.read_bytes())


Scenario = Callable[[Path, Size, float, random.Random], int]

SCENARIOS: dict[str, Scenario] = {
    "workers": kill_workers,
    "coordinator": kill_coordinators,
    "ray": lose_ray_nodes,
    "full-disk": fill_the_disk,
    "read-only": freeze_the_disk,
}


def play(names: Sequence[str], size: Size, folder: Path, seed: int = 0) -> dict[str, int]:
    """Play scenarios, and say how often something went wrong in each.

    Raises:
        AssertionError: a study did not end with the numbers of an undisturbed one.
    """
    expected, duration = undisturbed(folder, size)
    faults = {}
    for name in names:
        store = folder / f"{name}.db"
        faults[name] = SCENARIOS[name](store, size, duration, random.Random(seed))
        if name in ("workers", "coordinator"):
            finish(store, size)
        assert numbers(store) == expected, f"{name}: the numbers are not those of an undisturbed study"
        print(f"{name}: something went wrong {faults[name]} times, and the numbers are the same", flush=True)
    return faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)}; all by default")
    parser.add_argument("--steps", type=int, default=6000, help="iterations of a run")
    parser.add_argument("--policies", type=int, default=14, help="how many policies share a trunk")
    parser.add_argument("--faults", type=int, default=20, help="how many processes are killed in a scenario")
    parser.add_argument("--seed", type=int, default=0, help="of the moments at which that happens")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        play(
            given.scenarios or list(SCENARIOS),
            Size(given.steps, given.policies, given.faults),
            Path(folder),
            given.seed,
        )


if __name__ == "__main__":
    main()
