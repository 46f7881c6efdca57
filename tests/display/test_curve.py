from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from lrbench.display.curve import svg_curve


def points(lrs: NDArray[np.float64], width: int = 40, height: int = 20) -> list[tuple[float, float]]:
    (line,) = ElementTree.fromstring(svg_curve(lrs, width, height))
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in line.attrib["points"].split())]


def test_a_falling_line_runs_from_the_upper_left_to_the_lower_right() -> None:
    drawn = points(np.linspace(1, 0, 1000))

    assert (drawn[0], drawn[-1]) == ((0, 1), (40, 19))
    assert [y for _, y in drawn] == sorted(y for _, y in drawn)


def test_a_spike_of_one_iteration_in_a_million_reaches_the_top() -> None:
    lrs = np.full(1_000_000, 0.1)
    lrs[123_456] = 1.0

    assert min(y for _, y in points(lrs)) == 1


def test_one_iteration_is_a_line_over_the_whole_width() -> None:
    assert points(np.array([0.3])) == [(0, 1), (40, 1)]


def test_rates_of_zero_are_a_line_at_the_bottom() -> None:
    assert {y for _, y in points(np.zeros(10))} == {19}
