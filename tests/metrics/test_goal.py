import math
from collections.abc import Callable

import pytest

from lrbench.errors import StudyError
from lrbench.metrics import PolicyRuns, RunRecord, rank, register_metric
from lrbench.metrics.goal import By, Criterion, Margin, criteria, goals_of, objective_criterion
from lrbench.metrics.runs import Curve
from tests.registries import forget_registrations

MakeRun = Callable[..., RunRecord]
TOP1 = objective_criterion("top1", "higher", 0.02)


def asked(by: str, target: float = 0.5) -> Criterion:
    (found,) = criteria(by, TOP1, steps=1000, target=target, base_lr_scales=(0.1, 1.0))
    return found


def policy(name: str, *runs: RunRecord) -> PolicyRuns:
    return PolicyRuns(name, f"FIX(k0={name})", runs)


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("loss", ["loss"]),
        (["top1", "steps_to_target:50"], ["top1", "steps_to_target:50"]),
        ({"seconds": "5%", "top1": 0.01}, ["seconds:5%", "top1:0.01"]),
        ((), []),
    ],
)
def test_goals_are_given_as_one_as_several_or_with_their_margins(by: By, names: list[str]) -> None:
    assert [str(goal) for goal in goals_of(by)] == names


@pytest.mark.parametrize("text", ["seconds:-1", "seconds:nan", "seconds:inf", "seconds:", "seconds:100%", "a:b"])
def test_a_margin_that_is_no_distance_is_refused(text: str) -> None:
    with pytest.raises(StudyError, match=rf"the margin of '{text}' must be a finite number from 0 on"):
        goals_of(text)


def test_a_margin_over_the_range_of_the_metric_is_refused() -> None:
    with pytest.raises(StudyError, match="by top1: the margin 2 is larger than the range of the metric, 1"):
        asked("top1:2")
    assert asked("loss:2").largest_margin == math.inf


def test_a_goal_that_needs_what_the_study_lacks_is_refused() -> None:
    with pytest.raises(StudyError, match="by steps_to_target: a target is missing"):
        criteria(["top1", "steps_to_target"], TOP1, steps=1000)
    with pytest.raises(StudyError, match="by base_lr_retention: base_lr_scales are missing"):
        criteria("base_lr_retention", TOP1, steps=1000, base_lr_scales=(1.0,))


def test_without_a_goal_the_objective_ranks() -> None:
    assert criteria((), TOP1, steps=1000) == (TOP1,)


def test_a_goal_stands_only_once() -> None:
    with pytest.raises(StudyError, match="the goal 'loss' is given 2 times"):
        goals_of(["loss", "top1", "loss:0.1"])


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("test_top1", r" \(did you mean 'top1'\?\)"),
        ("step_to_target", r" \(did you mean 'steps_to_target'\?\)"),
        ("divergence_rate", ""),
        ("speed", "; there are top1, loss, ac, .*steps_to_target"),
    ],
)
def test_what_is_no_goal_is_refused_with_those_that_there_are(name: str, hint: str) -> None:
    with pytest.raises(StudyError, match=rf"there is no goal named '{name}'{hint}"):
        asked(name)


def test_margins_are_those_given_or_of_the_metric() -> None:
    assert asked("top1") == TOP1
    assert asked("val_top1:0.05").margin == Margin(0.05)
    assert asked("loss").margin == Margin(0.02)
    assert asked("steps_to_target").margin == Margin(50.0)
    assert asked("seconds").margin == Margin(0.05, of_best=True)
    assert asked("seconds:7").margin == Margin(7.0)


def test_a_share_of_the_best_is_a_ratio_in_both_directions() -> None:
    assert math.exp(asked("seconds:25%").distance) == pytest.approx(1.25)
    assert math.exp(-asked("base_lr_retention:25%").distance) == pytest.approx(0.75)


def test_a_share_of_a_number_that_is_not_positive_is_refused(run: MakeRun) -> None:
    with pytest.raises(StudyError, match=r"by seconds: a margin of 5% of the best needs positive values, but seed 0"):
        asked("seconds").gain(run(0, 0.5, seconds=0.0))


def test_a_run_without_the_target_is_worse_than_all_and_one_that_diverged_has_no_gain(run: MakeRun) -> None:
    by = asked("steps_to_target", target=0.6)
    assert by.gain(run(0, 0.7)) == -200
    assert by.gain(run(0, 0.5)) == -math.inf
    assert math.isnan(by.gain(run(0, None)))
    assert math.isnan(asked("ac").gain(run(0, 0.7)))


def test_policies_are_ranked_and_judged_by_the_first_goal_and_judged_by_the_others(run: MakeRun) -> None:
    fast = policy("fast", *(run(seed, 0.6 + seed / 1000, seconds=1 + seed / 100) for seed in range(6)))
    good = policy("good", *(run(seed, 0.8 + seed / 900, seconds=9 + seed / 90) for seed in range(6)))
    unstable = policy("unstable", run(0, None), *(run(seed, 0.9, seconds=0.1) for seed in range(1, 6)))

    cards = rank([good, unstable, fast], margin=0.02, by=[asked("seconds"), TOP1])

    assert [card.name for card in cards] == ["fast", "good", "unstable"]
    assert [{goal: one.label for goal, one in card.verdicts.items()} for card in cards] == [
        {"seconds": "good", "top1": "avoid"},
        {"seconds": "avoid", "top1": "good"},
        {"seconds": "avoid", "top1": "avoid"},
    ]
    assert all(card.verdict is card.verdicts["seconds"] for card in cards)
    assert cards[1].verdicts["seconds"].reason.startswith("worse than the best by more than 5% (p = ")
    assert cards[2].verdicts["seconds"].reason == "diverged on 1 of 6 seeds"


def test_counts_without_noise_are_decided_though_all_are_the_same(run: MakeRun) -> None:
    cards = rank([policy(name, *(run(seed, 0.7) for seed in range(3))) for name in "ab"], margin=0, by=[asked("flops")])
    assert [card.verdict and card.verdict.label for card in cards] == ["good", "good"]


def test_seeds_that_never_reach_the_target_make_a_policy_slower_than_the_budget(run: MakeRun) -> None:
    def arrives(name: str, *steps: int | None) -> PolicyRuns:
        curves = [Curve((step or 1000, 1001), (0.6 if step else 0.1, 0.7 if step else 0.1)) for step in steps]
        return policy(name, *(run(seed, 0.7, curve=curve) for seed, curve in enumerate(curves)))

    quick = arrives("quick", *range(100, 110))
    slow = arrives("slow", *[None] * 9, 104)
    by = asked("steps_to_target:50", target=0.5)

    first, last = rank([slow, quick], margin=0.01, by=[by])

    assert (first.name, last.name) == ("quick", "slow")
    assert first.verdict is not None
    assert last.verdict is not None
    assert (first.verdict.label, last.verdict.label) == ("good", "avoid")
    assert first.verdict.reason == "within 50 of the best on most seeds (p = 0.00098)"
    assert last.verdict.p_avoid == pytest.approx(2 * 11 / 2**10)


def test_of_equal_medians_the_better_mean_stands_first(run: MakeRun) -> None:
    def arrives(name: str, *steps: int) -> PolicyRuns:
        curves = [Curve((step, 1001), (0.6, 0.7)) for step in steps]
        return policy(name, *(run(seed, 0.7, curve=curve) for seed, curve in enumerate(curves)))

    contenders = [arrives("b", 100, 100, 400), arrives("a", 90, 100, 110), arrives("c", 99, 101, 102)]
    assert [card.name for card in rank(contenders, margin=0.01, by=[asked("steps_to_target")])] == ["a", "b", "c"]


def test_a_metric_of_ones_own_is_a_goal(run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_registrations(monkeypatch)

    @register_metric("first_val", better="lower", margin=0.25, is_censored=True)
    def first_val(run: RunRecord) -> float | None:
        """The first score."""
        return None if run.seed else run.curve.scores[0]

    by = asked("first_val")
    assert (by.margin, by.better) == (Margin(0.25), "lower")
    assert [by.gain(run(seed, 0.5)) for seed in (0, 1)] == [-0.25, -math.inf]


def test_one_metric_by_two_names_is_given_once() -> None:
    with pytest.raises(StudyError, match="by: 'top1' and 'top1' are the same goal, which may stand only once"):
        criteria(("top1", "val_top1"), objective_criterion("top1", "higher", 0.01), steps=10)
