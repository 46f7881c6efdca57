"""One thread training Caffe's LeNet on MNIST, batch 100: iterations, no evaluation.

The hand-written loop is the limit: nothing in it but what training takes. The official example's loop is what most
people write. `advance` is called as a study calls it between two evaluations, its own preparations included.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

from harness import Comparison, Settings, Size, alternate, serve, served

ITERATIONS = {Size.FULL: 60, Size.QUICK: 60, Size.TOY: 3}
ROUNDS = {Size.FULL: 15, Size.QUICK: 5, Size.TOY: 1}
PRECISIONS = ("float32", "bfloat16")
EXAMPLE = "the official PyTorch example's loop, float32"


def compare(settings: Settings) -> list[Comparison]:
    given = str(settings.data_root), str(ITERATIONS[settings.size])
    with ExitStack() as open_processes:
        candidates = {EXAMPLE: open_processes.enter_context(served("baselines.mnist_example", *given))}
        for precision in PRECISIONS:
            for name, module in ((_ours(precision), "cases.engine"), (_by_hand(precision), "baselines.hand_written")):
                candidates[name] = open_processes.enter_context(served(module, *given, precision))
        rounds = alternate(candidates, settings.rounds_or(ROUNDS), warm_up=True)
    pairs = [(precision, baseline) for precision in PRECISIONS for baseline in (_by_hand(precision), EXAMPLE)]
    return [rounds.compare(_ours(precision), baseline) for precision, baseline in pairs]


def _ours(precision: str) -> str:
    return f"serial engine, {precision}"


def _by_hand(precision: str) -> str:
    return f"the best hand-written loop, {precision}"


def main(data_root: Path, iterations: int, precision: str) -> None:
    from lrbench.engine import advance, begin
    from lrbench.policy import INV
    from lrbench.tasks import load_task

    task = load_task("mnist-lenet", data_root=data_root, precision=precision, eval_every=10_000)
    lrs = INV(k0=0.01, gamma=1e-4, p=0.75).lrs(0, task.steps)
    state = begin(task, 0)

    def train() -> None:
        nonlocal state
        state, _ = advance(task, state, lrs[state.step : state.step + iterations])

    serve(train)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
