"""Divergence: which policies diverge more often than a study tolerates.

Without a tolerated rate a policy that diverged on any seed is `avoid`, and with seeds enough that is any policy: one
that diverges on 5% of seeds has been seen to with probability 23% at 5 seeds and 87% at 40. With a tolerated rate r it
is `avoid` by divergence once a binomial test finds its true rate to be more than r, and until then a run that diverged
counts as a missing one: scores are compared on the seeds where neither policy diverged, and claims are about those.

Of the error rate alpha of a study, `SHARE` is for these tests: exact ones, over the looks as those of pairs are, by
Holm's procedure over all policies. The rest is for comparisons. So by the union bound the probability that some policy
is called avoid that is close to the best and diverges no more often than r is at most alpha.
"""

import numpy as np
from numpy.typing import NDArray

from lrbench.metrics.looks import Looks
from lrbench.metrics.pairs import FloatArray
from lrbench.metrics.statistics import holm

SHARE = 0.2


def levels(alpha: float, tolerated: float) -> tuple[float, float]:
    """Return the error rates of the tests of divergence and of comparisons."""
    return (SHARE * alpha, (1 - SHARE) * alpha) if tolerated > 0 else (alpha, alpha)


def p_of_divergence(
    diverged: NDArray[np.bool_], ended: NDArray[np.bool_], done: NDArray[np.int64], tolerated: float, looks: Looks
) -> FloatArray:
    """Return familywise p-values against "the policy diverges on at most the tolerated share of seeds", [..., k].

    Args:
        diverged, ended: [..., k, seeds], which runs diverged, and which have ended, diverged ones among them.
        done: [..., k], how many of the first seeds each policy has.
        tolerated: from 0 to 1; where it is 0 a single run decides, at any time.
        looks: the numbers of seeds at which verdicts are made.
    """
    if tolerated == 0:
        return np.where(diverged.any(axis=-1), 0.0, 1.0)
    from scipy.special import bdtrc

    p = np.ones(done.shape)
    for seeds, share in looks.shares_by_seeds.items():
        fell, runs = diverged[..., :seeds].sum(axis=-1), ended[..., :seeds].sum(axis=-1)
        p = np.minimum(p, np.where(done >= seeds, bdtrc(fell - 1.0, runs, tolerated) / share, 1.0))
    return holm(p)
