from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from lrbench.errors import LRBenchError
from lrbench.report.plots.lr_curves import lr_figure, outline, simplified, stairs
from lrbench.report.style import save_figure
from tests.present import present
from tests.report.made_studies import LONG


def curves(count: int) -> dict[str, np.ndarray]:
    return {f"policy {number}": np.linspace(0.1 * (number + 1), 0.0, 50) for number in range(count)}


def test_a_short_curve_is_drawn_from_every_iteration() -> None:
    steps, values = outline(np.array([3.0, 1.0, 2.0]))

    assert (steps.tolist(), values.tolist()) == ([0, 1, 2], [3.0, 1.0, 2.0])


def test_a_long_curve_keeps_its_ends_and_its_spikes() -> None:
    lrs = np.full(1_000_000, 0.5)
    lrs[[0, 77_777, 555_555, -1]] = [0.1, 2.0, 0.0, 0.3]

    steps, values = outline(lrs)

    assert len(steps) <= 2_000
    assert {0: 0.1, 77_777: 2.0, 555_555: 0.0, 999_999: 0.3}.items() <= dict(zip(steps, values, strict=True)).items()


def test_a_learning_rate_holds_from_its_iteration_to_the_next() -> None:
    steps, values = stairs(np.array([0.1, 0.2]))

    assert (steps.tolist(), values.tolist()) == ([0, 1, 1, 2], [0.1, 0.1, 0.2, 0.2])


def test_a_straight_line_needs_no_points_between_its_ends_and_a_jump_both_of_its() -> None:
    steps, values = simplified(stairs(np.repeat([0.2, 0.02], [600, 400])), 1_000, 0.2)

    assert (steps.tolist(), values.tolist()) == ([0, 600, 600, 1_000], [0.2, 0.2, 0.02, 0.02])


@pytest.mark.parametrize("cycles", [1, 5, 40])
def test_a_simplified_line_is_nowhere_farther_than_a_thousandth_of_its_axes_from_the_curve(cycles: int) -> None:
    lrs = 1 - np.cos(np.linspace(0, 2 * np.pi * cycles, 1_000))
    x, y = stairs(lrs)

    steps, values = simplified((x, y), 1_000, 2.0)

    drawn = np.column_stack((steps / 1_000, values / 2.0))
    along = np.diff(drawn, axis=0)
    for point in np.column_stack((x / 1_000, y / 2.0))[::7]:
        share = (((point - drawn[:-1]) * along).sum(1) / (along**2).sum(1)).clip(0, 1)
        assert np.hypot(*(drawn[:-1] + share[:, None] * along - point).T).min() <= 1e-3 + 1e-12
    assert len(steps) < len(x)


def test_up_to_eight_policies_share_one_plot_in_different_colours() -> None:
    figure = lr_figure(curves(8))

    (axes,) = figure.axes
    assert len({line.get_color() for line in axes.lines}) == 8


def test_more_policies_have_a_panel_each_on_the_same_axis() -> None:
    figure = lr_figure(curves(10))

    drawn = [axes for axes in figure.axes if axes.lines]
    assert len(drawn) == 10
    assert len({axes.get_ylim() for axes in drawn}) == 1


@pytest.mark.parametrize(("count", "columns"), [(9, 5), (10, 5), (12, 4), (13, 5), (16, 4), (20, 5)])
def test_as_few_places_as_possible_stay_empty_beside_the_panels(count: int, columns: int) -> None:
    grid = lr_figure(curves(count)).axes[0].get_gridspec()

    assert present(grid).ncols == columns


def test_panels_of_a_grid_are_named_by_what_differs() -> None:
    names = [f"STEP(k0={k0}, gamma=0.1, l=0.25dur)" for k0 in range(1, 11)]

    figure = lr_figure(dict(zip(names, curves(10).values(), strict=True)))

    assert [axes.get_title(loc="left") for axes in figure.axes] == [f"STEP(k0={k0})" for k0 in range(1, 11)]


def test_thirteen_long_curves_make_a_small_svg(tmp_path: Path) -> None:
    waves = {f"policy {count}": 1 - np.cos(np.linspace(0, 2 * np.pi * count, 10_000)) for count in range(1, 14)}

    save_figure(lr_figure(waves), tmp_path / "curves.svg")

    assert (tmp_path / "curves.svg").stat().st_size < 300_000


@pytest.mark.parametrize("log", [False, True])
def test_every_curve_lies_inside_the_axis(log: bool) -> None:
    figure = lr_figure({"low": np.full(10, 0.001), "high": np.full(10, 0.9)}, log=log)

    low, high = figure.axes[0].get_ylim()
    assert low <= 0.001 < 0.9 <= high


def test_a_png_is_a_png(tmp_path: Path) -> None:
    save_figure(lr_figure(curves(2)), tmp_path / "curves.png")

    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG\r\n")


@pytest.mark.parametrize("count", [2, 9])
def test_names_are_text_in_an_svg_however_they_look(tmp_path: Path, count: int) -> None:
    names = ["$\\frac{1}{$", "<script>", "_hidden", *map(str, range(count))][:count]

    save_figure(lr_figure(dict(zip(names, curves(count).values(), strict=True))), tmp_path / "curves.svg")

    texts = {element.text for element in ElementTree.parse(tmp_path / "curves.svg").iter() if element.text}
    assert set(names) <= texts


def test_the_same_figure_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg"):
        save_figure(lr_figure(curves(3)), tmp_path / name)

    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_a_file_that_cannot_be_written_is_named_and_nothing_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")

    with pytest.raises(LRBenchError, match=r"cannot write .*file/curves\.png"):
        save_figure(lr_figure(curves(1)), tmp_path / "file" / "curves.png")

    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_long_names_over_panels_keep_what_tells_them_apart() -> None:
    figure = lr_figure({f"{LONG}{number}": np.full(10, 0.1) for number in range(9)})

    assert len({axes.get_title(loc="left") for axes in figure.axes}) == 9
