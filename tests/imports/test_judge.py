import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

import lrbench
from lrbench.errors import StudyError
from lrbench.metrics import judge as verdicts_of
from lrbench.report.frames import study_frames
from lrbench.report.page import report_page
from tests.cli.conftest import Command
from tests.cli.conftest import lrbench as command  # noqa: F401


def scores(seeds: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 0.05, seeds)
    return {name: mean + shared + rng.normal(0, 0.01, seeds) for name, mean in (("a", 1.0), ("b", 1.1), ("c", 1.0))}


def table(by_name: dict[str, np.ndarray], run: str = "seed") -> pandas.DataFrame:
    rows = [(name, seed, value) for name, values in by_name.items() for seed, value in enumerate(values)]
    return pandas.DataFrame(rows, columns=["policy", run, "loss"])


def test_runs_of_shared_seeds_have_the_verdicts_of_a_study() -> None:
    (task,) = lrbench.judge(table(scores()), margin=0.02).tasks
    wanted = verdicts_of(-np.array(list(scores().values())), 0.02)
    assert task.paired
    found = {policy.name: policy.verdict for policy in task.policies}
    assert [found[name].p_good for name in "abc"] == [verdict.p_good for verdict in wanted]
    assert [found[name].label for name in "abc"] == ["good", "avoid", "good"]


def test_runs_that_are_not_named_by_seeds_are_unpaired_unless_they_are_said_to_be_paired() -> None:
    frame = table(scores(), "run")
    unpaired, paired = lrbench.judge(frame).tasks[0], lrbench.judge(frame, paired=True).tasks[0]
    assert (unpaired.paired, paired.paired) == (False, True)
    of_unpaired, of_paired = unpaired.policies[-1].verdict.p_avoid, paired.policies[-1].verdict.p_avoid
    assert of_unpaired is not None
    assert of_paired is not None
    assert of_unpaired > 10 * of_paired  # the noise that seeds have in common


def test_seeds_that_are_not_shared_are_judged_as_unpaired_and_this_is_a_remark() -> None:
    frame = table(scores())
    frame.loc[frame.policy == "b", "seed"] += 100
    (task,) = lrbench.judge(frame).tasks
    assert not task.paired
    assert "Some policies share fewer than two seeds, so that all are judged as unpaired." in task.remarks


def with_rates(rates: dict[str, list[float]]) -> pandas.DataFrame:
    rows = [
        {"policy": name, "seed": seed, "step": 10 * t, "train/learning_rate": lr, "val_loss": 1 + seed / 10 - t / 100}
        for name, lrs in rates.items()
        for seed in range(3)
        for t, lr in enumerate(lrs)
    ]
    return pandas.DataFrame(rows)


def test_policies_are_recognized_from_the_learning_rates_that_were_logged() -> None:
    frame = with_rates({"line": [1 - t / 10 for t in range(10)], "odd": [0.1, 0.5, 0.2, 0.4, 0.1, 0.3, 0.6, 0.2]})
    frame.loc[(frame.policy == "line") & (frame.seed == 2) & (frame.step == 50), "train/learning_rate"] = 0.7
    judged = lrbench.judge(frame)
    (task,) = judged.tasks
    assert {one.name: one.schedule for one in task.policies} == {"line": "LINEAR(k0=1.0, l=100)", "odd": None}
    assert "odd: its learning rates are of no known function." in task.remarks
    assert "line: 1 of its 3 runs had other learning rates than its first." in task.remarks
    assert "line ran LINEAR(k0=1.0, l=100)" in str(judged)
    assert {one["policy"]: one["schedule"] for one in judged.to_json()["tasks"][0]["policies"]}["odd"] is None


def test_a_schedule_that_most_runs_of_a_policy_did_not_have_is_not_named() -> None:
    frame = with_rates({"mixed": [1 - t / 10 for t in range(10)]})
    frame.loc[frame.seed > 0, "step"] += 5  # no step that the first run has
    frame.loc[frame.seed > 0, "train/learning_rate"] = 0.3
    (task,) = lrbench.judge(frame).tasks
    assert [one.schedule for one in task.policies] == [None]
    assert "mixed: 2 of its 3 runs had other learning rates than its first." in task.remarks


def test_the_baseline_is_compared_with_every_other_policy() -> None:
    judged = lrbench.judge(table(scores()), against="b", margin=0.02)
    found = {policy.name: policy.against for policy in judged.tasks[0].policies}
    assert found["b"] is None
    assert found["a"] is not None
    assert found["a"].claim == "better"
    assert found["a"].difference.mean == pytest.approx(np.mean(scores()["a"] - scores()["b"]))
    assert [judged.holds(claim) for claim in ("better:a", "good:c", "good:b")] == [True, True, False]
    worse = lrbench.judge(table(scores()), against="a", margin=0.02)
    claims = {policy.name: policy.against and policy.against.claim for policy in worse.tasks[0].policies}
    assert claims == {"a": None, "b": "worse", "c": "same"}


def test_a_metric_that_is_better_higher_turns_the_ranking_round() -> None:
    by_name = scores()
    assert lrbench.judge(table(by_name), better="higher").tasks[0].policies[0].name == "b"
    assert lrbench.judge(table(by_name).rename(columns={"loss": "acc"})).tasks[0].policies[0].name == "b"


def test_arrays_of_scores_are_unpaired_and_may_have_different_lengths() -> None:
    (task,) = lrbench.judge({"a": [0.9, 0.91, 0.92], "b": [0.5, 0.51]}, better="higher", margin="1%").tasks
    assert [(policy.name, policy.n) for policy in task.policies] == [("a", 3), ("b", 2)]
    assert not task.paired


def test_a_diverged_run_makes_its_policy_one_to_avoid() -> None:
    by_name = scores()
    by_name["a"][2] = np.nan
    (task,) = lrbench.judge(table(by_name), against="b").tasks
    last = task.policies[-1]
    assert (last.name, last.diverged, last.verdict.label) == ("a", 1, "avoid")
    assert last.against is not None
    assert last.against.claim == "undecided"


def curves_to(arrivals: dict[str, list[int | None]]) -> pandas.DataFrame:
    rows = [
        (policy, seed, step, 0.1 if arrival is not None and step >= arrival else 1.0)
        for policy, found in arrivals.items()
        for seed, arrival in enumerate(found)
        for step in range(0, 101, 5)
    ]
    return pandas.DataFrame(rows, columns=["policy", "seed", "step", "loss"])


def test_with_a_target_fewer_steps_are_better() -> None:
    frame = curves_to({"slow": [80, 85, 80, 90, 85, 80], "fast": [20, 25, 20, 15, 20, 20]})
    for paired in (True, False):
        (task,) = lrbench.judge(frame, target=0.5, paired=paired).tasks
        assert [(policy.name, policy.reached) for policy in task.policies] == [("fast", 6), ("slow", 6)]
        assert task.policies[0].score.mean == 20
        assert [policy.verdict.label for policy in task.policies] == ["good", "avoid"]


@pytest.mark.parametrize("paired", [True, False])
def test_runs_that_miss_the_target_are_worse_than_all_that_reach_it(paired: bool) -> None:
    late = [None, 90, None, 85, None, None, None, None]
    frame = curves_to({"never": late, "fast": [20, 25, 20, 15, 20, 20, 30, 20]})
    judged = lrbench.judge(frame, target=0.5, paired=paired, against="never", margin=10)
    (task,) = judged.tasks
    assert [(policy.name, policy.reached, policy.verdict.label) for policy in task.policies] == [
        ("fast", 8, "good"),
        ("never", 2, "avoid"),
    ]
    assert judged.holds("better:fast")
    assert (task.policies[1].score.mean, task.policies[1].verdict.gap.mean) == (None, None)
    assert task.policies[0].against is not None
    assert task.policies[0].against.difference.mean is None  # of runs that did not come there is no mean
    lines = {line.split()[0]: line.split() for line in str(judged).splitlines() if line}
    assert (lines["policy"][3], lines["never"][3], lines["fast"][3]) == ("reached", "2", "8")
    what = "on most seeds" if paired else "in most pairs of runs"
    assert task.policies[1].verdict.reason.startswith(f"worse than the best by more than 10 {what}")


def test_with_a_target_the_fewest_runs_that_could_show_something_are_named() -> None:
    def remarks(runs: int, paired: bool) -> tuple[str, ...]:
        frame = curves_to({"slow": [80] * runs, "fast": [20] * runs, "other": [30] * runs})
        (task,) = lrbench.judge(frame, target=0.5, paired=paired).tasks
        labels = {policy.name: policy.verdict.label for policy in task.policies}
        assert (labels["fast"] == "good", labels["slow"] == "avoid") == (runs >= 6, runs >= 7)
        return task.remarks

    sentence = "where all agree, 'good' and 'better' need 6 {} of each policy, and 'avoid' needs 7."
    for runs in (3, 5, 6):
        assert f"Pairs of runs are counted: {sentence.format('runs')}" in remarks(runs, paired=False)
        assert f"Seeds are counted: {sentence.format('seeds')}" in remarks(runs, paired=True)
    assert not any("counted" in remark for remark in remarks(7, paired=False))


@pytest.mark.parametrize(("spread", "says"), [(0.1, r"a difference of \d\d?%"), (3.0, r"a factor of [\d,]{3,}")])
def test_a_noise_floor_as_a_share_of_more_than_all_is_a_factor(spread: float, says: str) -> None:
    rng = np.random.default_rng(1)
    seconds = {name: np.exp(rng.normal(0, spread, 5)) for name in "ab"}
    (task,) = lrbench.judge(seconds, better="lower", margin="5%").tasks
    assert any(re.fullmatch(f"Noise floor: {says} beyond the margin is found.*", remark) for remark in task.remarks)


def test_more_runs_or_less_noise_lower_the_noise_floor() -> None:
    def floor(runs: int, noise: float) -> float:
        rng = np.random.default_rng(1)
        found = lrbench.judge({name: rng.normal(0, noise, runs) for name in "ab"}, better="lower").tasks[0].noise_floor
        assert found is not None
        return found.size

    assert floor(5, 1.0) > 2 * floor(50, 1.0)
    assert floor(5, 1.0) == pytest.approx(10 * floor(5, 0.1), rel=0.1)


@pytest.mark.parametrize(
    ("claim", "sentence"),
    [
        ("best:a", "no claim named 'best'"),
        ("good:x", "no policy named 'x'"),
        ("good", "the claim 'good' needs a name"),
        ("better:a", "needs a baseline"),
    ],
)
def test_a_claim_that_cannot_be_asked_is_refused(claim: str, sentence: str) -> None:
    with pytest.raises(StudyError, match=sentence):
        lrbench.judge(table(scores())).holds(claim)


def test_the_command_exits_with_1_where_a_claim_cannot_be_made(tmp_path: Path, command: Command) -> None:  # noqa: F811
    table(scores()).to_csv(tmp_path / "runs.csv", index=False)
    made = command("judge", "runs.csv", "--against", "b", "--require", "better:a", "--json")
    failed = command("judge", "runs.csv", "--against", "b", "--require", "better:a", "--require", "good:b")
    wrong = command("judge", "runs.csv", "--require", "good:nobody")
    assert made.exit_code == 0
    assert json.loads(made.stdout)["tasks"][0]["policies"][0]["verdict"] in ("good", "undecided")
    assert (failed.exit_code, failed.stderr) == (1, "These runs do not show: good:b.\n")
    assert (wrong.exit_code, wrong.stderr.count("\n")) == (2, 1)


def test_an_export_of_a_study_is_judged_as_the_study_is(tmp_path: Path, command: Command) -> None:  # noqa: F811
    (tmp_path / "tiny.toml").write_text(
        'seeds = 3\n[task]\nbase = "mnist1d-mlp"\nsteps = 40\neval_every = 20\n'
        '[[policies]]\npolicy = "FIX(k0=0.1)"\nname = "flat"\n[[policies]]\npolicy = "FIX(k0=0.001)"\nname = "low"\n'
    )
    store = ("--store", tmp_path / "s.db")
    ran = command("run", "tiny.toml", *store, "--workers", "1", "--json")
    assert command("export", "tiny", *store, "-o", "runs.csv").exit_code == 0
    judged = command(
        "judge", "runs.csv", "--metric", "val_top1", "--margin", "0.05", "--column", "policy=name", "--json"
    )
    assert judged.exit_code == 0, judged.stderr
    (mine,) = json.loads(judged.stdout)["tasks"]
    assert mine["paired"]
    assert {one["policy"] for one in mine["policies"]} == {"flat", "low"}
    assert ran.exit_code == 0


def test_policies_of_an_export_are_those_of_its_study(tmp_path: Path, command: Command) -> None:  # noqa: F811
    policies = {"line": "LINEAR(k0=0.1, l=1dur)", "steps": "STEP(k0=0.1, gamma=0.1, l=13)"}
    named = "\n".join(f'{name} = "{text}"' for name, text in policies.items())
    (tmp_path / "tiny.toml").write_text(
        f'seeds = 2\n[task]\nbase = "mnist1d-mlp"\nsteps = 40\neval_every = 20\n[policies]\n{named}\n'
    )
    store = ("--store", tmp_path / "s.db")
    assert command("run", "tiny.toml", *store, "--workers", "1").exit_code == 0
    assert command("export", "tiny", *store, "--to", "csv", "long.csv").exit_code == 0
    assert command("export", "tiny", *store, "-o", "runs.csv").exit_code == 0

    for exported in ("long.csv", "runs.csv"):  # the learning rates of two iterations are of any function
        (judged,) = json.loads(command("judge", exported, "--json").stdout)["tasks"]
        assert {one["policy"]: one["schedule"] for one in judged["policies"]} == policies
    assert command("import", "long.csv", *store, "--as", "again", "--margin", "0.5").exit_code == 0
    again = json.loads(command("export", "again", *store, "--json").stdout)["runs"]
    assert {run["name"]: run["policy"] for run in again} == policies


def test_runs_of_a_study_that_is_judged_by_loss_are_judged_by_it(tmp_path: Path, command: Command) -> None:  # noqa: F811
    (tmp_path / "tiny.toml").write_text(
        'seeds = 2\ntask = { base = "mnist1d-mlp", steps = 40, eval_every = 20, metric = "loss" }\n'
        'policies = { flat = "FIX(k0=0.1)", low = "FIX(k0=0.01)" }\n'
    )
    store = ("--store", tmp_path / "s.db")
    ran = json.loads(command("run", "tiny.toml", *store, "--workers", "1", "--json").stdout)
    assert command("export", "tiny", *store, "-o", "runs.csv").exit_code == 0
    (judged,) = json.loads(command("judge", "runs.csv", "--json").stdout)["tasks"]
    assert (judged["metric"], judged["better"]) == ("val_loss", "lower")
    assert [one["policy"] for one in judged["policies"]] == [one["name"] for one in ran["policies"]]

    assert command("import", "runs.csv", *store, "--as", "again").exit_code == 0
    curves = command("export", "again", *store, "--curves", "--json").stdout
    (first, *_) = (one["val_score"] for one in json.loads(curves)["curves"] if one["step"] == 20)
    assert first > 1  # a loss, and no accuracy


def test_policies_that_miss_a_target_stand_in_the_order_of_how_many_runs_reach_it() -> None:
    arrivals: dict[str, list[int | None]] = {
        "never": [None] * 6,
        "half": [20, 20, 20, None, None, None],
        "most": [30, 30, 30, 30, 30, None],
        "always": [40] * 6,
    }
    (task,) = lrbench.judge(curves_to(arrivals), target=0.5).tasks
    assert [policy.name for policy in task.policies][2:] == ["half", "never"]
    assert {policy.name for policy in task.policies[:2]} == {"always", "most"}


def test_an_imported_study_with_a_target_is_judged_by_the_steps_to_it_and_by_one_look(tmp_path: Path) -> None:
    frame = curves_to({"fast": [10] * 6, "slow": [40] * 6})
    judged = lrbench.judge(frame, target=0.5, margin=5).tasks[0]
    with lrbench.Lab(store=tmp_path / "runs.db") as lab:
        lab.import_runs(frame, "mine", target=0.5, margin=5)
        (task,) = lab.results("mine").tasks
        page = report_page(study_frames("mine", lab.store))
    assert [goal.name for goal in task.goals] == ["steps_to_target"]
    assert [(card.name, card.verdict and card.verdict.label) for card in task.scorecards] == [
        (policy.name, policy.verdict.label) for policy in judged.policies
    ]
    assert "in one look, and hold for runs whose number was not chosen by what they show" in page
    assert "however often one looks" not in page


def test_an_imported_policy_that_diverged_does_not_lead_by_its_other_runs(tmp_path: Path) -> None:
    frame = table(
        {"steady": np.full(6, 0.8) + np.arange(6) / 1000, "wild": np.array([0.1, 0.1, 0.1, np.nan, 0.1, 0.1])}
    )
    with lrbench.Lab(store=tmp_path / "runs.db") as lab:
        lab.import_runs(frame, "mine")
        cards = lab.results("mine").tasks[0].scorecards
    assert [card.name for card in cards] == ["steady", "wild"]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"metric": "step"}, "'step' cannot be the metric"),
        ({"metric": "seed"}, "'seed' cannot be the metric"),
        ({"task": "x"}, "there is no task named 'x', for the runs name no tasks"),
    ],
)
def test_what_cannot_be_asked_of_runs_is_one_sentence(asked: dict[str, Any], sentence: str) -> None:
    with pytest.raises(StudyError, match=sentence):
        lrbench.judge(curves_to({"a": [10] * 3, "b": [20] * 3}), **asked)


def test_a_column_called_step_that_is_none_is_left_out() -> None:
    frame = curves_to({"a": [10] * 4, "b": [20] * 4})
    renamed = frame.rename(columns={"step": "epoch"}).assign(step=1)
    by_epoch = lrbench.judge(renamed, columns={"step": "epoch"}, target=0.5).tasks[0]
    assert [policy.score.mean for policy in by_epoch.policies] == [10, 20]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [("", "the runs to read are missing"), ("https://example.com/x.csv", "tables are read from files; fetch it first")],
)
def test_a_source_that_is_none_is_refused_at_once(source: str, sentence: str) -> None:
    with pytest.raises(StudyError, match=sentence):
        lrbench.judge(source)


def test_with_a_target_runs_that_end_in_nan_are_counted_and_judged_by_their_steps() -> None:
    frame = curves_to({"a": [10] * 6, "b": [40] * 6})
    last = frame.groupby(["policy", "seed"]).tail(1).index
    frame.loc[[place for place in last if frame.loc[place, "policy"] == "a"][:2], "loss"] = np.nan
    first, second = lrbench.judge(frame, target=0.5).tasks[0].policies
    assert (first.name, first.diverged, first.reached, first.verdict.label) == ("a", 2, 6, "good")
    assert second.diverged == 0
