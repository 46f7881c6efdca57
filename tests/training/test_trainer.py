from dataclasses import replace

import pytest

from lrbench.errors import StoreError
from lrbench.policy import parse
from lrbench.store import Store
from lrbench.study.study import Study, StudyPolicy
from lrbench.tasks import Task
from lrbench.training.backlog import Backlog
from lrbench.training.listener import NullListener
from lrbench.training.trainer import Trainer


class Meddler(NullListener):
    """Asks less of a study, so many times, while it is trained; as a process does that is behind."""

    def __init__(self, store: Store, times: int) -> None:
        self.store, self.times = store, times

    def planned(self, backlog: Backlog) -> None:
        self.times -= 1
        if self.times >= 0:
            definition, members = self.store.study("shared")
            first = definition["entries"][:1]
            kept = [member for member in members if member.entry == first[0]["name"]]
            self.store.save_study("shared", {**definition, "entries": first}, kept)


@pytest.fixture
def shared(task: Task) -> Study:
    policies = tuple(StudyPolicy(text, parse(text)) for text in ("FIX(k0=0.1)", "FIX(k0=0.2)"))
    return Study(name="shared", tasks=(task,), policies=policies, seeds=(0,))


def test_a_study_of_which_another_asks_less_meanwhile_is_read_as_it_was_asked(shared: Study, trainer: Trainer) -> None:
    disturbed = replace(trainer, listener=Meddler(trainer.store, 2))

    evidence, tally = disturbed.trained(shared)

    assert {member.entry for member in evidence.members} == {"FIX(k0=0.1)", "FIX(k0=0.2)"}
    assert tally.steps_trained == 2 * 40


def test_a_study_that_is_changed_again_and_again_is_given_up(shared: Study, trainer: Trainer) -> None:
    disturbed = replace(trainer, listener=Meddler(trainer.store, 1000))
    with pytest.raises(StoreError, match=r"the study 'shared' in the store .* is changed again and again by others"):
        disturbed.trained(shared)
