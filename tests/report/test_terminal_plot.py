import numpy as np
import pytest

from lrbench.report.lr_axis import lr_limits
from lrbench.report.terminal_plot import braille, lr_panels

FULL_TOP_ROW, FULL_BOTTOM_ROW, EMPTY = "\u2809", "\u28c0", "\u2800"


def test_a_constant_at_the_top_of_the_axis_is_a_line_of_top_dots() -> None:
    assert braille(np.full(100, 0.5), 3, 2, (0.0, 0.5), log=False) == [FULL_TOP_ROW * 3, EMPTY * 3]


def test_zero_is_a_line_of_bottom_dots() -> None:
    assert braille(np.zeros(100), 3, 2, (0.0, 0.5), log=False) == [EMPTY * 3, FULL_BOTTOM_ROW * 3]


def test_a_rising_line_runs_from_the_lower_left_to_the_upper_right() -> None:
    lines = braille(np.linspace(0, 1, 8), 4, 4, (0.0, 1.0), log=False)

    assert [line.find(next(dot for dot in line if dot != EMPTY)) for line in lines] == [3, 2, 1, 0]


def test_one_iteration_fills_the_whole_width() -> None:
    assert braille(np.array([1.0]), 5, 1, (0.0, 1.0), log=False) == [FULL_TOP_ROW * 5]


def test_a_spike_of_one_iteration_in_a_million_is_seen() -> None:
    lrs = np.zeros(1_000_000)
    lrs[123_456] = 1.0

    assert any(dot != EMPTY for dot in braille(lrs, 40, 4, (0.0, 1.0), log=False)[0])


@pytest.mark.parametrize(("lr", "row"), [(1.0, 0), (0.1, 1), (0.01, 2)])
def test_equal_factors_are_equal_distances_on_a_logarithmic_axis(lr: float, row: int) -> None:
    lines = braille(np.full(10, lr), 4, 3, (0.01, 1.0), log=True)

    assert [index for index, line in enumerate(lines) if line != EMPTY * 4] == [row]


def test_the_linear_axis_starts_at_zero() -> None:
    assert lr_limits({"a": np.array([0.2, 0.4])}, log=False) == (0.0, 0.4)


def test_the_logarithmic_axis_starts_at_the_smallest_positive_rate() -> None:
    assert lr_limits({"a": np.array([0.0, 0.25]), "b": np.array([0.5])}, log=True) == (0.25, 0.5)


def test_the_logarithmic_axis_spans_six_decades_at_most() -> None:
    low, high = lr_limits({"a": np.array([1e-30, 1.0])}, log=True)
    assert low == pytest.approx(1e-6)
    assert high == 1.0


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("lrs", [np.zeros(10), np.full(10, 0.1)], ids=["all zero", "constant"])
def test_curves_without_any_spread_have_an_axis(lrs: np.ndarray, log: bool) -> None:
    low, high = lr_limits({"a": lrs}, log=log)

    assert low < high


def test_no_line_is_longer_than_the_width_that_is_allowed() -> None:
    curves = {f"policy {number} " + "x" * 200: np.linspace(0, 1e-5, 5_000) for number in range(7)}

    text = lr_panels(curves, width=100)

    assert max(len(line) for line in text.splitlines()) <= 100
    assert all(f"policy {number}" in text for number in range(7))


def test_all_panels_have_the_same_axis() -> None:
    text = lr_panels({"small": np.full(10, 0.001), "large": np.full(10, 0.8)})

    assert text.count("0.8 │") == 2


def test_names_too_long_for_a_panel_show_what_differs_and_below_what_they_share() -> None:
    curves = {f"STEP(k0={k0}, gamma=0.1, l=0.25dur)": np.full(10, k0) for k0 in (0.1, 0.2, 0.3)}

    lines = lr_panels(curves, width=100).split("\n")

    assert lines[0].split() == [f"STEP(k0={k0})" for k0 in (0.1, 0.2, 0.3)]
    assert lines[-1] == "in full: STEP(k0=…, gamma=0.1, l=0.25dur)"
