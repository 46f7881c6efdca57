"""Advice from stored runs: recommend policies for a task, and verify that one reaches a target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrbench.lazy_names import lazy_names

if TYPE_CHECKING:
    from lrbench.advice.recommend import Advice as Advice
    from lrbench.advice.recommend import Recommendation as Recommendation
    from lrbench.advice.verify import Verification as Verification
else:
    __getattr__, __dir__, __all__ = lazy_names(__name__)

GOALS = ("accuracy", "cost", "robust")
"""`accuracy`: the validation objective. `cost`: iterations until it is within a twentieth of the best policy's.
`robust`: the mean of the objective over the base LRs that were tried; the share that they leave of it would praise a
policy that is bad at its own. Any goal that ranks studies is one of a recommendation too."""
