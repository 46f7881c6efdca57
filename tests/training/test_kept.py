from pathlib import Path

import pytest

from lrbench.store import Store, StoredRun, open_store
from lrbench.study.study import Study
from lrbench.tasks import Task
from lrbench.training.engine_choice import Engines
from lrbench.training.plan import plan
from lrbench.training.runner import backlog, run

POLICIES = {
    "wsd": "WSD(k0=0.1, up=0.1dur, stable=0.7dur, down=0.2dur)",
    "constant": "FIX(k0=0.1)",
    "cosine": "COSINE(k0=0.1, l=1dur)",
}


def at(task: Task, *horizons: str) -> Study:
    return Study(policies=POLICIES, task=task, horizons=horizons, seeds=2, name="any")


def numbers(study: Study, store: Store) -> dict[str, tuple[object, ...]]:
    def of(one: StoredRun) -> tuple[object, ...]:
        return one.scores, one.final, one.flops, one.step, one.status

    return {key: of(one) for key, one in store.study_runs(study.name).items()}


@pytest.fixture
def begun(task: Task, tmp_path: Path) -> Path:
    """A store that has the task's own budget."""
    with open_store(tmp_path / "runs.db") as store:
        assert run(at(task, "100%"), store, engine="serial", workers=1).steps_trained == 2 * 3 * 40
    return tmp_path / "runs.db"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_longer_horizon_goes_on_from_the_trunks_of_a_shorter_one(
    task: Task, begun: Path, tmp_path: Path, workers: int
) -> None:
    longer = at(task, "200%")
    # 33 iterations of WSD, the first of the cooldown among them, and all of the constant rate but the last
    saved = 2 * (33 + 39)
    with open_store(begun) as store:
        ahead = backlog(plan(longer), store, Engines.chosen("serial", plan(longer).runs))
        assert (ahead.steps_kept, ahead.steps_to_train) == (saved, 2 * 3 * 80 - saved)
        assert run(longer, store, engine="serial", workers=workers).steps_trained == 2 * 3 * 80 - saved
        went_on = numbers(longer, store)
        # and again, from the trunks of this one
        ahead = backlog(plan(at(task, "300%")), store, Engines.chosen("serial", plan(at(task, "300%")).runs))
        assert ahead.steps_kept == 2 * (65 + 79)
        assert store.checkpoints_in_use() == set(store.checkpoints.names())
    with open_store(tmp_path / "anew.db") as store:
        run(longer, store, engine="serial", workers=1)
        assert numbers(longer, store) == went_on


def test_where_a_kept_state_is_gone_the_run_begins_anew_and_the_dry_run_says_so(task: Task, begun: Path) -> None:
    with open_store(begun) as store:
        for name in store.checkpoints.names():
            store.checkpoints.delete(name)
        ahead = backlog(plan(at(task, "200%")), store, Engines.chosen("serial", plan(at(task, "200%")).runs))
        assert (ahead.steps_kept, ahead.steps_to_train) == (0, 2 * 3 * 80)
        assert run(at(task, "200%"), store, engine="serial", workers=1).steps_trained == 2 * 3 * 80


def test_where_a_kept_state_cannot_be_read_the_run_begins_anew(task: Task, begun: Path) -> None:
    with open_store(begun) as store:
        for name in store.checkpoints.names():
            store.checkpoints.file(name).write_bytes(b"torn")
        assert run(at(task, "200%"), store, engine="serial", workers=1).steps_trained == 2 * 3 * 80


def test_kept_states_are_deleted_with_the_last_study_of_their_policy_and_seed(task: Task, begun: Path) -> None:
    flat = Study(policies={"constant": "FIX(k0=0.1)"}, task=task, seeds=1, name="flat")
    with open_store(begun) as store:
        run(flat, store, engine="serial", workers=1)
        assert len(store.checkpoints.names()) == 4
        assert store.delete_study("any") == 5
        (left,) = store.checkpoints.names()  # that of the policy and the seed of the other study
        assert store.checkpoints_in_use() == {left}
        store.delete_study("flat")
        assert store.checkpoints.names() == []
        assert store.statuses() == {}


def test_a_study_without_horizons_keeps_nothing(task: Task, tmp_path: Path) -> None:
    with open_store(tmp_path / "runs.db") as store:
        run(Study(policies=POLICIES, task=task, seeds=2, name="any"), store, engine="serial", workers=1)
        assert not list(store.checkpoints.names())
