import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from lrbench.study.store import open_store

SEARCH = """
import sys
import lrbench
from lrbench.search import Between, Search, Space

task = lrbench.load_task("mnist1d-mlp").with_(steps=120, eval_every=40)
space = Space(("POLY", "STEP", "SIN"), Between(0.01, 0.5, log=True))
search = Search(name="killed", task=task, space=space, policies=12, batch=4, rungs=2, confirm=1, seeds=(0,))
print("begun", flush=True)
found = lrbench.search(search, store=sys.argv[1], device="cpu", workers=1, engine="serial")
print([one.policy for one in found.tried], found.winner.policy, found.winner.val.mean)
"""


def begin(store: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", SEARCH, str(store)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def asked(store: Path) -> list[str]:
    with open_store(store) as opened:
        names = [name for name in opened.study_names() if name.endswith("what was asked")]
        return [one["policy"] for name in names for one in opened.study(name)[0]["asked"]]


def test_a_search_killed_at_any_moment_and_run_again_asks_what_it_would_have_asked(tmp_path: Path) -> None:
    undisturbed, killed = tmp_path / "undisturbed.db", tmp_path / "killed.db"
    started = time.monotonic()
    answer, _ = begin(undisturbed).communicate()
    duration = time.monotonic() - started

    moments, finished = random.Random(1), set()
    for _ in range(2):
        process = begin(killed)
        try:
            process.wait(moments.uniform(0, duration / 2))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        with open_store(killed) as store:
            ended = {key for name in store.study_names() for key, run in store.study_runs(name).items() if run.ended}
        assert finished <= ended
        finished = ended
    resumed, _ = begin(killed).communicate()

    assert resumed == answer != ""
    assert asked(killed) == asked(undisturbed)
    assert len(set(asked(killed))) == 12
