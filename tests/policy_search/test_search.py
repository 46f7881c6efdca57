import math
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from torch import nn

import lrbench
from lrbench.engine import begin
from lrbench.errors import LRBenchError, StudyError
from lrbench.policy import FIX, Piecewise, parse
from lrbench.policy_search import Between, OneOf, Search, Space
from lrbench.policy_search.ledger import read_history, read_ledger, write_asked, write_training
from lrbench.policy_search.loop import SearchResult, run_search
from lrbench.policy_search.read import read_search
from lrbench.policy_search.rungs import Trial, promoted
from lrbench.report.plots.search import search_frames, search_progress_figure, standing
from lrbench.store import Proposal, SearchRecord, open_store
from lrbench.study.results import results
from lrbench.study.study import StudyPolicy
from lrbench.study.study_runs import StudyRuns
from lrbench.tasks import Metric, Task
from lrbench.training.listener import NullListener
from lrbench.training.plan import PlannedRow
from lrbench.training.trainer import Trainer
from tests.present import present

LR = Between(0.003, 1.0, log=True)
SERIAL: dict[str, Any] = {"device": "cpu", "workers": 1, "engine": "serial"}

Make = Callable[..., Search]


def identities(search: Search, found: SearchResult) -> list[str]:
    policies = [parse(one.policy) for one in found.trials]
    return [PlannedRow(search.task, StudyPolicy(str(policy), policy)).training_key(0) for policy in policies]


@pytest.fixture(scope="module")
def found(make: Make, lasting_trainer: Trainer) -> SearchResult:
    """What the small search finds; its store is that of the lasting bench."""
    return run_search(make(), lasting_trainer)


def test_a_search_finds_a_policy_that_holds_on_fresh_seeds(found: SearchResult) -> None:
    assert found.disappointment == ""
    assert found.winner is not None
    assert present(found.winner.val.mean) > 0.8
    assert found.winner.n == 2
    best = max((one for one in found.trials if one.whole), key=lambda one: one.values["accuracy"])
    assert found.front[0].values == best.values
    assert found.confirmed[0].search.mean is not None
    assert len(found.trials) == 12


def test_a_search_as_a_frame_has_a_row_for_each_policy_that_was_tried(found: SearchResult) -> None:
    frame = found.to_frame()

    assert list(frame) == ["policy", "budget", "whole", "diverged", "accuracy"]
    assert list(frame["policy"]) == [one.policy for one in found.trials]
    assert frame.loc[frame["whole"], "accuracy"].max() == found.front[0].values["accuracy"]


def test_a_coordinator_is_alive_from_the_first_question_of_a_search_to_its_last(make: Make, tmp_path: Path) -> None:
    alive = []

    class Looking(NullListener):
        def searched(self, name: str, policies: int, share: float) -> None:
            alive.append(len(store.coordinators()))

    with open_store(tmp_path / "runs.db") as store:
        lrbench.search(make(policies=4), store=store, listeners=[Looking()], progress=False, **SERIAL)
        assert store.coordinators() == ()

    assert len(alive) > 2
    assert set(alive) == {1}


def test_a_search_is_read_as_the_command_line_shows_it(found: SearchResult) -> None:
    lines = str(found).splitlines()

    assert lines[0].endswith("the finalists on 2 fresh seeds")
    assert lines[1].split()[:2] == ["policy", "verdict"]
    assert f"the winner: {present(found.winner).policy}" in " ".join(str(found).split())
    assert repr(found) == f"<SearchResult: {lines[0]}>"
    assert found._repr_html_().count("<tr>") == 1 + len(found.confirmed)


def test_only_the_better_half_of_what_was_seen_goes_on_to_the_whole_budget(found: SearchResult) -> None:
    whole = [one for one in found.trials if one.whole]
    assert 0 < len(whole) <= 9
    assert {one.steps for one in found.trials} == {20, 40}
    whole_runs = len(whole) * 2 * 40 + len(found.confirmed) * 2 * 40
    assert found.steps_nominal == 12 * 20 + whole_runs
    assert 0 < found.steps_trained <= found.steps_nominal


def test_who_goes_on_depends_on_nothing_that_was_asked_later(make: Make) -> None:
    search = make(reduction=2)
    early = {"a": 0.5, "b": 0.4, "c": 0.3, "d": 0.2}
    late = {"e": 0.9, "f": 0.8, "g": 0.1, "h": 0.7}
    trials = [
        Trial(Proposal(batch=batch, phase=1, policy=text, params={}, notes={}), {"accuracy": value})
        for batch, one in enumerate((early, late))
        for text, value in one.items()
    ]

    def going(trials: Sequence[Trial]) -> list[str]:
        return [one.policy for one in promoted(search, trials)]

    assert going(trials[:4]) == ["a", "b"]
    assert going(trials) == ["a", "b", "e", "f", "h"]
    assert "e" not in going([replace(one, diverged=1.0) if one.policy == "e" else one for one in trials])


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid", "cmaes", "gp", "nsga2"])
def test_every_sampler_asks_nothing_twice_and_goes_on_after_a_stop(sampler: str, make: Make, tmp_path: Path) -> None:
    """Samplers begin to learn after ten policies, so the second batch is one that they have learnt for."""
    space = Space(("POLY", "STEP"), LR, levels=4 if sampler == "grid" else None)
    rungs = 1 if sampler in ("cmaes", "gp", "nsga2") else 2
    search = make(sampler=sampler, space=space, rungs=rungs, policies=12, batch=10, seeds=(0,), confirm=1)

    with open_store(tmp_path / "whole.db") as store:
        whole = run_search(search, Trainer(store, **SERIAL))
    with open_store(tmp_path / "stopped.db") as store:
        run_search(replace(search, policies=10), Trainer(store, **SERIAL))
        stopped = run_search(search, Trainer(store, **SERIAL))

    assert len(set(identities(search, whole))) == 12
    assert [one.policy for one in stopped.trials] == [one.policy for one in whole.trials]
    for one, other in zip(stopped.confirmed, whole.confirmed, strict=True):
        measured = {name: other.card.metrics[name] for name in ("seconds", "evaluating")}  # the numbers that may differ
        assert replace(one.card, metrics={**one.card.metrics, **measured}) == other.card


def test_other_seeds_of_the_sampler_ask_for_other_policies(make: Make, trainer: Trainer) -> None:
    one, other = (run_search(make(name=f"hunt {seed}", seed=seed, policies=4), trainer) for seed in (0, 1))
    assert {tried.policy for tried in one.trials}.isdisjoint(tried.policy for tried in other.trials)


def test_a_finite_space_is_searched_to_its_end(make: Make, trainer: Trainer) -> None:
    search = make(sampler="grid", space=Space(("FIX",), LR, levels=5), policies=50, batch=4)

    found = run_search(search, trainer)

    assert (len(found.trials), found.exhausted) == (5, True)
    assert found.winner is not None


def test_a_sampler_learns_where_training_diverges(task: Task, trainer: Trainer) -> None:
    """With every rate above 1 beyond the cliff, TPE asks for fewer of them than chance does: the runs say so."""
    space = Space(("FIX",), Between(0.01, 1e6, log=True))
    search = Search(name="cliff", task=task, space=space, seeds=(0,), rungs=1, policies=40, batch=5, confirm=1)

    found = run_search(search, trainer)

    diverged = [one.diverged for one in found.trials]
    assert sum(diverged[:10]) >= 4
    assert sum(diverged[-15:]) <= 3
    assert all(one.values["accuracy"] == pytest.approx(task.chance) for one in found.trials if one.diverged)


def test_two_objectives_end_in_a_front(make: Make, trainer: Trainer) -> None:
    search = make(objectives=("accuracy", "steps"), target=0.5, rungs=1, policies=12, sampler="nsga2")

    found = run_search(search, trainer)

    points = [(one.values["accuracy"], one.values["steps"]) for one in found.front]
    others = [tuple(one.values.values()) for one in found.trials]
    for accuracy, steps in points:
        assert not any(a >= accuracy and s <= steps and (a, s) != (accuracy, steps) for a, s in others)
    assert points == sorted(points, reverse=True)
    assert len(found.confirmed) == min(3, len(found.front))


def test_a_search_for_cost_is_judged_by_cost_on_fresh_seeds(make: Make, trainer: Trainer) -> None:
    search = make(objectives=("steps",), target=0.5, rungs=1, policies=8)

    found = run_search(search, trainer)

    fastest = sorted((one for one in found.trials if not one.diverged), key=lambda one: one.values["steps"])[:3]
    assert {one.card.name for one in found.confirmed} == {one.name for one in fastest}
    (judged,) = results(f"{search.name}: confirmed", trainer.store).tasks
    assert [goal.name for goal in judged.goals] == ["steps_to_target"]
    gaps = {card.name: present(card.verdict).gap for card in judged.scorecards}
    assert {one.card.name: present(one.card.verdict).gap for one in found.confirmed} == gaps
    title, heads, *_ = str(found).splitlines()
    assert title.endswith("the finalists on 2 fresh seeds")
    assert re.split(r" {2,}", heads)[:5] == ["policy", "verdict", "to target", "search to target", "val top1"]
    assert f"  {fastest[0].values['steps']:,.0f}  " in str(found)


def test_robustness_over_the_base_lr_is_an_objective(make: Make, trainer: Trainer) -> None:
    search = make(objectives=("robustness",), rungs=1, policies=4, seeds=(0,), confirm=1)

    found = run_search(search, trainer)

    assert present(present(found.winner).metrics["base_lr_retention"].mean) > 0
    assert found.steps_nominal == (4 + len(found.confirmed)) * 5 * 40


def test_a_policy_that_guesses_at_every_base_lr_is_not_the_most_robust(make: Make, trainer: Trainer) -> None:
    space = Space(("FIX",), Between(1e-5, 0.3, log=True))

    found = run_search(make(objectives=("robustness",), space=space, rungs=1, policies=8, seeds=(0,)), trainer)

    untaught = [one for one in found.trials if constant(one.policy) < 1e-4]
    assert {one.values["robustness"] for one in untaught} == {0.0}
    assert present(present(found.winner).val.mean) > present(found.guessing)


def first_stage(text: str) -> str:
    policy = parse(text)
    assert isinstance(policy, Piecewise)
    return str(policy.policies[0])


def test_second_stages_are_searched_from_the_best_first_stages(make: Make, trainer: Trainer) -> None:
    search = make(staged=2, policies=16, rungs=1)

    found = run_search(search, trainer)

    first, second = found.trials[:8], found.trials[8:]
    assert len(second) == 8
    best = sorted(first, key=lambda one: -one.values["accuracy"])[:2]
    assert {first_stage(one.policy) for one in second} <= {one.policy for one in best}
    assert [one.phase for one in read_history(search, trainer.store).asked] == [1] * 8 + [2] * 8


def constant(text: str) -> float:
    policy = parse(text)
    assert isinstance(policy, FIX)
    return policy.k0


def test_learning_rates_can_come_from_a_range_test(make: Make, trainer: Trainer, task: Task) -> None:
    search = make(space=Space(("FIX",), None), policies=4, rungs=1, seeds=(0,), confirm=1)

    found = run_search(search, trainer)

    test = lrbench.range_test(task, seeds=3, store=trainer.store, **SERIAL)
    assert found.lr == pytest.approx((test.low.value, present(test.cliff).value), rel=0.06)
    assert all(found.lr[0] * 0.99 <= constant(one.policy) <= found.lr[1] * 1.01 for one in found.trials)


def test_the_ranking_of_a_search_is_a_study_like_any_other(found: SearchResult, lasting_trainer: Trainer) -> None:
    cards = results("hunt", lasting_trainer.store).tasks[0].scorecards
    assert {card.policy for card in cards} == {one.policy for one in found.trials if one.whole}


def test_an_optuna_storage_mirrors_the_search(make: Make, trainer: Trainer, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    search = make(policies=8)

    found = run_search(search, trainer, mirror_to=url)
    run_search(replace(search, policies=12), trainer, mirror_to=url)

    study = optuna.load_study(study_name="hunt", storage=url)
    assert len(study.trials) == 12
    assert [trial.user_attrs["policy"] for trial in study.trials[:8]] == [one.policy for one in found.trials]
    assert study.best_value == pytest.approx(
        max(one.values["accuracy"] for one in run_search(replace(search, policies=12), trainer).trials if one.whole)
    )
    states = {trial.state.name for trial in study.trials}
    assert states == {"COMPLETE", "PRUNED"}


def test_a_storage_that_cannot_be_used_is_one_sentence(make: Make, trainer: Trainer) -> None:
    with pytest.raises(LRBenchError, match="the Optuna storage nonsense://x cannot be used"):
        run_search(make(policies=4), trainer, mirror_to="nonsense://x")


AXES: dict[str, Between | OneOf] = {"momentum": Between(0.0, 0.95), "batch_size": OneOf((8, 16))}


def test_settings_of_the_task_are_searched_with_the_policy(make: Make, task: Task, trainer: Trainer) -> None:
    search = make(space=Space(("FIX", "POLY"), LR, axes=AXES))

    found = run_search(search, trainer)

    chosen = [one.proposal.settings for one in found.trials]
    assert all(one.keys() == AXES.keys() for one in chosen)
    assert {one["batch_size"] for one in chosen} == {8, 16}
    evidence = StudyRuns.of("hunt", trainer.store)
    whole = {one.row: one for one in found.trials if one.whole}
    for slot in evidence.slots:
        one = whole[slot.policy, slot.variant]
        alone = task.at_settings(one.proposal.settings)
        assert slot.run == PlannedRow(alone, StudyPolicy("", parse(one.policy))).training_key(slot.seed)
    assert {one.card.name for one in found.confirmed} <= {one.name for one in whole.values()}
    assert present(found.winner).name.startswith(present(found.winner).policy + " + momentum=")
    assert found.to_json()["settings"] == dict(found.settings)
    assert f"the winner: {present(found.winner).name}" in " ".join(str(found).split())
    assert list(found.to_frame()["setting"]) == [one.setting for one in found.trials]
    frames = search_frames("hunt", trainer.store)
    assert list(frames.parameters["momentum"]) == pytest.approx([one["momentum"] for one in chosen], rel=0.01)
    again = run_search(search, trainer)
    assert (again.trials, again.steps_trained) == (found.trials, found.steps_trained)
    assert read_search("hunt", trainer.store).trials == found.trials


def test_a_search_of_pairs_goes_on_where_it_stopped_and_its_second_stages_keep_their_settings(
    make: Make, trainer: Trainer, tmp_path: Path
) -> None:
    search = make(space=Space(("FIX", "POLY"), LR, axes=AXES), staged=2, rungs=1, seeds=(0,), confirm=1)
    whole = run_search(search, trainer)
    with open_store(tmp_path / "other.db") as store:
        other = Trainer(store, **SERIAL)
        run_search(replace(search, policies=12, steps=120), other)
        resumed = run_search(search, other)

    assert [one.row for one in resumed.trials] == [one.row for one in whole.trials]
    best = sorted(whole.trials[:6], key=lambda one: -one.values["accuracy"])[:2]
    heads = {(one.policy, one.setting) for one in best}
    assert {(first_stage(one.policy), one.setting) for one in whole.trials[6:]} <= heads


def test_a_search_without_axes_is_known_by_what_it_was(make: Make, trainer: Trainer) -> None:
    search = make(policies=4, rungs=1, seeds=(0,), confirm=1)
    run_search(search, trainer)
    record = present(read_ledger("hunt", trainer.store)).record
    older = record.model_dump()
    for proposal in older["asked"]:
        del proposal["settings"]

    assert "axes" not in record.identity["space"]
    assert SearchRecord(**older) == record


@pytest.mark.parametrize(
    ("axes", "sentence"),
    [
        ({"steps": OneOf((10,))}, "search 'hunt': axes: steps: steps must be the same for all policies"),
        ({"momentun": OneOf((0.9,))}, r"axes: momentun: optimizer 'SGD' has no option 'momentun' \(did you mean"),
        ({"batch_size": Between(8, 1000, whole=True)}, "axes: batch_size: task 'thirds': "),
    ],
)
def test_a_setting_that_cannot_be_is_one_sentence(make: Make, axes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(StudyError, match=sentence):
        make(space=Space(("FIX",), LR, axes=axes))


def test_another_search_of_the_same_name_is_refused(make: Make, trainer: Trainer) -> None:
    run_search(make(policies=4), trainer)
    with pytest.raises(
        StudyError, match="has a search 'hunt' with another space and seed: give this search another name"
    ):
        run_search(make(policies=4, seed=1, space=Space(("FIX",), LR)), trainer)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"space": Space(("FIX",), Between(1e5, 1e9, log=True))}, "each of 4 policies diverged or failed"),
        ({"space": Space(("FIX",), Between(1e-12, 1e-11, log=True))}, "does better than guessing"),
        ({"target": 0.999}, r"that reaches 0.999: the best policy comes to 0\.\d+"),
    ],
)
def test_nothing_found_is_said(
    changes: dict[str, Any], sentence: str, task: Task, make: Make, trainer: Trainer
) -> None:
    untaught = {"task": task.with_(model=Untaught, version="u")} if "guessing" in sentence else {}
    search = make(policies=4, rungs=1, seeds=(0,), **changes, **untaught)

    found = run_search(search, trainer)

    assert found.winner is None
    assert found.disappointment.startswith("nothing found within the budget of ")
    assert re.search(sentence, found.disappointment)
    assert found.to_json()["winner"] is None


def test_finalists_that_fail_on_fresh_seeds_are_told(task: Task, make: Make, trainer: Trainer) -> None:
    search = make(policies=4, rungs=1, seeds=(0,), confirm=1)
    fresh = begin(task, seed=1).model["0.weight"][0, 0].item()

    def unlucky() -> nn.Module:
        network = task.model()
        if network.get_parameter("0.weight")[0, 0].item() == fresh:
            raise RuntimeError("out of luck")
        return network

    found = run_search(replace(search, task=task.with_(model=unlucky, version="unlucky")), trainer)

    assert found.front
    assert (found.winner, found.confirmed) == (None, ())
    assert {(failure.seed, failure.error) for failure in found.failures} == {(1, "RuntimeError: out of luck")}
    assert "the finalists failed on fresh seeds (RuntimeError: out of luck)" in found.disappointment


class Untaught(nn.Module):
    """A network that always answers the same class, whatever it is taught."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Linear(8, 3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.bias(torch.zeros_like(inputs))


def test_search_and_its_space_are_names_of_the_package(make: Make, tmp_path: Path) -> None:
    search = make(policies=2, rungs=1, seeds=(0,), confirm=1)
    assert lrbench.search(search, store=tmp_path / "runs.db", device="cpu").winner is not None
    assert lrbench.Space is Space


def test_a_process_that_is_behind_takes_over_what_another_has_asked(make: Make, trainer: Trainer) -> None:
    search = make(policies=12)
    behind = read_history(search, trainer.store)
    run_search(replace(search, policies=8), trainer)
    ahead = read_history(search, trainer.store)

    assert write_asked(search, (*behind.asked, *ahead.asked[:4]), trainer.store) == ahead
    counted = write_training(search, 0, 100, trainer.store)
    assert counted.trained[0] == ahead.trained[0] + 100
    assert counted.asked == ahead.asked


def test_a_space_of_which_no_policy_can_be_trained_is_refused(make: Make, trainer: Trainer) -> None:
    narrowed = {"TRI": {"k0": OneOf((0.5,))}}
    search = make(space=Space(("TRI",), Between(0.01, 0.1, log=True), narrowed))

    with pytest.raises(StudyError, match="search 'hunt': no policy of its space can be trained, as TRI: k1"):
        run_search(search, trainer)
    assert trainer.store.studies() == ()


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_search_for_the_lowest_score_is_the_mirror_image_of_one_for_the_highest(
    make: Make, task: Task, trainer: Trainer, sampler: str
) -> None:
    def accuracy(outputs: torch.Tensor, targets: torch.Tensor) -> float:
        return float((outputs.argmax(1) == targets).double().mean())

    def negated(outputs: torch.Tensor, targets: torch.Tensor) -> float:
        return -accuracy(outputs, targets)

    up = task.with_(metric=Metric("fit", accuracy, 1 / 3))
    down = task.with_(metric=Metric("fit", negated, -1 / 3, better="lower"))
    searches = [
        make(name=f"{way} by {sampler}", task=one, sampler=sampler) for way, one in (("up", up), ("down", down))
    ]
    highest, lowest = (run_search(search, trainer) for search in searches)
    assert highest.disappointment == lowest.disappointment == ""
    assert [one.policy for one in lowest.trials] == [one.policy for one in highest.trials]
    assert [one.steps for one in lowest.trials] == [one.steps for one in highest.trials]
    assert [one.policy for one in lowest.front] == [one.policy for one in highest.front]
    assert [one.card.name for one in lowest.confirmed] == [one.card.name for one in highest.confirmed]
    assert lowest.front[0].values["accuracy"] == -highest.front[0].values["accuracy"]
    stored = read_search(searches[1].name, trainer.store)
    assert stored.better == "lower"
    frames = search_frames(searches[1].name, trainer.store)
    best = np.asarray(search_progress_figure(frames).axes[0].lines[-1].get_ydata())
    assert best[-1] == lowest.front[0].values["accuracy"]
    assert standing(frames).idxmax() == [one.policy for one in lowest.trials].index(lowest.front[0].policy)


def test_a_search_that_finds_nothing_below_chance_says_so(make: Make, task: Task, trainer: Trainer) -> None:
    hopeless = task.with_(metric=Metric("gap", lambda outputs, targets: 2.0, 1.0, better="lower"))
    found = run_search(make(task=hopeless, policies=2, batch=2, rungs=1), trainer)
    assert found.winner is None
    assert "does better than guessing (1)" in found.disappointment


DRAWN = """
import sys
from lrbench.report.plot import search_drawings
from lrbench.report.plots.search import search_frames
from lrbench.store import open_store

with open_store(sys.argv[1]) as store:
    frames = search_frames("hunt", store)
print(*(drawing.name for drawing in search_drawings(frames)), "torch" in sys.modules)
"""


def test_no_plot_of_a_search_loads_torch(make: Make, trainer: Trainer, tmp_path: Path) -> None:
    run_search(make(), trainer)
    command = [sys.executable, "-c", DRAWN, str(tmp_path / "runs.db")]
    *drawn, loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert drawn == ["progress", "importance"]
    assert loaded == "False"


def hump(run: lrbench.TrainingRun) -> None:
    """Score highest half way, and end below the target."""
    for step in range(10, run.steps + 1, 10):
        run.report(step, val={10: 0.3, 20: 0.7, 30: 0.6, 40: 0.5}[step] + min(run.lr(step), 0.05))


def cliff(run: lrbench.TrainingRun) -> None:
    """Diverge above a learning rate."""
    for step in range(10, run.steps + 1, 10):
        run.report(step, val=math.nan if run.lr(step) > 0.03 else 1 - run.lr(step) * step * 0.1 + run.seed * 0.001)


RATES = Space(("FIX",), Between(0.01, 0.1, log=True))


@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsga2"])
def test_a_search_goes_on_past_a_policy_whose_divergence_has_no_number(sampler: str, trainer: Trainer) -> None:
    task = lrbench.trainable(name="cliff", steps=40, eval_every=10, better="lower", version="1")(cliff)
    search = Search(name="cliff", task=task, space=RATES, sampler=sampler, policies=8, batch=4, rungs=1, confirm=1)
    found = run_search(search, trainer)
    assert any(one.diverged for one in found.trials[:4])
    assert present(found.winner).val.mean == min(present(one.card.val.mean) for one in found.confirmed)


def test_a_search_for_cost_asks_whether_the_target_was_reached_not_where_training_ended(trainer: Trainer) -> None:
    settings: dict[str, Any] = {
        "steps": 40,
        "eval_every": 10,
        "better": "higher",
        "objective": "top1",
        "chance": 0.1,
        "version": "1",
    }
    task = lrbench.trainable(name="hump", **settings)(hump)
    usual: dict[str, Any] = {
        "space": RATES,
        "policies": 4,
        "batch": 2,
        "rungs": 1,
        "confirm": 2,
        "objectives": ("steps",),
    }
    found = run_search(Search(name="reached", task=task, target=0.6, **usual), trainer)
    assert found.disappointment == ""
    assert present(found.winner).metrics["steps_to_target"].mean == 20
    missed = run_search(Search(name="missed", task=task, target=0.9, **usual), trainer)
    assert missed.winner is None
    assert missed.disappointment.endswith("that reaches 0.9")
    assert "  0 of 2  " in str(missed)
    assert "80" not in str(missed)  # what an unreached target counts as, for the sampler alone
    assert missed.to_frame()["steps"].isna().all()
    assert missed.to_json()["tried"][0]["values"] == {"steps": None}


def test_a_list_of_lists_in_a_space_is_the_same_in_the_store(make: Make, trainer: Trainer) -> None:
    space = Space(("NSTEP",), LR, narrowed={"NSTEP": {"l": OneOf((("0.5dur", "0.75dur"), ("0.6dur", "0.9dur")))}})
    search = make(space=space, policies=2, batch=2, rungs=1, seeds=(0,), confirm=1)
    assert run_search(search, trainer).trials == run_search(search, trainer).trials


def test_second_stages_follow_a_first_phase_that_is_exhausted(make: Make, trainer: Trainer) -> None:
    space = Space(("FIX",), Between(0.01, 0.1, log=True), levels=2)
    search = make(space=space, sampler="grid", staged=2, policies=20, batch=3, rungs=1, seeds=(0,), confirm=1)
    found = run_search(search, trainer)
    phases = [one.phase for one in read_history(search, trainer.store).asked]
    assert phases[:2] == [1, 1]
    assert phases[2:]
    assert set(phases[2:]) == {2}
    assert run_search(search, trainer).trials == found.trials


def test_the_table_of_two_objectives_fits_a_line(make: Make, trainer: Trainer) -> None:
    found = run_search(make(objectives=("steps", "accuracy"), target=0.5, rungs=1, policies=4), trainer)
    table = str(found).split("\n\n")[0]
    assert max(map(len, table.splitlines())) <= 100
    assert "to target" in table
