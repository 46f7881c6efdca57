"""Second stages for the first stages of good policies.

Runs that share their beginning train it once, so that only second stages are trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrbench.policy import parse
from lrbench.policy_search.domain import OneOf
from lrbench.policy_search.space import fraction

if TYPE_CHECKING:
    from lrbench.policy import Policy
    from lrbench.policy_search.domain import Chooser
    from lrbench.policy_search.space import Space

STARTS = (0.5, 0.7, 0.85)
"""Where in the budget a second stage may begin."""


@dataclass(frozen=True)
class Continued:
    """The policies that begin as one of a few and go on with a function of a space.

    Attributes:
        heads: the texts of those few, at least one.
    """

    space: Space
    heads: tuple[str, ...]

    def policy(self, chooser: Chooser) -> Policy:
        """Make the policy of a chooser's choices.

        Raises:
            PolicyError: the numbers of the second stage do not go together.
        """
        head = OneOf(self.heads).choose(chooser, "head", None)
        start = OneOf(STARTS).choose(chooser, "start", None)
        return parse(head).then(self.space.part(chooser, "2.", 1.0 - start), at=fraction(start))
