from dataclasses import replace

import pytest

from lrbench.policy import parse
from lrbench.store import Store
from lrbench.study.study import Study, StudyPolicy
from lrbench.tasks import Task
from lrbench.training.backlog import Backlog
from lrbench.training.listener import NullListener
from lrbench.training.trainer import Trainer


class Meddler(NullListener):
    """Asks less of a study while it is trained, as a process does that is behind."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def planned(self, backlog: Backlog) -> None:
        record, slots = self.store.study("shared")
        first = record.policies[:1]
        kept = [slot for slot in slots if slot.policy == first[0].name]
        self.store.save_study("shared", record.model_copy(update={"policies": first}), kept)


@pytest.fixture
def shared(task: Task) -> Study:
    policies = tuple(StudyPolicy(text, parse(text)) for text in ("FIX(k0=0.1)", "FIX(k0=0.2)"))
    return Study(name="shared", tasks=(task,), policies=policies, seeds=(0,))


def test_a_study_of_which_another_asks_less_meanwhile_is_read_as_it_was_asked(shared: Study, trainer: Trainer) -> None:
    disturbed = replace(trainer, listener=Meddler(trainer.store))

    evidence, tally = disturbed.trained(shared)

    assert {slot.policy for slot in evidence.slots} == {"FIX(k0=0.1)", "FIX(k0=0.2)"}
    assert tally.steps_trained == 2 * 40
