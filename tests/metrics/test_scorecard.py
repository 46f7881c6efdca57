import json
import math
import pickle
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lrbench.errors import StudyError
from lrbench.metrics import Curve, RunRecord, Scorecard, expected_metrics, judge, score_curves, summarise
from lrbench.metrics.runs import columns_of, measure
from tests.present import present

MakeRun = Callable[..., RunRecord]
ENTRY = {"name", "policy", "n", "not_finite", "verdict", "look", "within", "beyond", "verdicts", "metrics"}


def test_a_scorecard_as_json_is_one_entry_of_the_list_of_policies(run: MakeRun) -> None:
    entry = summarise("fix", "FIX(k0=0.1)", [run(0, 0.8), run(1, 0.9)]).to_json()
    assert entry.keys() == ENTRY
    assert tuple(entry["metrics"]) == expected_metrics()
    assert all(metric.keys() >= {"mean", "low", "high", "sd", "n"} for metric in entry["metrics"].values())
    assert json.loads(json.dumps(entry, allow_nan=False)) == entry


def test_a_metric_is_the_mean_over_seeds_with_its_t_interval(run: MakeRun) -> None:
    card = summarise("fix", "FIX(k0=0.1)", [run(0, 0.7), run(1, 0.8), run(2, 0.9)])
    # sd .1, half width 4.302653 * .1 / sqrt 3
    assert card.val.mean == pytest.approx(0.8)
    assert card.val.sd == pytest.approx(0.1)
    assert card.val.low == pytest.approx(0.8 - 0.2484138, abs=1e-6)
    assert card.n == 3


def test_one_seed_has_means_and_no_intervals(run: MakeRun) -> None:
    metrics = summarise("fix", "FIX(k0=0.1)", [run(0, 0.8)]).metrics
    assert metrics["val_top1"].mean == 0.8
    assert metrics["divergence_rate"].mean == 0.0
    assert all(interval.low is None and interval.high is None for interval in metrics.values())


def test_no_runs_make_an_empty_card() -> None:
    card = summarise("fix", "FIX(k0=0.1)", [])
    assert card.n == 0
    assert all(interval.mean is None and interval.n == 0 for interval in card.metrics.values())


def test_what_was_not_measured_is_null(run: MakeRun) -> None:
    metrics = summarise("fix", "FIX(k0=0.1)", [run(0, 0.8), run(1, 0.9)]).to_json()["metrics"]
    assert metrics["brier"] == {"mean": None, "low": None, "high": None, "sd": None, "n": 0}


def test_a_figure_that_some_seeds_lack_says_how_many_are_behind_it(run: MakeRun) -> None:
    odd = run(1, 0.8, final={"val_top1": 0.8, "test_top1": 0.8, "ece": None})
    card = summarise("fix", "FIX(k0=0.1)", [run(0, 0.8), odd, run(2, 0.8)])
    assert card.metrics["ece"].n == 2
    assert card.metrics["test_top1"].n == 3


def test_a_diverged_run_counts_as_chance_in_the_scores_and_in_nothing_else(run: MakeRun) -> None:
    card = summarise("fix", "FIX(k0=9.0)", [run(0, 0.9), run(1, None)])
    assert card.val.mean == pytest.approx((0.9 + 0.1) / 2)
    assert card.test.mean == pytest.approx((0.9 + 0.1) / 2)
    assert card.metrics["seconds"].n == 1
    assert card.metrics["ece"].n == 1
    assert card.metrics["steps_to_best"].n == 1


def test_divergence_rate_has_the_exact_interval_of_a_proportion(run: MakeRun) -> None:
    rate = summarise("fix", "FIX(k0=9.0)", [run(0, 0.9), run(1, None)]).metrics["divergence_rate"]
    # one of two, Clopper and Pearson: 1 - sqrt(.975) and its mirror image
    assert rate.mean == 0.5
    assert rate.low == pytest.approx(1 - math.sqrt(0.975))
    assert rate.high == pytest.approx(math.sqrt(0.975))


def test_steps_to_target_is_the_mean_if_all_seeds_reached_it(run: MakeRun) -> None:
    # the first evaluation, step 100, has half of the final score
    card = summarise("fix", "FIX(k0=0.1)", [run(0, 0.9), run(1, 0.7)], target=0.4)
    assert card.metrics["steps_to_target"].mean == (100 + 200) / 2
    assert card.to_json()["metrics"]["steps_to_target"]["reached"] == 2


def test_steps_to_target_is_null_if_a_seed_missed_it_and_says_how_many_reached_it(run: MakeRun) -> None:
    runs = [run(0, 0.9), run(1, 0.7), run(2, None)]
    metric = summarise("fix", "FIX(k0=0.1)", runs, target=0.8).to_json()["metrics"]["steps_to_target"]
    assert metric == {"mean": None, "low": None, "high": None, "sd": None, "n": 0, "reached": 1}


def test_a_run_that_touched_the_target_and_diverged_did_not_reach_it(run: MakeRun) -> None:
    fell = run(1, None, curve=Curve([20], [0.95]))
    assert summarise("fix", "FIX(k0=0.1)", [run(0, 0.9), fell], target=0.8).reached == 1


def test_without_a_target_nothing_is_said_of_reaching_it(run: MakeRun) -> None:
    card = summarise("fix", "FIX(k0=0.1)", [run(0, 0.9)])
    assert card.reached is None
    assert card.to_json()["metrics"]["steps_to_target"]["reached"] is None


def test_the_tasks_own_metric_stands_first_and_top1_beside_it(run: MakeRun) -> None:
    final = {"val_f1": 0.6, "test_f1": 0.5, "val_top1": 0.9, "test_top1": 0.8}
    card = summarise("fix", "FIX(k0=0.1)", [run(0, 0.6, objective="f1", final=final)])
    assert list(card.metrics) == ["val_f1", "test_f1", *expected_metrics()]
    assert (card.val.mean, card.test.mean, card.metrics["val_top1"].mean) == (0.6, 0.5, 0.9)
    assert card.objective == "f1"


def test_a_diverged_run_has_the_chance_of_the_tasks_own_metric_and_no_accuracy(run: MakeRun) -> None:
    card = summarise("fix", "FIX(k0=9.0)", [run(0, None, objective="r2", chance=0.0)])
    assert card.val.mean == 0.0
    assert card.metrics["val_top1"].n == 0


def test_figures_that_lrbench_does_not_know_come_last(run: MakeRun) -> None:
    final = {"val_top1": 0.6, "test_top1": 0.5, "base_lr_retention": 0.8}
    card = summarise("fix", "FIX(k0=0.1)", [run(0, 0.6, final=final)])
    assert list(card.metrics) == [*expected_metrics(), "base_lr_retention"]
    assert card.metrics["base_lr_retention"].mean == 0.8


def test_volatility_is_that_of_the_validation_curve(run: MakeRun) -> None:
    scores = [0.5] * 12 + [0.0, 1.0, 0.0]
    card = summarise("fix", "FIX(k0=0.1)", [run(0, 0.8, curve=Curve(range(len(scores)), scores))])
    assert card.metrics["volatility"].mean == pytest.approx(math.sqrt(2 / 3))


def test_two_runs_of_one_seed_are_refused(run: MakeRun) -> None:
    with pytest.raises(StudyError, match="the runs of fix must have different seeds, but have 3, 3"):
        summarise("fix", "FIX(k0=0.1)", [run(3, 0.8), run(3, 0.8)])


def test_runs_of_different_objectives_are_refused(run: MakeRun) -> None:
    with pytest.raises(StudyError, match="one objective, but have f1, top1"):
        summarise("fix", "FIX(k0=0.1)", [run(0, 0.8), run(1, 0.8, objective="f1")])


def test_a_printed_card_is_an_aligned_table_with_the_verdict_above(run: MakeRun) -> None:
    card = summarise("sine", "SINEXP(k0=0.01, k1=0.06)", [run(0, 0.8), run(1, 0.9)], target=0.85)
    (verdict,) = judge([[0.8, 0.9]], margin=0.01)
    lines = str(replace(card, verdict=verdict)).splitlines()
    assert lines[:3] == [
        "sine: SINEXP(k0=0.01, k1=0.06)",
        "2 seeds, undecided: there is no other policy to compare it with",
        "1 of 2 reached the target",
    ]
    table = lines[4:]
    assert table[0].split() == ["mean", "low", "high", "seed", "sd", "n"]
    assert len({len(line) for line in table}) == 1
    by_name = {line.split()[0]: line.split()[1:] for line in table[1:]}
    assert by_name["val_top1"] == ["0.8500", "0.2147", "1.0000", "0.0707", "2"]
    assert by_name["flops"][0] == "1.000e+09"
    assert by_name["steps_to_best"][0] == "200.0"
    assert "test_loss" not in by_name, "no run has one"


def test_the_printed_name_is_not_repeated_where_it_is_the_policy(run: MakeRun) -> None:
    assert str(summarise("FIX(k0=0.1)", "FIX(k0=0.1)", [run(0, 0.8)])).splitlines()[:2] == ["FIX(k0=0.1)", "1 seed"]


def known(card: Scorecard) -> set[str]:
    return {name for name, interval in card.metrics.items() if interval.mean is not None}


def test_curves_from_elsewhere_are_scored_as_far_as_they_tell() -> None:
    card = score_curves([[(100, 0.5), (200, 0.9)], [(100, 0.7), (200, 0.8)]], name="mine", target=0.6)
    assert known(card) == {"val_top1", "curve_mean", "steps_to_best", "steps_to_target", "divergence_rate"}
    assert card.val.mean == pytest.approx(0.85)
    assert card.metrics["steps_to_target"].mean == (200 + 100) / 2
    assert card.to_json().keys() == ENTRY


def test_a_curve_that_ends_in_nan_has_diverged() -> None:
    curves = [[(100, 0.5), (200, 0.9)], [(100, 0.5), (200, math.nan)]]
    assert score_curves(curves, chance=0.1).val.mean == pytest.approx(0.5)
    assert score_curves(curves).val.mean == pytest.approx(0.9)
    assert score_curves(curves).metrics["divergence_rate"].mean == 0.5


def test_a_curve_can_be_of_any_score() -> None:
    card = score_curves([[(1, 0.2), (2, 0.4)]], objective="bleu")
    assert card.val.mean == 0.4
    assert card.metrics["val_bleu"] == card.val


@pytest.mark.parametrize("curve", [[], [(100, 0.1), (100, 0.2)], [(200, 0.1), (100, 0.2)]])
def test_a_curve_without_rising_iterations_is_refused(curve: list[tuple[int, float]]) -> None:
    with pytest.raises(StudyError, match="curve 0 must have at least one point and rising iterations"):
        score_curves([curve])


def test_a_record_knows_its_figures_by_name(run: MakeRun) -> None:
    record: RunRecord = run(0, 0.8, test=0.75)
    figures = record.figures
    assert (figures["val_top1"], figures["test_top1"], figures["steps_to_best"]) == (0.8, 0.75, 200)
    assert run(1, None).figures == {"val_top1": 0.1, "test_top1": 0.1}


def test_figures_are_the_same_of_runs_alone_and_together(run: MakeRun) -> None:
    def runs() -> list[RunRecord]:
        short = Curve((50, 100, 150), (0.1, math.nan, 0.3))
        of_loss = {"val_loss": 1.5, "test_loss": 1.6, "perplexity": 4.5}
        return [
            run(0, 0.8),
            run(1, None),
            run(2, 0.3, curve=short, final={"val_top1": 0.3, "ac": 0.9}),
            run(3, 1.5, objective="loss", better="lower", chance=None, final=of_loss),
            run(3, None, objective="loss", better="lower", chance=None),
        ]

    alone, together = runs(), runs()
    measure(together)
    for one, other in zip(alone, together, strict=True):
        known = {name: value for name, value in other.figures.items() if value is not None}
        assert known == {name: value for name, value in one.figures.items() if value is not None}
    assert dict(together[1].figures) == {"val_top1": 0.1, "test_top1": 0.1}
    assert "perplexity" not in together[4].figures
    columns = columns_of([together[3], alone[2], together[0]])
    assert columns["perplexity"][0] == 4.5
    assert columns["ac"][1] == 0.9
    assert columns["seconds"].tolist() == [3.0] * 3
    assert np.isnan(columns["ac"][[0, 2]]).all()
    assert together[2].figures.keys() == alone[2].figures.keys(), "a run has no metrics of others"
    sent = pickle.loads(pickle.dumps(together[0]))
    assert (sent, dict(sent.figures)) == (together[0], dict(together[0].figures))
    assert len(sent.figures.columns["seconds"]) == 1, "the other runs stay behind"


def test_no_interval_leaves_the_bounds_of_its_figure(run: MakeRun) -> None:
    runs = [run(0, 0.80), run(1, 0.90), run(2, 0.94)]
    runs = [replace(one, final={**one.final, "ac": 1.0 if one.seed else 0.2, "brier": 1.9 * one.seed}) for one in runs]
    metrics = summarise("fix", "FIX(k0=0.1)", runs).metrics
    for name, low, high in (("val_top1", 0, 1), ("test_top1", 0, 1), ("ac", 0, 1), ("brier", 0, 2)):
        assert low <= present(metrics[name].low) <= present(metrics[name].mean)
        assert metrics[name].high == high or name == "brier"


@pytest.mark.parametrize("figure", ["classes_without_correct", "forward_flops", "backward_flops"])
def test_no_interval_of_a_count_is_below_zero(run: MakeRun, figure: str) -> None:
    runs = [run(seed, 0.9) for seed in (0, 1)]
    runs = [replace(one, final={**one.final, figure: one.seed}) for one in runs]
    assert summarise("fix", "FIX(k0=0.1)", runs).metrics[figure].low == 0


def test_a_metric_of_ones_own_has_the_bounds_that_it_declares(run: MakeRun) -> None:
    def card(**fields: object) -> Scorecard:
        final = [{"val_f1": score, "test_f1": score} for score in (0.80, 0.90, 0.94)]
        return summarise("f", "f", [run(s, 0.9, objective="f1", final=one, **fields) for s, one in enumerate(final)])

    assert present(card().val.high) > 1
    assert card(bounds=(None, 1.0)).val.high == 1
    assert card(bounds=(None, 1.0)).val.low == card().val.low


def test_a_card_says_how_many_runs_have_no_finite_score(run: MakeRun) -> None:
    final = {"val_top1": math.nan, "test_top1": 0.5}
    card = summarise("fix", "FIX(k0=0.1)", [run(0, 0.8), run(1, 0.9, final=final)])
    assert card.not_finite == 1
    assert card.val.mean == pytest.approx((0.8 + 0.1) / 2)
    assert "top1 is NaN or infinite in 1 of 2" in str(card)


def test_cards_are_rows_of_a_frame(run: MakeRun) -> None:
    cards = [summarise(name, "FIX(k0=0.1)", [run(0, 0.7), run(1, 0.8), run(2, 0.9)]) for name in ("a", "b")]

    frame = pd.concat([card.to_frame() for card in cards], ignore_index=True)

    assert list(frame["name"]) == ["a", "b"]
    assert list(frame["seeds"]) == [3, 3]
    assert frame.loc[0, "val"] == pytest.approx(0.8)
    assert frame.loc[0, "val_low"] == pytest.approx(0.8 - 0.2484138)
    assert {f"{metric}{end}" for metric in expected_metrics() for end in ("", "_low", "_high")} <= set(frame)
