"""A search from its first proposal to the confirmed winner."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from operator import le
from typing import TYPE_CHECKING, Any

from lrbench.display.names import many
from lrbench.display.readable import LINE_WIDTH, Block, Readable
from lrbench.lr_range.range_test import RANGE_SEEDS, find_range
from lrbench.metrics import as_gain
from lrbench.policy import parse
from lrbench.policy_search.domain import Between
from lrbench.policy_search.finalists import Finalists, confirm_finalists
from lrbench.policy_search.guessing import guessing_on
from lrbench.policy_search.ledger import CONFIRMATION, RANGE_TEST, read_history, write_asked, write_training
from lrbench.policy_search.rungs import row_of, train_rungs
from lrbench.policy_search.sampler import Phase, as_cost, mirror, suggest
from lrbench.policy_search.staging import Continued
from lrbench.study.axes import variant_at
from lrbench.study.study import StudyPolicy
from lrbench.training.listener import NullListener
from lrbench.training.plan import PlannedRow

if TYPE_CHECKING:
    import pandas as pd

    from lrbench.lr_range.range_test import RangeTest
    from lrbench.metrics import Better, Confirmation, Scorecard
    from lrbench.policy_search.rungs import RungResults, Trial
    from lrbench.policy_search.sampler import Pairs
    from lrbench.policy_search.search import Search
    from lrbench.policy_search.space import Pair
    from lrbench.store import Proposal
    from lrbench.study.study_runs import Failure
    from lrbench.training.trainer import Trainer

TRIED = {"budget": "steps", "whole": "whole", "diverged": "diverged"}

BEYOND_HIGH = 3.0
"""Where a range test finds no cliff, rates up to this many times its upper end are searched."""


@dataclass(frozen=True, repr=False)
class SearchResult(Readable):
    """The result of a search.

    Attributes:
        guessing: the validation objective of guessing: chance, for an accuracy plus two standard errors of the
            validation split; None where it is not known.
        lr: the range of the highest learning rates that was searched.
        trials: every policy, in the order of the proposals.
        front: of those at the whole budget that did not diverge, the best one; with two objectives, all that no other
            beats in both.
        confirmed: the winner and its closest rivals on fresh seeds, the winner first.
        steps_nominal: the iterations of all runs, the range test and the confirmation included, had each been trained
            for itself.
        steps_trained: the iterations that this and other calls trained, as far as they were counted.
        exhausted: whether the sampler found no new policy.
        better: which way the validation objective is better.
    """

    search: str
    task: str
    objectives: tuple[str, ...]
    target: float | None
    guessing: float | None
    lr: tuple[float, float]
    trials: tuple[Trial, ...]
    front: tuple[Trial, ...]
    confirmed: tuple[Confirmation, ...]
    failures: tuple[Failure, ...]
    steps_nominal: int
    steps_trained: int
    exhausted: bool
    better: Better = "higher"

    @property
    def winner(self) -> Scorecard | None:
        """The best policy, on its fresh seeds; None where nothing was found."""
        return self.confirmed[0].card if self.confirmed and not self.disappointment else None

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings of the task that the winner is trained at; none for the task's own."""
        named = {one.name: one.proposal.settings for one in self.trials}
        return {} if self.winner is None else dict(named[self.winner.name])

    @property
    def disappointment(self) -> str:
        """Why nothing was found, in one sentence; empty where something was."""
        tried = many(len(self.trials), "policy")
        budget = f"nothing found within the budget of {many(self.steps_nominal, 'iteration')}"
        if not self.front:
            why = f" ({self.failures[0].error})" if self.failures else ""
            return f"{budget}: each of {tried} diverged or failed{why}"
        if not self.confirmed and self.failures:
            return f"{budget}: the finalists failed on fresh seeds ({self.failures[-1].error})"
        if self.objectives[0] == "steps":
            return "" if self._is_reached else f"{budget} that reaches {self.target:g}"
        best = self.confirmed[0].card.val.mean if self.confirmed else self.front[0].values.get("accuracy")
        gain = math.inf if best is None else as_gain(best, self.better)
        if self.guessing is not None and gain <= as_gain(self.guessing, self.better):
            return f"{budget}: none of {tried} does better than guessing ({self.guessing:.3g})"
        if self.target is not None and gain < as_gain(self.target, self.better):
            return f"{budget} that reaches {self.target:g}: the best policy comes to {best:.3f}"
        return ""

    @property
    def _is_reached(self) -> bool:
        """Whether a run of the best policy reaches the target, by the fresh seeds where there are some."""
        if self.confirmed:
            return bool(self.confirmed[0].card.reached)
        return bool(self.front[0].reached)

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas DataFrame with a row for each policy that was tried, in the order of asking.

        Its columns: policy, setting (where the space has axes), budget (the longest at which it was trained, in
        iterations), whole (whether that is the task's own), diverged (the share of its runs there that did), and each
        objective; that is NaN where it was not measured, or a run never reached the target.
        """
        import pandas as pd

        known = {"policy": "policy", **({"setting": "setting"} if any(one.setting for one in self.trials) else {})}
        known |= TRIED
        rows = [
            (*(getattr(one, name) for name in known.values()), *map(one.measured, self.objectives))
            for one in self.trials
        ]
        return pd.DataFrame(rows, columns=[*known, *self.objectives])

    def display(self, width: int = LINE_WIDTH, *, drawn: bool = False) -> Iterator[Block]:
        from lrbench.policy_search.result_tables import found_blocks

        return found_blocks(self, width)

    def to_json(self) -> dict[str, Any]:
        """The document of `lrbench search --json`."""
        return {
            "search": self.search,
            "task": self.task,
            "objectives": list(self.objectives),
            "better": self.better,
            "target": self.target,
            "lr": list(self.lr),
            "winner": None if self.winner is None else self.winner.policy,
            **({"settings": self.settings} if self.settings else {}),
            "nothing_found": self.disappointment or None,
            "confirmed": [confirmation.to_json() for confirmation in self.confirmed],
            "front": [one.to_json() for one in self.front],
            "tried": [one.to_json() for one in self.trials],
            "failures": [vars(failure) for failure in self.failures],
            "steps": {"nominal": self.steps_nominal, "trained": self.steps_trained},
            "exhausted": self.exhausted,
        }


def run_search(search: Search, trainer: Trainer, *, mirror_to: str | None = None) -> SearchResult:
    """Search until the budget is spent, and confirm the winner.

    Proposals are stored before they are trained, so that a search that is killed goes on where it was.

    Args:
        mirror_to: the URL of an Optuna storage that is kept up to date batch by batch.

    Raises:
        LRBenchError: the store or the storage cannot be used, or the store has another search of this name.
    """
    if mirror_to is not None:
        mirror(search, [], mirror_to)
    listener = NullListener() if trainer.listener is None else trainer.listener
    listener.searched(search.name, 0, 0.0)
    search, test = _with_range(search, trainer)
    history = read_history(search, trainer.store)
    if test is not None and test.steps_trained:
        history = write_training(search, RANGE_TEST, test.steps_trained, trainer.store)
    exhausted = False
    while True:
        results, tally = train_rungs(search, history.asked, trainer)
        known = SearchState(search, history.asked, results)
        if tally.steps_trained:
            history = write_training(search, history.batches - 1, tally.steps_trained, trainer.store)
        if mirror_to is not None:
            mirror(search, known.phases(), mirror_to)
        listener.searched(search.name, len(known.asked), 1.0 if exhausted else known.share())
        if exhausted or known.spent():
            break
        asked = _ask(known)
        exhausted = not asked
        history = write_asked(search, (*known.asked, *asked), trainer.store)
    front = known.front()
    finalists = Finalists()
    if front:
        leading = front if len(search.objectives) > 1 else known.ranked()
        finalists = confirm_finalists(search, results.evidence[-1], known.trials, leading, trainer)
    if finalists.steps_trained:
        write_training(search, CONFIRMATION, finalists.steps_trained, trainer.store)
    of_range_test = 0 if test is None else test.steps_spent
    of_confirmation = len(finalists.confirmed) * search.confirm * search.steps_a_seed
    lr = search.space.lr
    assert lr is not None
    return SearchResult(
        search=search.name,
        task=search.task.name,
        objectives=search.objectives,
        target=search.target,
        guessing=guessing_on(search.task),
        lr=(lr.low, lr.high),
        trials=known.trials,
        front=front,
        confirmed=finalists.confirmed,
        failures=(*(one for rung in results.evidence for one in rung.failures(rung.tasks[0])), *finalists.failures),
        steps_nominal=of_range_test + known.steps_nominal() + of_confirmation,
        steps_trained=sum(read_history(search, trainer.store).trained.values()),
        exhausted=exhausted,
        better=search.task.better,
    )


@dataclass(frozen=True)
class SearchState:
    """The proposals of a search so far, and their results."""

    search: Search
    asked: tuple[Proposal, ...]
    results: RungResults

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """The trial of each proposal."""
        return tuple(map(self._trial, self.asked))

    @property
    def phase(self) -> int:
        """The phase of the next batch, unless that finds nothing new."""
        has_begun = any(one.phase == 2 for one in self.asked)
        return 2 if self.search.staged and (has_begun or len(self.asked) >= self._first_half) else 1

    def room(self, phase: int) -> int:
        """Return the number of policies that the next batch may have, in a phase."""
        end = self._first_half if self.search.staged and phase == 1 else self.search.policies
        return min(self.search.batch, end - len(self.asked))

    def spent(self) -> bool:
        """Whether no batch follows."""
        return self.share() >= 1

    def share(self) -> float:
        """Return the share of the budget that is spent: that of policies, or of iterations where it is larger."""
        steps = self.search.steps
        return max(len(self.asked) / self.search.policies, 0.0 if steps is None else self.steps_nominal() / steps)

    def phases(self) -> list[Phase]:
        """List the phases up to that of the next batch."""
        return [self.phase_of(number) for number in range(1, self.phase + 1)]

    def phase_of(self, number: int) -> Phase:
        """Return a phase with its trials so far."""
        policies = self.search.space if number == 1 else self._second_stages()
        return Phase(number, policies, [one for one in self.trials if one.proposal.phase == number])

    def ranked(self) -> list[Trial]:
        """List the trials at the whole budget that did not diverge, best first by the first objective."""
        first = self.search.objectives[0]
        whole = [one for one in self.trials if one.whole and not one.diverged]
        return sorted(whole, key=lambda one: self._cost(first, one))

    def front(self) -> tuple[Trial, ...]:
        """Return the best of them; with two objectives, all that no other beats in both."""
        ranked = self.ranked()
        if len(self.search.objectives) == 1:
            return tuple(ranked[:1])
        costs = {one.row: [self._cost(objective, one) for objective in self.search.objectives] for one in ranked}

        def beaten(one: Trial) -> bool:
            own = costs[one.row]
            return any(other != own and all(map(le, other, own)) for other in costs.values())

        return tuple(one for one in ranked if not beaten(one))

    def steps_nominal(self) -> int:
        """Count the iterations of all runs, had each been trained for itself."""
        return sum(
            len(measured) * rung.steps for measured, rung in zip(self.results.rungs, self.search.ladder, strict=True)
        )

    def _cost(self, objective: str, trial: Trial) -> float:
        return as_cost(objective, trial.values[objective], self.search.task.better)

    @property
    def _first_half(self) -> int:
        return -(-self.search.policies // 2)

    def _trial(self, proposal: Proposal) -> Trial:
        rungs = zip(self.results.rungs, self.search.ladder, strict=True)
        row = row_of(proposal)
        reached = [(trials[row], rung) for trials, rung in rungs if row in trials]
        return replace(reached[-1][0], iterations=sum(rung.steps for _, rung in reached))

    def _second_stages(self) -> Pairs:
        first = [one for one in self.ranked() if one.proposal.phase == 1][: self.search.staged]
        heads = {one.name: (one.policy, one.proposal.settings) for one in first}
        return Continued(self.search.space, heads) if heads else self.search.space


def _with_range(search: Search, trainer: Trainer) -> tuple[Search, RangeTest | None]:
    """Take the learning rates from a range test where the search leaves them to one; return the test too."""
    if search.space.lr is not None:
        return search, None
    test = find_range(search.task, trainer, seeds=RANGE_SEEDS)
    highest = BEYOND_HIGH * test.high.value if test.cliff is None else test.cliff.value
    lr = Between(float(f"{test.low.value:.2g}"), float(f"{highest:.2g}"), log=True)
    return replace(search, space=replace(search.space, lr=lr)), test


def _ask(known: SearchState) -> list[Proposal]:
    """Propose the next batch; empty where the sampler finds nothing new."""
    search = known.search
    seen = {_identity(search, (parse(one.policy), one.settings)) for one in known.asked}

    def is_new(pair: Pair) -> bool:
        policy, settings = pair
        for rung in search.ladder:
            variant_at(settings).task_of(rung.task).bind(policy)
        identity = _identity(search, pair)
        fresh = identity not in seen
        seen.add(identity)
        return fresh

    batch = known.asked[-1].batch + 1 if known.asked else 0
    last = 2 if search.staged else 1
    for phase in range(known.phase, last + 1):
        asked = suggest(search, known.phase_of(phase), batch, known.room(phase), is_new, len(known.asked))
        if asked:
            return asked
    return []


def _identity(search: Search, pair: Pair) -> str:
    """Return what policies with the same learning rates at the same settings share."""
    policy, settings = pair
    task = variant_at(settings).task_of(search.task)
    return PlannedRow(task, StudyPolicy(str(policy), policy)).training_key(search.seeds[0])
