"""Which branch of a study's trees is trained next."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lrbench.training.tree import Branch


def next_branch(ready: Sequence[Branch], workers: int, remaining: Callable[[Branch], float]) -> int:
    """The place in `ready` of the branch to train next.

    Where there is no more to do at once than there are workers, that is the branch on the longest path, and among
    those the one that opens most. Where there is enough to keep all of them busy, it is the smallest one: finishing
    small subtrees first closes forks, so that one worker never has more of them open than the logarithm to base 2 of
    the number of runs.

    Args:
        remaining: the cost of the path from the beginning of a branch to the end of its budget, in any unit.
    """
    if len(ready) > workers:
        return min(range(len(ready)), key=lambda i: (len(ready[i].runs), ready[i].steps))
    return max(range(len(ready)), key=lambda i: (remaining(ready[i]), len(ready[i].runs)))
