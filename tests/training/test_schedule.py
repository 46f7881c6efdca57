import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrbench.training.schedule import next_branch
from lrbench.training.tree import Branch

BUDGET = 64


def tree(leaves: int, draw: random.Random, start: int = 0) -> Branch:
    """A random tree: every fork parts its runs in two, at a random iteration of those that are left."""
    runs = (None,) * leaves  # type: ignore[var-annotated]
    if leaves == 1 or start >= BUDGET - 1:
        return Branch(runs, start, BUDGET, (), BUDGET - start)
    stop = draw.randint(start + 1, BUDGET - 1)
    left = draw.randint(1, leaves - 1)
    children = tree(left, draw, stop), tree(leaves - left, draw, stop)
    return Branch(runs, start, stop, children, stop - start + sum(child.steps for child in children))


def simulated(root: Branch, workers: int) -> tuple[int, int]:
    """Training a tree: the iterations until all is done, and the most forks that had children waiting at once."""
    ready, busy, time, most = [root], [], 0, 0
    while ready or busy:
        while ready and len(busy) < workers:
            branch = ready.pop(next_branch(ready, workers, lambda branch: BUDGET - branch.start))
            busy.append((time + branch.stop - branch.start, branch))
        busy.sort(key=lambda one: one[0])
        time, done = busy.pop(0)
        ready.extend(done.children)
        most = max(most, len({branch.start for branch in ready}))
    return time, most


@settings(deadline=None)
@given(leaves=st.integers(1, 200), seed=st.integers(0, 10**6))
def test_one_worker_never_has_more_forks_open_than_the_logarithm_of_the_runs(leaves: int, seed: int) -> None:
    _, most = simulated(tree(leaves, random.Random(seed)), 1)
    assert most <= math.log2(leaves) + 1


@settings(deadline=None)
@given(leaves=st.integers(1, 200), seed=st.integers(0, 10**6), workers=st.integers(1, 8))
def test_workers_are_kept_busy(leaves: int, seed: int, workers: int) -> None:
    root = tree(leaves, random.Random(seed))
    time, _ = simulated(root, workers)
    # Graham's bound: a schedule that leaves nobody idle while something is ready takes no longer than this
    assert time <= root.steps / workers + (1 - 1 / workers) * BUDGET


def test_where_workers_wait_the_branch_that_opens_most_comes_first() -> None:
    small, large = Branch((None,), 8, BUDGET, (), 56), Branch((None,) * 9, 8, 9, (), 300)  # type: ignore[arg-type]
    early = Branch((None,), 0, BUDGET, (), 64)  # type: ignore[arg-type]
    remaining = [lambda branch: float(BUDGET - branch.start)][0]
    assert next_branch([small, large], 2, remaining) == 1
    assert next_branch([small, large, early], 3, remaining) == 2
    assert next_branch([large, small], 1, remaining) == 1


@pytest.mark.parametrize("workers", [1, 3])
def test_a_chain_of_forks_ends_with_its_longest_path(workers: int) -> None:
    chain = Branch((None,), BUDGET - 1, BUDGET, (), 1)  # type: ignore[arg-type]
    for start in range(BUDGET - 2, -1, -1):
        leaf = Branch((None,), start + 1, BUDGET, (), BUDGET - start - 1)  # type: ignore[arg-type]
        chain = Branch(chain.runs + leaf.runs, start, start + 1, (chain, leaf), 1 + chain.steps + leaf.steps)
    time, most = simulated(chain, workers)
    assert time <= chain.steps / workers + (1 - 1 / workers) * BUDGET
    assert most <= 2 * workers
