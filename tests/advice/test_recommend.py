from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from torch import nn

import lrbench
from lrbench import files
from lrbench.advice.evidence import SHIPPED, AskedTask, TaskEvidence, evidence_by_task, shipped, stored
from lrbench.advice.recommend import Advice, advise, nearest, verified
from lrbench.errors import DataError, StudyError, TaskError
from lrbench.policy import parse
from lrbench.store import open_store
from lrbench.store.records import Kind
from lrbench.study.export import READ_OFF, export, flat
from lrbench.study.file import find_study, load_study
from lrbench.study.results import results
from lrbench.study.study import Study, StudyPolicy
from lrbench.tasks import Adam, Task, settings_from_dict
from lrbench.training.trainer import Trainer
from tests.present import present
from tests.report.made_studies import FIVE, SCORES, STEPS, Place, same_everywhere, write_study
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


def advised(task: Task, known: Iterable[TaskEvidence], goal: str = "accuracy", at_most: int = 3) -> Advice:
    return present(advise(AskedTask.of(task), known, goal=goal, at_most=at_most))


def test_only_what_a_range_test_trained_is_no_evidence(tmp_path: Path) -> None:
    names: dict[str, Kind] = {
        "linear sweep of lrs": "study",
        "range test of lrs, 20 steps": "study",
        "bookkeeping": "range_test",
    }
    with open_store(tmp_path / "runs.db") as store:
        for name, kind in names.items():
            write_study(store, FIVE, same_everywhere(SCORES), name, kind=kind)
        assert {body.study for body in stored(store)} == {"linear sweep of lrs", "range test of lrs, 20 steps"}


def test_the_same_task_speaks_first_and_the_best_of_it_is_recommended(task: Task, known: list[TaskEvidence]) -> None:
    advice = advised(task, known)

    ends = [present(present(one.value).low) for one in advice.recommendations]
    assert advice.nearness == "the same task"
    assert ends == sorted(ends, reverse=True)
    assert not {"FIX(k0=1e-05)", "FIX(k0=1000000.0)"} & {one.policy for one in advice.recommendations}
    assert advice.policy == advice.recommendations[0].policy
    assert "15 runs of 5 policies on the same task: thirds, 40 iterations (known; " in advice.source
    assert all(one.runs == 3 for one in advice.recommendations)


def test_a_number_of_the_advice_is_one_that_was_measured(
    task: Task, lasting_trainer: Trainer, known: list[TaskEvidence]
) -> None:
    best = advised(task, known).recommendations[0]
    card = lrbench.score(best.policy, task, seeds=3, store=lasting_trainer.store, **SERIAL)
    assert best.value is not None
    assert (best.value.mean, best.value.low) == (card.val.mean, card.val.low)


def test_studies_that_are_left_out_say_nothing(lasting_trainer: Trainer, known: list[TaskEvidence]) -> None:
    studies = {body.study for body in evidence_by_task(lasting_trainer.store)}
    rest = evidence_by_task(lasting_trainer.store, without=["known", "quickstart"])
    assert {body.study for body in rest} == studies - {"known", "quickstart"}
    with pytest.raises(StudyError, match=r"there is no study 'knwon' to leave out, .*did you mean 'known'"):
        evidence_by_task(lasting_trainer.store, without=["knwon"])


def test_goals_of_cost_and_of_robustness_order_by_the_worse_ends_of_their_own_intervals(
    task: Task, known: list[TaskEvidence]
) -> None:
    cost, robust = (advised(task, known, goal=goal) for goal in ("cost", "robust"))

    steps = [present(present(one.value).high) for one in cost.recommendations]
    retained = [present(present(one.value).low) for one in robust.recommendations]
    assert steps == sorted(steps)
    assert retained == sorted(retained, reverse=True)
    assert "FIX(k0=1000000.0)" not in {one.policy for one in (*cost.recommendations, *robust.recommendations)}


def test_at_another_budget_policies_that_do_not_follow_it_are_left_out(task: Task, known: list[TaskEvidence]) -> None:
    longer = task.with_(steps=80, eval_every=20)
    advice = advised(longer, known, at_most=9)
    policies = {one.policy for one in advice.recommendations}
    assert advice.nearness == "the same task with another budget"
    assert FIXED_STEPS not in policies
    assert "POLY(k0=0.1, p=1.0, l=1dur)" in policies


@pytest.mark.parametrize("goal", ["accuracy", "cost"])
def test_without_evidence_nothing_is_trained_unless_a_range_test_is_asked_for(
    task: Task, tmp_path: Path, goal: str
) -> None:
    with open_store(tmp_path / "runs.db") as store:
        ask = partial(lrbench.recommend, task, goal=goal, store=store, **SERIAL)
        with pytest.raises(
            StudyError, match=rf"task 'thirds': there is no evidence of {goal} .*; ask for a range test"
        ):
            ask()
        assert store.studies() == ()

        advice = ask(range_test=True)

        test = lrbench.range_test(task, seeds=3, store=store, **SERIAL)
        assert test.steps_trained == 0
        assert list(stored(store)) == [], "its runs are no evidence"
    assert advice.nearness == "none"
    assert advice.source.startswith(
        f"a range test alone, as there is no evidence of {goal} on this task or one like it"
    )
    assert parse(advice.policy).bind(100, 10)(0) == pytest.approx(test.high.value, rel=0.05)
    assert all(one.runs == 0 and one.value is None for one in advice.recommendations)


def test_where_nothing_was_learnt_nothing_is_recommended(task: Task, trainer: Trainer) -> None:
    dead = task.with_(loss=lambda outputs, targets: nn.functional.cross_entropy(outputs * 0.0, targets), version="dead")
    policies = tuple(StudyPolicy(text, parse(text)) for text in POLICIES[:3])
    trainer.train(Study(name="in vain", tasks=(dead,), policies=policies, seeds=(0, 1)))

    assert advise(AskedTask.of(dead), stored(trainer.store)) is None
    with pytest.raises(TaskError, match=r"no learning rate from .* lowers the training loss within 100 iterations"):
        lrbench.recommend(dead, range_test=True, store=trainer.store, **SERIAL)


def scores(place: Place) -> float:
    """A is best by its mean but unsteady, B is steady, C has the worst luck while it is chosen."""
    jump = {"A": 0.2, "B": 0.01, "C": 0.01}[place.name] * (1 if place.seed % 2 else -1)
    mean = {"A": 0.72, "B": 0.7, "C": 0.67 if place.stage == "main" else 0.65}[place.name]
    return mean + jump


def test_steady_numbers_go_before_a_better_mean_and_those_on_fresh_seeds_before_all(task: Task, tmp_path: Path) -> None:
    names = {"A": "FIX(k0=0.1)", "B": "FIX(k0=0.2)", "C": "FIX(k0=0.3)"}
    asked = AskedTask("a-task", STEPS, "top1", "higher", None, None)
    with open_store(tmp_path / "runs.db") as store:
        write_study(store, names, scores, seeds=range(4))
        chosen = present(advise(asked, stored(store)))
        write_study(store, names, scores, name="confirmed", seeds=range(4), finalists=["C"])
        confirmed = present(advise(asked, stored(store)))

    assert [one.policy for one in chosen.recommendations] == [names[name] for name in "BCA"]
    assert [one.policy for one in confirmed.recommendations] == [names[name] for name in "CBA"]
    first = confirmed.recommendations[0]
    assert (first.confirmed, first.study, first.runs) == (True, "confirmed", 4)
    assert present(first.value).mean == pytest.approx(0.65)
    assert "n = 4 fresh seeds" in first.reason
    assert "by its name, as its data is not here" in confirmed.source


def test_each_study_judges_its_own_policies_by_its_own_margin(
    task: Task, lasting_trainer: Trainer, known: list[TaskEvidence]
) -> None:
    """The verdicts are those of `lrbench report`, whatever other studies are in the store."""
    trained = results("known", lasting_trainer.store).tasks[0].scorecards
    (body,) = (body for body in known if body.study == "known")
    assert {card.name: card.verdict for card in body.cards} == {card.name: card.verdict for card in trained}
    assert "policies of known, margin 0.01" in advised(task, [body]).recommendations[0].reason


def test_advice_needs_no_data_where_nothing_is_trained(tmp_path: Path) -> None:
    ask = partial(lrbench.recommend, "fashion-lenet", steps=1000, data_root=tmp_path, store=tmp_path / "runs.db")
    advice = ask()
    assert advice.nearness == "the same task"
    assert "fashion_lenet" in advice.source
    with pytest.raises(DataError):
        ask(target=0.5)


def test_verification_goes_on_until_a_policy_reaches_the_target(
    task: Task, lasting_trainer: Trainer, known: list[TaskEvidence]
) -> None:
    advice = advised(task, known)

    easy = verified(advice, task, lasting_trainer, target=0.5, seeds=(10, 11))
    never = verified(advice, task, lasting_trainer, target=1.0, seeds=(10, 11))

    assert [one.answer for one in easy.verified] == ["yes"]
    assert easy.policy == easy.verified[0].card.policy
    assert len(never.verified) == len(advice.recommendations)
    assert "nothing found that is verified" in str(never)


def test_shipped_studies_are_evidence_of_what_their_tables_say(mnist1d: Task) -> None:
    (body,) = (body for body in shipped() if body.study == "quickstart")
    table = pd.read_csv(find_study("quickstart").with_suffix(".csv"))

    rows = table.loc[table["modifier"].isna(), ["policy", "seed", "val_top1"]].itertuples(index=False, name=None)
    told = {(policy, seed): score for policy, seed, score in rows}
    assert {(one.policy, run.seed): run.score("val") for one in body.contenders for run in one.runs} == told
    assert all(str(parse(one.policy)) == one.policy for one in body.contenders)
    advice = advised(mnist1d, [body])
    assert advice.nearness == "the same task"
    assert SHIPPED in advice.source


def test_a_shipped_table_says_the_same_with_the_columns_that_an_older_export_had_not(
    trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, table = tmp_path / "tiny.toml", tmp_path / "tiny.csv"
    policies = "".join(f'[[policies]]\npolicy = "{text}"\n' for text in ("FIX(k0=0.1)", "FIX(k0=1e8)"))
    file.write_text(f'task = {{ base = "mnist1d-mlp", steps = 24 }}\ntarget = 0.2\nseeds = 2\n{policies}')
    others = files.shipped
    monkeypatch.setattr(files, "shipped", lambda folder: {"tiny": file} if folder == "studies" else others(folder))
    trainer.train(load_study(file))
    exported = flat(export("tiny", trainer.store))

    exported.to_csv(table, index=False)
    (new,) = shipped()
    exported.drop(columns=[*READ_OFF]).to_csv(table, index=False)
    (old,) = shipped()

    assert sum(len(one.runs) for one in new.contenders) == 4
    assert new == old


def test_a_shipped_study_that_is_judged_by_a_loss_advises_by_the_lowest() -> None:
    asked = AskedTask.of(settings_from_dict({"base": "grammar-gpt"}))
    advice = present(advise(asked, shipped()))
    table = pd.read_csv(find_study("grammar_schedules").with_suffix(".csv"))

    confirmed = table[table["stage"] == "confirm"].groupby("policy")["val_loss"].mean()
    assert (advice.nearness, advice.goal) == ("the same task", "loss")
    assert present(advice.recommendations[0].value).mean == pytest.approx(confirmed[advice.policy])
    assert advice.policy in confirmed.nsmallest(2).index


def test_shipped_studies_of_one_task_and_budget_speak_together() -> None:
    asked = AskedTask.of(settings_from_dict({"base": "fashion-lenet", "steps": 1000}))
    (nearness, bodies), *_ = nearest(asked, shipped())
    assert nearness == "the same task"
    assert {body.study for body in bodies} == {"fashion_lenet", "fashion_lenet_fresh"}


def test_another_model_on_the_same_data_is_near() -> None:
    assert advised(lrbench.load_task("mnist1d-conv"), shipped()).nearness == "the same data"


def test_training_from_initial_weights_and_fine_tuning_say_nothing_of_each_other() -> None:
    pretrained = {"base": "fashion-lenet", "name": "mine", "pretrained": "weights.pt"}
    assert nearest(AskedTask.of(settings_from_dict({"base": "fashion-lenet", "name": "mine"})), shipped())
    assert not any(
        body.settings is None or body.settings.pretrained is None
        for _, bodies in nearest(AskedTask.of(settings_from_dict(pretrained)), shipped())
        for body in bodies
    )


def test_a_task_of_the_same_name_with_another_setting_is_another_task(task: Task, known: list[TaskEvidence]) -> None:
    assert nearest(AskedTask.of(task.with_(optimizer=Adam())), known) == []
    assert [nearness for nearness, _ in nearest(AskedTask.of(task), known)] == ["the same task"]


def test_an_unknown_goal_is_one_sentence(task: Task, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"no goal named 'acuracy' \(did you mean 'accuracy'\?\)"):
        advise(AskedTask.of(task), [], goal="acuracy")
    with pytest.raises(StudyError, match="at_most = 0 must be at least 1"):
        lrbench.recommend(task, at_most=0, store=tmp_path / "runs.db")


def test_shipped_runs_at_other_base_lrs_are_evidence_of_robustness(mnist1d: Task) -> None:
    advice = advised(mnist1d, shipped(), goal="robust")
    table = pd.read_csv(find_study("robustness").with_suffix(".csv"))

    rows = table[(table["policy"] == advice.policy) & table["modifier"].isna()]
    means = rows.pivot_table(index="seed", columns="scale", values="val_top1")
    assert present(advice.recommendations[0].value).mean == pytest.approx(means.mean(axis=1).mean())


def test_goals_that_rank_studies_order_by_the_worse_end_and_judge_by_themselves(
    task: Task, known: list[TaskEvidence]
) -> None:
    loss, retention = (advised(task, known, goal=goal) for goal in ("loss:0.3", "base_lr_retention"))

    ends = [present(present(one.value).high) for one in loss.recommendations]
    kept = [present(present(one.value).low) for one in retention.recommendations]
    assert ends == sorted(ends)
    assert kept == sorted(kept, reverse=True)
    assert loss.recommendations[0].reason.startswith("val loss 0.")
    assert "margin 0.3" in loss.recommendations[0].reason


def test_a_study_without_what_a_goal_needs_is_no_evidence_of_it(task: Task, known: list[TaskEvidence]) -> None:
    assert advise(AskedTask.of(task), known, goal="steps_to_target") is None
    assert advise(AskedTask.of(task), [replace(body, target=0.5) for body in known], goal="steps_to_target") is not None


def test_shipped_runs_are_evidence_of_what_their_tables_have(mnist1d: Task) -> None:
    advice = advised(mnist1d, shipped(), goal="ac")
    first = advice.recommendations[0]
    table = pd.read_csv(find_study(present(first.study).partition("@")[0]).with_suffix(".csv"))
    rows = table[(table["policy"] == first.policy) & table["modifier"].isna() & (table["scale"] == 1)]
    stage = "confirm" if first.confirmed else "main"
    assert present(first.value).mean == pytest.approx(rows[rows["stage"] == stage]["ac"].mean())


def test_iterations_are_counted_to_one_target_which_is_named(task: Task, known: list[TaskEvidence]) -> None:
    few = [replace(body, rows=body.rows[:2], terms={"margin": 0.05}, target=0.4) for body in known]
    bodies = [*few, *(replace(body, target=0.7) for body in known)]
    advice = advised(task, bodies, goal="steps_to_target")
    assert all(one.reason.startswith("to target 0.7: ") for one in advice.recommendations)
    for one in advice.recommendations:
        rows = [row for body in known for row in body.rows if row.policy == one.policy]
        steps = [run.steps_to(0.7) for row in rows for run in row.runs]
        assert present(one.value).mean == pytest.approx(np.mean([present(step) for step in steps]))


def test_robustness_over_other_base_lrs_is_another_number(task: Task, known: list[TaskEvidence]) -> None:
    terms = {"margin": 0.05}
    few = [replace(body, rows=body.rows[:2], terms=terms, base_lr_scales=(1.0, 10.0), study="few") for body in known]
    advice = advised(task, [*few, *known], goal="base_lr_retention")
    assert {one.study for one in advice.recommendations} == {"known"}


def test_a_goal_of_advice_takes_no_margin(task: Task, known: list[TaskEvidence]) -> None:
    with pytest.raises(StudyError, match="the goal 'cost' takes no margin: ask for cost"):
        advise(AskedTask.of(task), known, goal="cost:5%")
