import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from lrbench.study.store import open_store

STUDY = """
import sys
import lrbench
import lrbench.study.runner
from lrbench.policy import parse
from lrbench.study.study import Entry

lrbench.study.runner.SECONDS_AT_RISK = 0.05
task = lrbench.load_task("mnist1d-mlp").with_(steps=500, eval_every=25)
texts = ("FIX(k0=0.1)", "TRI(k0=0.01, k1=0.2, l=0.1dur)", "FIX(k0=1e30)")
entries = tuple(Entry(text, parse(text)) for text in texts)
study = lrbench.Study(name="killed", tasks=(task,), entries=entries, seeds=(0, 1))
print("begun", flush=True)
lrbench.run(study, store=sys.argv[1], device="cpu", engine="serial")
"""

KILLS = 4


def begin(store: Path) -> subprocess.Popen[str]:
    """A process that has read its study and is about to train it."""
    process = subprocess.Popen([sys.executable, "-c", STUDY, str(store)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def numbers(store: Path) -> list[tuple[object, ...]]:
    with open_store(store, must_exist=True) as opened:
        runs = opened.study_runs("killed").values()
    return sorted((one.key, one.status, one.step, one.diverged_at, one.scores, str(one.final)) for one in runs)


def test_a_study_killed_at_any_moment_and_run_again_ends_with_the_same_numbers(tmp_path: Path) -> None:
    undisturbed, killed = tmp_path / "undisturbed.db", tmp_path / "killed.db"
    started = time.monotonic()
    assert begin(undisturbed).wait() == 0
    duration = time.monotonic() - started

    moments = random.Random(0)
    for _ in range(KILLS):
        process = begin(killed)
        try:
            process.wait(moments.uniform(0, duration / 2))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert begin(killed).wait() == 0

    assert numbers(killed) == numbers(undisturbed)
    assert len(numbers(killed)) == 6
    assert not any(killed.with_name("killed.db.checkpoints").glob("*"))
