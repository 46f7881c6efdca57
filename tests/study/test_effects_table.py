"""The tables of a study with modifiers, from runs whose effects are known."""

import re
from collections.abc import Sequence
from dataclasses import replace

from lrbench.display.readable import as_text
from lrbench.metrics import Curve, PolicyRuns, RunRecord, effect, interaction, rank
from lrbench.metrics.goal import criteria, objective_criterion
from lrbench.modifiers import EMA, PSWA
from lrbench.study.effects_table import effects, what_was_done
from lrbench.study.results import Results, TaskResults
from lrbench.study.row_names import RowNames
from lrbench.study.study_runs import labels

Figures = tuple[float, float, float, float]
"""Test score, test loss, seconds and forward FLOPs."""


def runs(figures: Sequence[Figures], reached: int = 10) -> tuple[RunRecord, ...]:
    """A run a seed, that reaches a validation score of 0.9 at an iteration."""
    curve = Curve((10, 20, 30), [0.9 if step >= reached else 0.1 for step in (10, 20, 30)])
    return tuple(
        RunRecord(
            seed,
            "finished",
            30,
            curve,
            {
                "val_top1": test,
                "test_top1": test,
                "test_loss": loss,
                "ac": 0.5,
                "loss_difference": 0.0,
                "forward_flops": flops,
            },
            seconds=seconds,
            flops=2 * flops,
        )
        for seed, (test, loss, seconds, flops) in enumerate(figures)
    )


def task_of(runs_by: dict[tuple[str, str], tuple[RunRecord, ...]], target: float | None = 0.8) -> TaskResults:
    """A task's results from the runs of each policy, by each variant; the variant "" is none."""
    policies, variants = (dict.fromkeys(names) for names in zip(*runs_by, strict=True))
    called = labels(runs_by)
    contenders = [PolicyRuns(called[row], row[0], records) for row, records in runs_by.items()]
    by = {name: [(runs_by[policy, ""], runs_by[policy, name]) for policy in policies] for name in variants if name}
    return TaskResults(
        task="a-task",
        objective="top1",
        scorecards=tuple(rank(contenders, margin=0.01, target=target)),
        rows={name: row for row, name in called.items()},
        effects=tuple(
            effect(policy, name, *pair, target)
            for name, pairs in by.items()
            for policy, pair in zip(policies, pairs, strict=True)
        ),
        interactions=tuple(interaction(name, "test_top1", pairs) for name, pairs in by.items()),
        goals=(objective_criterion("top1", "higher", 0.01),),
    )


PLAIN = runs([(0.50, 1.0, 2.0, 100.0), (0.60, 0.9, 2.0, 100.0), (0.70, 0.8, 2.0, 100.0)], reached=20)
BETTER = runs([(0.54, 0.9, 3.0, 75.0), (0.64, 0.8, 3.0, 75.0), (0.76, 0.7, 3.0, 75.0)], reached=10)
WORSE = runs([(0.46, 1.1, 2.0, 100.0), (0.55, 1.0, 2.0, 100.0), (0.66, 0.9, 2.0, 100.0)], reached=1000)

STUDY = task_of({("FIX", ""): PLAIN, ("FIX", "mine"): BETTER, ("TRI", ""): PLAIN, ("TRI", "mine"): WORSE})


def printed(task: TaskResults) -> list[str]:
    return as_text(effects(task, RowNames.of(task.shown, 100), 100)).splitlines()


def test_every_effect_is_a_paired_difference_with_half_the_width_of_its_interval() -> None:
    lines = printed(STUDY)

    # Differences of test top-1: .04, .04, .06; mean .0467, sd .01155, t(2, .975) = 4.3027: half width .0287.
    titles = ["modifier, policy", "effect", "test top1", "test loss", "to target", "seconds", "fwd FLOPs"]
    assert re.split(r" {2,}", lines[1]) == titles
    fix = re.split(r" {2,}", lines[3].strip())
    assert fix == ["FIX", "undecided", "+0.047 ±0.029", "-0.100 ±0.000", "-10 ±0", "+50.0 ±0.0%", "-25.0 ±0.0%"]


def test_the_loss_of_a_task_that_is_judged_by_it_stands_once() -> None:
    plain, treated = (
        tuple(replace(run, objective="loss", better="lower", final={**run.final, "val_loss": 1.0}) for run in records)
        for records in (PLAIN, BETTER)
    )
    of_loss = replace(task_of({("FIX", ""): plain, ("FIX", "mine"): treated}), objective="loss", better="lower")
    lines = printed(of_loss)

    assert re.split(r" {2,}", lines[1]) == [
        "modifier, policy",
        "effect",
        "test loss",
        "seconds",
        "fwd FLOPs",
    ]
    assert re.split(r" {2,}", lines[3].strip())[2] == "-0.100 ±0.000"


def test_a_figure_that_no_pair_of_runs_has_is_a_dash() -> None:
    tri = printed(STUDY)[4]

    assert re.split(r" {2,}", tri.strip())[4] == "–"


def test_a_figure_that_fewer_seeds_have_says_how_many() -> None:
    late = (*BETTER[:2], *WORSE[2:])
    lines = printed(task_of({("FIX", ""): PLAIN, ("FIX", "mine"): late}))

    assert "-10 ±0 n=2" in lines[3]


def test_claims_by_goal_stand_below_their_differences_and_fit_the_line() -> None:
    goals = criteria(("top1", "curve_mean", "jitter"), objective_criterion("top1", "higher", 0.01), steps=30)
    found = replace(STUDY.effects[0], by_goal={"top1": "helps", "curve_mean": "no gain", "jitter": "undecided"})
    task = replace(STUDY, effects=(found,), goals=goals)
    lines = printed(task)
    at = next(place for place, line in enumerate(lines) if line.startswith("By goal on a-task"))
    assert re.split(r" {2,}", lines[at + 1]) == ["modifier, policy", "val top1", "curve mean", "jitter"]
    # The curves are .1, .9, .9 without and .9 throughout with it: means .7 and .9.
    assert re.split(r" {2,}", lines[at + 3].strip()) == ["FIX", "+0.047 ±0.029", "+0.200 ±0.000", "–"]
    assert re.split(r" {2,}", lines[at + 4].strip()) == ["helps", "no gain", "undecided"]
    narrow = as_text(effects(task, RowNames.of(task.shown, 52), 52))
    assert "val top1" in narrow
    assert "curve mean  " not in narrow


def test_each_modifier_says_whether_its_effect_depends_on_the_policy() -> None:
    lines = printed(STUDY)

    # For two policies it is the paired t test: differences .08, .09, .10; t = .09 / (.01 / sqrt 3) = 15.59, p = .0041.
    assert lines[2].split() == ["mine", "p", "=", "0.004"]
    assert any(line.startswith("p: is the effect on test top1 the same for every policy?") for line in lines)


def test_with_one_policy_there_is_nothing_to_depend_on() -> None:
    lines = printed(task_of({("FIX", ""): PLAIN, ("FIX", "mine"): BETTER}))

    assert lines[2] == "mine"
    assert not any(line.startswith("p:") for line in lines)


def test_the_control_of_plp_is_explained_where_there_is_one() -> None:
    lines = printed(task_of({("FIX", ""): PLAIN, ("FIX", "plp_control"): BETTER}))

    assert lines[-1] == "plp_control: the same without PLP, at 7/6 of the learning rates."


LONG = {
    (f"STEP(k0={k0}, gamma=0.1, l=0.25dur)", variant): PLAIN if variant == "" else BETTER
    for k0 in (0.1, 0.123456789)
    for variant in ("", str(EMA()), str(PSWA(p=0.1)), str(PSWA(p=0.123456789)), "a name that says everything " * 4)
}


def test_tables_of_long_names_fit_a_hundred_columns_and_tell_all_rows_apart() -> None:
    task = task_of(LONG)
    names = RowNames.of(task.shown, 100)

    lines = str(Results("long", 0.01, None, (task,))).splitlines()

    assert max(map(len, lines)) <= 100
    assert len({names.cells(card.name) for card in task.scorecards}) == len(LONG)
    assert {"EMA", "PSWA(p=0.1)", "PSWA(p=0.123456789)"} <= {names.cells(card.name)[1] for card in task.scorecards}
    assert "in full: STEP(k0=…, gamma=0.1, l=0.25dur)" in lines


def test_the_prompt_names_the_study_and_the_task() -> None:
    results = Results("small", 0.01, 0.8, (STUDY,))

    assert repr(results) == "<Results: small on a-task, margin 0.01, target 0.8>"
    assert repr(STUDY) == "<TaskResults: 4 scorecards on a-task>"


def test_the_ranking_has_a_column_for_the_modifier() -> None:
    title, header, *rows = str(Results("small", 0.01, 0.8, (STUDY,))).splitlines()

    assert title == "small on a-task, margin 0.01, target 0.8"
    assert header.split()[:3] == ["policy", "modifier", "verdict"]
    assert {tuple(row.split()[:2]) for row in rows[:4]} == {
        *(("FIX", "mine"), ("FIX", "–")),
        *(("TRI", "mine"), ("TRI", "–")),
    }


def test_variants_that_differ_in_nothing_but_defaults_keep_their_whole_names() -> None:
    task = task_of({("FIX", ""): PLAIN, ("FIX", str(PSWA())): BETTER, ("FIX", "PSWA"): WORSE})

    assert len({RowNames.of(task.shown, 100).cells(card.name) for card in task.scorecards}) == 3


def test_what_was_done_is_ranges_of_counts_and_how_often_each_other_thing_happened() -> None:
    drops = ["", "after epoch 3", "after epoch 3", "after epoch 4", "5", "6"]
    said = what_was_done({"dropped_units": [0, 2, 2, 1, 1, 1], "drops": drops})
    assert said == (
        "dropped units 0 to 2, drops in 2 of 6 runs: after epoch 3; in 1 of 6 runs: after epoch 4; in 1 of 6 runs: 5; "
        "and 1 more"
    )
    assert what_was_done({"drops": ["", ""]}) == "drops in no run"
