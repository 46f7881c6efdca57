from pathlib import Path

import pandas as pd
import pytest
from torch import nn

import lrbench
from lrbench.advice.evidence import SHIPPED, TaskEvidence, evidence_by_task, shipped, stored
from lrbench.advice.recommend import advise, nearest, verified
from lrbench.errors import StudyError, TaskError
from lrbench.policy import POLY, parse
from lrbench.store import open_store
from lrbench.store.records import Kind
from lrbench.study import file as config
from lrbench.study.export import export, flat
from lrbench.study.file import find_study
from lrbench.study.study import Study, StudyPolicy
from lrbench.tasks import Adam, Task
from lrbench.training.trainer import Trainer
from tests.present import present
from tests.report.made_studies import FIVE, SCORES, same_everywhere, write_study
from tests.small_search import SERIAL

FIXED_STEPS = "STEP(k0=0.1, gamma=0.5, l=10)"
POLICIES = ("POLY(k0=0.1, p=1, l=1dur)", "FIX(k0=0.05)", "FIX(k0=1e-05)", "FIX(k0=1e6)", FIXED_STEPS)


@pytest.fixture(scope="module")
def known(task: Task, lasting_trainer: Trainer) -> list[TaskEvidence]:
    """A store that has five policies on the task: two that learn, one that does not, one that diverges, one fixed."""
    policies = tuple(StudyPolicy(text, parse(text)) for text in POLICIES)
    lasting_trainer.train(
        Study(name="known", tasks=(task,), policies=policies, seeds=(0, 1, 2), base_lr_scales=(0.5, 1.0, 2.0))
    )
    return list(stored(lasting_trainer.store))


@pytest.fixture(scope="module")
def mnist1d() -> Task:
    return lrbench.load_task("mnist1d-mlp")


def test_only_what_a_range_test_trained_is_no_evidence(tmp_path: Path) -> None:
    names: dict[str, Kind] = {
        "linear sweep of lrs": "study",
        "range test of lrs, 20 steps": "study",
        "bookkeeping": "range_test",
    }
    with open_store(tmp_path / "runs.db") as store:
        for name, kind in names.items():
            write_study(store, FIVE, same_everywhere(SCORES), name, kind=kind)
        (body,) = stored(store)
    assert body.studies == {"linear sweep of lrs", "range test of lrs, 20 steps"}


def test_the_same_task_speaks_first_and_the_best_of_it_is_recommended(
    task: Task, lasting_trainer: Trainer, known: list[TaskEvidence]
) -> None:
    advice = advise(task, lasting_trainer, known)

    means = [present(present(one.value).mean) for one in advice.recommendations]
    assert advice.nearness == "the same task"
    assert means == sorted(means, reverse=True)
    assert not {"FIX(k0=1e-05)", "FIX(k0=1000000.0)"} & {one.policy for one in advice.recommendations}
    assert advice.policy == advice.recommendations[0].policy
    assert "15 runs of 5 policies on the same task: thirds, 40 iterations (known; " in advice.source
    assert all(one.runs == 3 for one in advice.recommendations)


def test_a_number_of_the_advice_is_one_that_was_measured(
    task: Task, lasting_trainer: Trainer, known: list[TaskEvidence]
) -> None:
    best = advise(task, lasting_trainer, known).recommendations[0]
    card = lrbench.score(best.policy, task, seeds=3, store=lasting_trainer.store, **SERIAL)
    assert best.value is not None
    assert (best.value.mean, best.value.low) == (card.val.mean, card.val.low)


def test_studies_that_are_left_out_say_nothing(lasting_trainer: Trainer, known: list[TaskEvidence]) -> None:
    studies = {name for body in evidence_by_task(lasting_trainer.store) for name in body.studies}
    rest = evidence_by_task(lasting_trainer.store, without=["known", "quickstart"])
    assert {name for body in rest for name in body.studies} == studies - {"known", "quickstart"}
    with pytest.raises(StudyError, match=r"there is no study 'knwon' to leave out, .*did you mean 'known'"):
        evidence_by_task(lasting_trainer.store, without=["knwon"])


def test_goals_of_cost_and_of_robustness_order_by_their_own_numbers(
    task: Task, lasting_trainer: Trainer, known: list[TaskEvidence]
) -> None:
    cost, robust = (advise(task, lasting_trainer, known, goal=goal) for goal in ("cost", "robust"))

    steps = [present(present(one.value).mean) for one in cost.recommendations]
    retained = [present(present(one.value).mean) for one in robust.recommendations]
    assert steps == sorted(steps)
    assert retained == sorted(retained, reverse=True)
    assert "FIX(k0=1000000.0)" not in {one.policy for one in (*cost.recommendations, *robust.recommendations)}


def test_at_another_budget_policies_that_do_not_follow_it_are_left_out(
    task: Task, lasting_trainer: Trainer, known: list[TaskEvidence]
) -> None:
    longer = task.with_(steps=80, eval_every=20)
    advice = advise(longer, lasting_trainer, known, at_most=9)
    policies = {one.policy for one in advice.recommendations}
    assert advice.nearness == "the same task with another budget"
    assert FIXED_STEPS not in policies
    assert "POLY(k0=0.1, p=1.0, l=1dur)" in policies


def test_without_evidence_a_range_test_gives_the_rates_and_says_so(task: Task, lasting_trainer: Trainer) -> None:
    advice = advise(task, lasting_trainer, [])

    test = lrbench.range_test(task, seeds=3, store=lasting_trainer.store, **SERIAL)
    assert advice.nearness == "none"
    assert advice.source.startswith("a range test alone")
    policy = parse(advice.policy)
    assert isinstance(policy, POLY)
    assert policy.k0 == pytest.approx(test.high.value, rel=0.05)
    assert all(one.runs == 0 and one.value is None for one in advice.recommendations)
    assert {body.steps for body in stored(lasting_trainer.store)}.isdisjoint({test.steps}), "its runs are no evidence"


def test_without_curves_the_advice_on_cost_says_that_they_are_missing(task: Task, lasting_trainer: Trainer) -> None:
    source = advise(task, lasting_trainer, [], goal="cost").source
    assert "no evidence of cost on this task or one like it (runs that ship with lrbench have no curves" in source


def test_where_nothing_was_learnt_nothing_is_recommended(task: Task, trainer: Trainer) -> None:
    dead = task.with_(loss=lambda outputs, targets: nn.functional.cross_entropy(outputs * 0.0, targets), version="dead")
    policies = tuple(StudyPolicy(text, parse(text)) for text in POLICIES[:3])
    trainer.train(Study(name="in vain", tasks=(dead,), policies=policies, seeds=(0, 1)))

    with pytest.raises(TaskError, match=r"no learning rate from .* lowers the training loss within 100 iterations"):
        advise(dead, trainer, stored(trainer.store))


def test_verification_goes_on_until_a_policy_reaches_the_target(
    task: Task, lasting_trainer: Trainer, known: list[TaskEvidence]
) -> None:
    advice = advise(task, lasting_trainer, known)

    easy = verified(advice, task, lasting_trainer, target=0.5, seeds=(10, 11))
    never = verified(advice, task, lasting_trainer, target=1.0, seeds=(10, 11))

    assert [one.answer for one in easy.verified] == ["yes"]
    assert easy.policy == easy.verified[0].card.policy
    assert len(never.verified) == len(advice.recommendations)
    assert "nothing found that is verified" in str(never)


def test_shipped_studies_are_evidence_of_what_their_tables_say(mnist1d: Task, lasting_trainer: Trainer) -> None:
    known = [body for body in shipped() if "quickstart" in body.studies]
    tables = pd.concat(pd.read_csv(find_study(name).with_suffix(".csv")) for name in known[0].studies)
    plain = tables[(tables["task"] == "mnist1d-mlp") & (tables["scale"] == 1) & tables["modifier"].isna()]

    told = plain.groupby(["policy", "seed"])["val_top1"].agg(set)
    rows = told.reset_index().itertuples(index=False, name=None)
    assert all(known[0].runs[policy, seed].score("val") in values for policy, seed, values in rows)
    advice = advise(mnist1d, lasting_trainer, known)
    assert advice.nearness == "the same task"
    assert SHIPPED in advice.source


def test_a_shipped_table_says_the_same_with_the_columns_that_an_older_export_had_not(
    trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, table = tmp_path / "tiny.toml", tmp_path / "tiny.csv"
    policies = "".join(f'[[policies]]\npolicy = "{text}"\n' for text in ("FIX(k0=0.1)", "FIX(k0=1e8)"))
    file.write_text(f'task = {{ base = "mnist1d-mlp", steps = 24 }}\ntarget = 0.2\nseeds = 2\n{policies}')
    monkeypatch.setattr(config, "_shipped_studies", lambda: {"tiny": file})
    trainer.train(config.load_study(file))
    exported = flat(export("tiny", trainer.store))

    exported.to_csv(table, index=False)
    (new,) = shipped()
    exported.drop(columns=["volatility", "steps_to_best", "steps_to_target"]).to_csv(table, index=False)
    (old,) = shipped()

    assert len(new.runs) == 4
    assert new == old


def test_shipped_studies_that_only_look_more_or_less_often_are_one_body_of_evidence() -> None:
    (body,) = (body for body in shipped() if "fashion_lenet" in body.studies)

    assert body.studies == {"fashion_lenet", "fashion_lenet_fresh"}
    assert {seed for policy, seed in body.runs if policy == "POLY(k0=0.03, p=1.2, l=1dur)"} == set(range(15))


def test_another_model_on_the_same_data_and_the_same_model_on_other_data_are_near(lasting_trainer: Trainer) -> None:
    known = list(shipped())
    conv = lrbench.load_task("mnist1d-conv")
    assert advise(conv, lasting_trainer, known).nearness == "the same data"


def test_a_task_of_the_same_name_with_another_setting_is_another_task(
    task: Task, lasting_trainer: Trainer, known: list[TaskEvidence]
) -> None:
    assert nearest(task.with_(optimizer=Adam()), known) == []
    assert [nearness for nearness, _ in nearest(task, known)] == ["the same task"]


def test_an_unknown_goal_is_one_sentence(task: Task, lasting_trainer: Trainer, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"no goal named 'acuracy' \(did you mean 'accuracy'\?\)"):
        advise(task, lasting_trainer, [], goal="acuracy")
    with pytest.raises(StudyError, match="at_most = 0 must be at least 1"):
        lrbench.recommend(task, at_most=0, store=tmp_path / "runs.db")


def test_shipped_runs_at_other_base_lrs_are_evidence_of_robustness(mnist1d: Task, lasting_trainer: Trainer) -> None:
    advice = advise(mnist1d, lasting_trainer, shipped(), goal="robust")
    table = pd.read_csv(find_study("robustness").with_suffix(".csv"))

    rows = table[(table["policy"] == advice.policy) & table["modifier"].isna()]
    means = rows.pivot_table(index="seed", columns="scale", values="val_top1")
    assert present(advice.recommendations[0].value).mean == pytest.approx(means.mean(axis=1).mean())
