"""What `run` prints on stdout: for each task the ranking and the effects of modifiers, then what it all took."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrbench.cli.effects import print_effects
from lrbench.cli.errors import Session
from lrbench.cli.output import LINE_WIDTH, line_width
from lrbench.cli.ranking import print_ranking
from lrbench.cli.row_names import RowNames
from lrbench.cli.stdout import say

if TYPE_CHECKING:
    from lrbench.api import Outcome

NAME_WIDTH = 22
"""Names of more characters than these are shortened in a line of 100."""


def print_outcome(outcome: Outcome, session: Session) -> None:
    """All that a study says, and how many runs and iterations it took."""
    longest = NAME_WIDTH + max(0, line_width(session) - LINE_WIDTH)
    results, tally = outcome.results, outcome.tally
    for task in results.tasks:
        names = RowNames.of(task, longest)
        print_ranking(results, task, names, session)
        if task.effects:
            say()
            print_effects(task, names, session)
        say()
    runs = f"{tally.total} runs: {tally.trained} trained, {tally.cached} cached"
    ends = f"{tally.diverged} diverged, {tally.failed} failed"
    say(f"{runs}, {ends}; {tally.steps_trained:,} of {tally.steps_nominal:,} iterations trained")
