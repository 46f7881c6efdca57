import numpy as np
import pytest
from scipy import stats

from lrbench.metrics import Curve, RunRecord, effect, equal_means_p, interaction


def run(seed: int, test: float, seconds: float = 1.0, reached: int = 30, status: str = "finished") -> RunRecord:
    curve = Curve(range(10, 60, 10), [0.9 if step >= reached else 0.1 for step in range(10, 60, 10)])
    final = {"val_top1": test, "test_top1": test, "test_loss": 1 - test} if status == "finished" else {}
    return RunRecord(seed, status, 50, curve, final, seconds=seconds, flops=100.0, chance=0.1)  # type: ignore[arg-type]


def test_an_effect_is_with_minus_without_over_the_seeds_of_both() -> None:
    without = [run(0, 0.5), run(1, 0.6), run(2, 0.7)]
    treated = [run(1, 0.65, seconds=2.0), run(2, 0.71, seconds=2.0), run(3, 0.9)]
    found = effect("FIX", "PLP()", without, treated, target=None).differences
    assert found["test_top1"].mean == pytest.approx((0.05 + 0.01) / 2)
    assert found["test_loss"].mean == pytest.approx(-(0.05 + 0.01) / 2)
    assert found["seconds"].mean == pytest.approx(1.0)
    assert found["test_top1"].n == 2


def test_steps_to_target_are_compared_only_where_both_reached_it() -> None:
    without = [run(0, 0.5, reached=30), run(1, 0.5, reached=30)]
    treated = [run(0, 0.5, reached=20), run(1, 0.5, reached=1000)]
    found = effect("FIX", "PLP()", without, treated, target=0.8).differences["steps_to_target"]
    assert (found.mean, found.n) == (-10, 1)


def test_a_diverged_run_counts_as_chance_and_has_no_other_figure() -> None:
    found = effect("FIX", "PLP()", [run(0, 0.5)], [run(0, 0.0, status="diverged")], target=None).differences
    assert found["test_top1"].mean == pytest.approx(0.1 - 0.5)
    assert found["test_loss"].n == 0


def test_for_two_policies_the_interaction_is_the_paired_t_test() -> None:
    table = np.random.default_rng(0).normal(size=(2, 6))
    assert equal_means_p(table) == pytest.approx(stats.ttest_rel(*table).pvalue)


def test_the_interaction_agrees_with_a_table_worked_by_hand() -> None:
    # Rows 1 2 3 | 2 3 4 | 3 4 8, each of three subjects: row means 2, 3, 5, subject means 2, 3, 5, grand mean 10/3.
    # Between rows 3 * sum (mean - 10/3)^2 / 2 = 3 * (16/9 + 1/9 + 25/9) / 2 = 7.
    # Residuals 1/3 1/3 -2/3 | 1/3 1/3 -2/3 | -2/3 -2/3 4/3: squares sum to 4, over 2 * 2 degrees of freedom 1. F = 7.
    # They lie along one direction, so that Greenhouse and Geisser's epsilon is its least, 1/2: 1 and 2 degrees.
    table = [[1, 2, 3], [2, 3, 4], [3, 4, 8]]
    assert equal_means_p(table) == pytest.approx(stats.f.sf(7, 1, 2))


def test_without_variation_or_with_too_little_data_there_is_no_p_value() -> None:
    assert equal_means_p([[1.0, 2.0, 3.0]]) is None
    assert equal_means_p([[1.0], [2.0]]) is None
    assert equal_means_p([[1.0, 1.0], [2.0, 2.0]]) is None


@pytest.mark.parametrize("spreads", [(1, 1, 1, 1), (1, 1, 1, 10), (0.1, 1, 3, 10)])
@pytest.mark.parametrize("seeds", [5, 10])
def test_equal_effects_are_called_unequal_in_at_most_five_percent(spreads: tuple[float, ...], seeds: int) -> None:
    studies = 2000
    draws = np.random.default_rng(1).normal(size=(studies, 4, seeds)) * np.array(spreads)[:, None]
    false = np.mean([(equal_means_p(table) or 1.0) <= 0.05 for table in draws])
    assert false <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / studies)


def test_an_effect_that_depends_on_the_policy_is_found() -> None:
    rng = np.random.default_rng(2)
    helped = [([run(s, 0.5)], [run(s, 0.6 + rng.normal() * 0.01)]) for s in range(5)]
    harmed = [([run(s, 0.5)], [run(s, 0.4 + rng.normal() * 0.01)]) for s in range(5)]
    pairs = [tuple([one[0] for one in sides] for sides in zip(*side, strict=True)) for side in (helped, harmed)]
    found = interaction("PLP()", "test_top1", pairs)  # type: ignore[arg-type]
    assert found.p is not None
    assert found.p < 0.01
    assert found.spread == pytest.approx(0.2 / 2**0.5, abs=0.02)
    assert (found.policies, found.seeds) == (2, 5)
