"""Learning rates to look at, of a policy that may be known by its text alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrbench.errors import PolicyError
from lrbench.policy.notation import parse

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def rates_of(policy: str, steps: int, steps_per_epoch: int) -> NDArray[np.float64] | None:
    """The learning rates of a policy's text over a budget, float64 [steps].

    None where they are not known without training, or where the text names a function that is not registered here.
    """
    try:
        bound = parse(policy).bind(int(steps), int(steps_per_epoch))
    except PolicyError:
        return None
    return None if bound.reacts else bound.lrs(0, int(steps))
