"""Second stages for the first stages of good policies.

The runs of a second stage share everything before it with each other and with the policy that the first stage comes
from: where runs share their beginnings, only the second stage is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
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
        heads: the texts of the policies that are begun with, at least one.
    """

    space: Space
    heads: tuple[str, ...]

    def policy(self, chooser: Chooser) -> Policy:
        """The policy that a chooser makes of them.

        Raises:
            PolicyError: the numbers of the second stage do not go together.
        """
        head = OneOf(self.heads).choose(chooser, "head", None)
        start = OneOf(STARTS).choose(chooser, "start", None)
        return parse(head).then(self.space.part(chooser, "2.", 1.0 - start), at=fraction(start))


def onwards(space: Space, best: Sequence[str]) -> Continued | Space:
    """The policies that go on from the best ones; the space itself where there are none."""
    return Continued(space, tuple(best)) if best else space
