from collections.abc import Callable
from pathlib import Path

import pytest

from lrbench.errors import StudyError
from lrbench.policy import parse
from lrbench.policy_search import Between, Search, Space
from lrbench.policy_search.ledger import read_history, write_asked
from lrbench.policy_search.loop import run_search
from lrbench.policy_search.read import read_search
from lrbench.store import open_store
from lrbench.study.study import Study, StudyPolicy
from lrbench.tasks import Task
from lrbench.training.trainer import Trainer

Make = Callable[..., Search]


def test_a_stored_search_has_what_the_search_found(make: Make, trainer: Trainer) -> None:
    found = run_search(make(), trainer)

    stored = read_search("hunt", trainer.store)

    assert (stored.name, stored.objectives, stored.accuracy) == ("hunt", ("accuracy",), "top1")
    told = [(one.policy, one.steps, one.whole, one.values, one.diverged) for one in stored.trials]
    assert told == [(one.policy, one.steps, one.whole, one.values, one.diverged) for one in found.trials]
    assert {one.iterations for one in stored.trials} == {20, 20 + 2 * 40}
    confirmation = len(found.confirmed) * 2 * 40
    assert sum(one.iterations for one in stored.trials) == found.steps_nominal - confirmation
    functions = [type(parse(one.policy)).__name__ for one in found.trials]
    assert [one.proposal.params["function"] for one in stored.trials] == functions
    assert stored.confirmed == found.confirmed
    assert stored.confirmed


def test_studies_named_as_the_parts_of_a_search_are_no_parts_of_it(make: Make, task: Task, trainer: Trainer) -> None:
    run_search(make(policies=4), trainer)
    before = read_search("hunt", trainer.store)

    for name in ("hunt", "hunt: what was asked", "hunt at 20 iterations", "hunt: confirmed"):
        own = Study(name=name, task=task, policies=["FIX(k0=0.07)"], seeds=1)
        evidence, _ = trainer.trained(own)
        assert (evidence.entry.kind, evidence.entry.parent, evidence.entry.is_latest) == ("study", None, True)

    assert read_search("hunt", trainer.store) == before


def test_two_objectives_are_known_by_their_names(make: Make, trainer: Trainer) -> None:
    search = make(objectives=("accuracy", "steps"), target=0.5, rungs=1, policies=4, sampler="nsga2")
    found = run_search(search, trainer)
    stored = read_search("hunt", trainer.store)
    assert [one.values for one in stored.trials] == [one.values for one in found.trials]
    assert stored.confirmed == found.confirmed


def test_a_search_under_way_has_trials_of_which_nothing_is_known_yet(
    make: Make, trainer: Trainer, tmp_path: Path
) -> None:
    search = make(policies=4)
    run_search(search, trainer)
    asked = read_history(search, trainer.store).asked

    with open_store(tmp_path / "begun.db") as store:
        write_asked(search, asked, store)
        begun = read_search("hunt", store)

    assert (begun.accuracy, begun.confirmed) == (None, ())
    told = [(one.policy, one.iterations, one.steps) for one in begun.trials]
    assert told == [(one.policy, 0, None) for one in asked]


def test_where_all_diverge_no_trial_comes_to_the_whole_budget(make: Make, trainer: Trainer) -> None:
    run_search(make(space=Space(("FIX",), Between(1e5, 1e9, log=True)), policies=4), trainer)

    trials = read_search("hunt", trainer.store).trials

    assert {(one.steps, one.whole, one.diverged, one.iterations) for one in trials} == {(20, False, 1.0, 20)}


def test_what_is_no_search_is_said_in_one_sentence(make: Make, trainer: Trainer, task: Task) -> None:
    with pytest.raises(StudyError, match=r"has no search 'hunt'; it has none yet$"):
        read_search("hunt", trainer.store)
    run_search(make(policies=2, confirm=1), trainer)
    trainer.train(Study(name="known", tasks=(task,), policies=(StudyPolicy("flat", parse("FIX(k0=0.1)")),), seeds=(0,)))

    with pytest.raises(StudyError, match=r"has no search 'hnt' \(did you mean 'hunt'\?\); it has: hunt$"):
        read_search("hnt", trainer.store)
    with pytest.raises(StudyError, match=r"'known' in the store .* is a study of given policies"):
        read_search("known", trainer.store)
