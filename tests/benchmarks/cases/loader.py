"""One thread training LeNet on MNIST as a dataset with transforms, batch 100: iterations, no evaluation.

Both load the samples through torch's DataLoader, in the same process or in two others. Each turn is an epoch of the
hand-written loop, and a segment of ours: the pipeline of workers is filled anew in both. Ours seeds every sample.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

from harness import Comparison, Settings, Size, alternate, serve, served

ITERATIONS = {Size.FULL: 60, Size.QUICK: 60, Size.TOY: 3}
ROUNDS = {Size.FULL: 15, Size.QUICK: 5, Size.TOY: 1}
WORKERS = {0: "no loader workers", 2: "2 loader workers"}


def compare(settings: Settings) -> list[Comparison]:
    given = str(settings.data_root), str(ITERATIONS[settings.size])
    with ExitStack() as open_processes:
        candidates = {}
        for workers in WORKERS:
            for name, module in ((_ours(workers), "cases.loader"), (_by_hand(workers), "baselines.loader_loop")):
                candidates[name] = open_processes.enter_context(served(module, *given, str(workers)))
        rounds = alternate(candidates, settings.rounds_or(ROUNDS), warm_up=True)
    return [rounds.compare(_ours(workers), _by_hand(workers)) for workers in WORKERS]


def _ours(workers: int) -> str:
    return f"serial engine on a dataset, {WORKERS[workers]}"


def _by_hand(workers: int) -> str:
    return f"a hand-written loop over the same DataLoader, {WORKERS[workers]}"


def main(data_root: Path, iterations: int, workers: int) -> None:
    import numpy as np
    from baselines.lenet import lenet
    from baselines.loader_loop import BATCH, digits

    from lrbench.engine import advance, begin
    from lrbench.tasks import SGD, Data, Task

    data = Data.from_datasets(digits(data_root, train=True), digits(data_root, train=False), loader_workers=workers)
    optimizer = SGD(momentum=0.9, weight_decay=5e-4)
    task = Task(
        name="digits", model=lenet, data=data, optimizer=optimizer, batch_size=BATCH, steps=10**6, eval_every=10**6
    )
    lrs = np.full(iterations, 0.01)
    state = begin(task.evaluated_on(100), 0)

    def train() -> None:
        nonlocal state
        state, _ = advance(task, state, lrs)

    serve(train)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
