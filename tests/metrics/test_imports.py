import subprocess
import sys


def test_metrics_load_neither_torch_nor_scipy() -> None:
    question = "import sys, lrbench.metrics; print(sorted({'torch', 'scipy', 'pandas'} & sys.modules.keys()))"
    answer = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
