"""Second stages for the first stages of good policies.

Runs that share their beginning train it once, so that only second stages are trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lrbench.policy import parse
from lrbench.policy_search.domain import OneOf
from lrbench.policy_search.space import fraction

if TYPE_CHECKING:
    from lrbench.policy_search.domain import Chooser
    from lrbench.policy_search.space import Pair, Space

STARTS = (0.5, 0.7, 0.85)
"""Where in the budget a second stage may begin."""


@dataclass(frozen=True)
class Continued:
    """The policies that begin as one of a few, at its settings, and go on with a function of a space.

    Attributes:
        heads: the text and the settings of those few by name, at least one.
    """

    space: Space
    heads: Mapping[str, tuple[str, Mapping[str, Any]]]

    def pair(self, chooser: Chooser) -> Pair:
        """Make the policy and the settings of a chooser's choices.

        Raises:
            PolicyError: the numbers of the second stage do not go together.
        """
        text, settings = self.heads[OneOf(tuple(self.heads)).choose(chooser, "head", None)]
        start = OneOf(STARTS).choose(chooser, "start", None)
        policy = parse(text).then(self.space.part(chooser, "2.", 1.0 - start), at=fraction(start))
        return policy, settings
