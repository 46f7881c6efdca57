"""Proposals by Optuna, whose study is rebuilt from the trials for every batch, and never stored.

A sampler is seeded by the search's seed and the number of proposals, so that a batch depends only on what is known
before it: a search that was killed proposes what it would have proposed, and two processes that run the same search
propose the same. CMA-ES, whose state Optuna keeps as a pickle, is started anew for each batch from all trials
(WS-CMA-ES, Nomura et al. 2021, arXiv 2012.06932). It follows the numbers that all policies of the space share: all of
them in a space of one function, the highest LR alone in one of many.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from lrbench.errors import LRBenchError, PolicyError, StudyError, TaskError
from lrbench.metrics import as_gain
from lrbench.policy_search.search import Search
from lrbench.store import Proposal

if TYPE_CHECKING:
    import optuna
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

    from lrbench.metrics import Better
    from lrbench.policy_search.domain import Chooser
    from lrbench.policy_search.rungs import Trial
    from lrbench.policy_search.space import Pair

MOST_TRIES = 200
"""After this many suggestions in a row that are not new, a space is taken for exhausted."""

GENERATION = "NSGAIISampler:generation"
"""Where a genetic sampler notes the number of a policy's generation."""

PAIR = ("policy", "setting")
"""The attributes of a mirrored trial that say which it is."""

FEWEST_SOURCES = 10
"""CMA-ES begins from the trials once there are this many."""

Direction = Literal["maximize", "minimize"]

BETTER: Mapping[str, Better] = {"steps": "lower", "robustness": "higher"}
"""Which way an objective is better; the accuracy's direction is that of the task's own score."""


def better_of(objective: str, score: Better) -> Better:
    """Return which way an objective is better, given that of the task's score."""
    return BETTER.get(objective, score)


def as_cost(objective: str, value: float, score: Better) -> float:
    """Turn a value of an objective into one of which less is better; NaN is worst. `score` is as for `better_of`."""
    return math.inf if math.isnan(value) else -as_gain(value, better_of(objective, score))


def _directions(search: Search) -> list[Direction]:
    ways = (better_of(objective, search.task.better) for objective in search.objectives)
    return ["maximize" if better == "higher" else "minimize" for better in ways]


class Pairs(Protocol):
    """A set of pairs of policy and settings that a chooser can choose from."""

    def pair(self, chooser: Chooser) -> Pair: ...


@dataclass(frozen=True)
class Phase:
    """A phase of a search: the pairs it chooses from, and its trials."""

    number: int
    pairs: Pairs
    trials: Sequence[Trial]


def suggest(
    search: Search, phase: Phase, batch: int, count: int, is_new: Callable[[Pair], bool], asked: int
) -> list[Proposal]:
    """Propose `count` new pairs of policy and settings, or fewer where the sampler finds no more.

    Args:
        batch: the number that the proposals carry.
        is_new: returns whether a pair is new, and raises a `PolicyError` or a `TaskError` where it cannot be trained;
            it is called once for each.
        asked: the number of proposals so far, which seeds the sampler.

    Raises:
        StudyError: there is no proposal so far, and no policy can be trained.
    """
    with quiet():
        study = rebuilt(search, phase, asked)
        found: list[Proposal] = []
        refused: PolicyError | TaskError | None = None
        tries = 0
        while len(found) < count and tries < MOST_TRIES:
            trial = study.ask()
            try:
                policy, settings = pair = phase.pairs.pair(trial)
                new = is_new(pair)
            except (PolicyError, TaskError) as error:
                refused, new = error, False
            if not new:
                tries += 1
                continue
            tries = 0
            attributes = study.get_trials(deepcopy=False)[trial.number].system_attrs
            notes = {name: value for name, value in attributes.items() if name.endswith(GENERATION)}
            proposal = Proposal(
                batch=batch,
                phase=phase.number,
                policy=str(policy),
                settings=settings,
                params=dict(trial.params),
                notes=notes,
            )
            found.append(proposal)
    if not found and not asked and refused is not None:
        raise StudyError(f"search '{search.name}': no policy of its space can be trained, as {refused}")
    return found


def rebuilt(search: Search, phase: Phase, asked: int) -> optuna.Study:
    """Rebuild Optuna's study of the trials in memory, with the search's sampler."""
    import optuna

    trials = [frozen_trial(phase.pairs, one) for one in with_numbers(search, phase.trials)]
    study = optuna.create_study(sampler=_sampler(search, trials, asked), directions=_directions(search))
    study.add_trials(trials)
    return study


def with_numbers(search: Search, trials: Sequence[Trial]) -> list[Trial]:
    """Replace a value of a whole trial that is NaN, which Optuna refuses, by the worst of the others; 0 without one.

    It is that of a policy that diverged on a task whose chance is not known.
    """
    whole = [one for one in trials if one.whole]

    def worst(objective: str) -> float:
        known = [one.values[objective] for one in whole if math.isfinite(one.values[objective])]
        return max(known, key=lambda value: as_cost(objective, value, search.task.better), default=0.0)

    in_place = {objective: worst(objective) for objective in search.objectives}

    def numbers(trial: Trial) -> Mapping[str, float]:
        return {name: in_place[name] if math.isnan(value) else value for name, value in trial.values.items()}

    return [replace(one, values=numbers(one)) if one.whole else one for one in trials]


def frozen_trial(pairs: Pairs, trial: Trial, **attributes: Any) -> FrozenTrial:
    """Turn a trial into one of Optuna.

    A policy that was left at a shorter budget is a pruned trial, whose value stands at that budget. Divergence is a
    constraint, and the value of a policy that diverged is what its runs count as: a number, which no sampler ignores.
    """
    from optuna.trial import FixedTrial, TrialState, create_trial

    params, values = dict(trial.proposal.params), list(trial.values.values())
    chooser = FixedTrial(params)
    pairs.pair(chooser)
    return create_trial(
        state=TrialState.COMPLETE if trial.whole else TrialState.PRUNED,
        values=values if trial.whole else None,
        params=params,
        distributions=chooser.distributions,
        intermediate_values={} if trial.whole or trial.steps is None else {trial.steps: values[0]},
        constraints={"diverged": trial.diverged if trial.diverged > 0 else -1.0},
        system_attrs=dict(trial.proposal.notes),
        user_attrs=attributes,
    )


def mirror(search: Search, phases: Sequence[Phase], url: str) -> None:
    """Add the trials that an Optuna storage lacks, so that optuna-dashboard shows them.

    Raises:
        LRBenchError: the storage cannot be used.
    """
    import optuna

    with quiet():
        try:
            study = optuna.create_study(
                study_name=search.name, storage=url, directions=_directions(search), load_if_exists=True
            )
            known = {tuple(map(trial.user_attrs.get, PAIR)) for trial in study.get_trials(deepcopy=False)}
            for phase in phases:
                for one in with_numbers(search, phase.trials):
                    pair = {name: text for name, text in zip(PAIR, one.row, strict=True) if text}
                    if tuple(map(pair.get, PAIR)) not in known:
                        study.add_trial(frozen_trial(phase.pairs, one, **pair, iterations=one.steps))
        except Exception as error:
            what = " ".join(str(error).split())
            raise LRBenchError(f"the Optuna storage {url} cannot be used: {type(error).__name__}: {what}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Optuna's log lines and its warnings about experimental parts."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"optuna\.")
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _sampler(search: Search, trials: Sequence[FrozenTrial], asked: int) -> BaseSampler:
    from optuna import samplers

    seed = int(np.random.SeedSequence([search.seed, asked]).generate_state(1)[0])
    match search.sampler:
        case "tpe":
            return samplers.TPESampler(multivariate=True, group=True, seed=seed)
        case "cmaes":
            return samplers.CmaEsSampler(
                source_trials=_shared_numbers(trials), seed=seed, warn_independent_sampling=False
            )
        case "gp":
            return samplers.GPSampler(seed=seed, warn_independent_sampling=False)
        case "nsga2":
            return samplers.NSGAIISampler(population_size=max(4, search.batch), seed=seed)
        case "grid":
            return samplers.BruteForceSampler(seed=seed)
        case _:
            return samplers.RandomSampler(seed=seed)


def _shared_numbers(trials: Sequence[FrozenTrial]) -> list[FrozenTrial] | None:
    """Reduce trials to what CMA-ES can follow: numbers that every policy has."""
    from optuna.distributions import CategoricalDistribution
    from optuna.trial import create_trial

    complete = [trial for trial in trials if trial.value is not None]
    if len(complete) < FEWEST_SOURCES:
        return None
    shared = {
        name: distribution
        for name, distribution in complete[0].distributions.items()
        if not isinstance(distribution, CategoricalDistribution) and all(name in one.params for one in complete)
    }
    return [
        create_trial(value=one.value, params={name: one.params[name] for name in shared}, distributions=shared)
        for one in complete
    ]
