import re
import subprocess
import sys
from pathlib import Path

FAULTS = Path(__file__).with_name("faults.py")


def test_workers_and_coordinators_that_are_killed_change_no_number() -> None:
    size = ["--steps", "500", "--policies", "2", "--faults", "2"]
    played = subprocess.run([sys.executable, FAULTS, "workers", "coordinator", *size], capture_output=True, text=True)
    assert played.returncode == 0, played.stderr
    happened = dict(
        re.findall(r"^(\w+): something went wrong (\d+) times, and the numbers are the same$", played.stdout, re.M)
    )
    assert happened.keys() == {"workers", "coordinator"}
    assert all(int(times) > 0 for times in happened.values())
