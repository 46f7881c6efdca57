"""Every plot of a study, of studies that are hard to draw."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from lrbench.report.frames import Frames
from lrbench.report.plot import PLOTS, drawings, plots
from lrbench.report.plots.training_curves import training_figure
from lrbench.report.style import save_figure, svg
from lrbench.store import open_store
from tests.report.made_studies import FIVE, LONG, MISSING, SCORES, Place, same_everywhere, write_study

Study = Callable[..., Frames]

SLACK = 0.08
"""In inches: letters are a little wider at one resolution than at another."""

SMALL = [
    "empty",
    "one run",
    "all diverged",
    "own metric, all diverged",
    "long names",
    "hostile names",
    "hostile metric",
    "two tasks",
]


@pytest.fixture
def hard(study: Study, request: pytest.FixtureRequest) -> Frames:
    """A study that is hard to draw, by its name."""
    rich = {"variants": ("PLP()", "EMA(decay=0.99)"), "scales": (0.1, 1.0, 10.0)}
    match request.param:
        case "empty":
            return study(FIVE, lambda place: MISSING)
        case "one run":
            return study({"only": "FIX(k0=0.1)"}, lambda place: 0.5, seeds=(7,))
        case "all diverged":
            return study(FIVE, lambda place: None, **rich)
        case "own metric, all diverged":
            named = {text: text for text in grid()}
            return study(named, lambda place: None, objective="R2", chance=None)
        case "long names":
            named = {f"{LONG}{number}": text for number, text in enumerate(grid())}
            return study(named, by_name(named), name=LONG, tasks=(LONG,), **rich)
        case "hostile names":
            names = ("$\\frac{1}{$", "_hidden", "<b>&amp;", "a\n\x1b[31mb", "{x}", "%s", "STEP(k0=…, l=…)", "è—ß", " ")
            named = dict(zip(names, grid(), strict=True))
            return study(named, by_name(named))
        case "hostile metric":
            return study(FIVE, same_everywhere(SCORES), tasks=("one", "two / three"), objective="$\\frac{1}{$", **rich)
        case "two tasks":
            return study(FIVE, same_everywhere(SCORES), tasks=("one", "two / three"))
        case other:
            raise AssertionError(other)


def grid() -> list[str]:
    return [f"STEP(k0={k0}, gamma=0.1, l={length}dur)" for k0 in (0.1, 0.2, 0.3) for length in (0.25, 0.5, 0.75)]


def by_name(named: dict[str, str]) -> Callable[[Place], float | None]:
    order = list(named)
    return lambda place: (
        None if order.index(place.name) > 6 else 0.3 + 0.05 * order.index(place.name) + 0.01 * place.seed
    )


def is_cut_off(figure: Figure) -> bool:
    """Whether something that is drawn reaches over an edge of a figure that was drawn."""
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    return box.x0 < -SLACK or box.y0 < -SLACK or box.x1 > width + SLACK or box.y1 > height + SLACK


@pytest.mark.parametrize("hard", SMALL, indirect=True)
def test_hard_studies_have_small_pictures_with_nothing_cut_off(hard: Frames) -> None:
    drawn = {drawing.name: drawing.figure for drawing in drawings(hard)}
    pictures = {name: svg(figure) for name, figure in drawn.items()}

    assert {"ranking", "training", "lr"} <= {name.partition("_")[0] for name in drawn}
    assert [name for name, picture in pictures.items() if len(picture) > 300_000] == []
    assert [name for name, figure in drawn.items() if is_cut_off(figure)] == []
    for picture in pictures.values():
        ElementTree.fromstring(picture)


def test_two_thousand_policies_have_small_pictures_that_say_how_many_are_left_out(two_thousand: Frames) -> None:
    drawn = {drawing.name: drawing.figure for drawing in drawings(two_thousand)}
    sizes = {name: len(svg(figure)) for name, figure in drawn.items()}

    assert {name: size for name, size in sizes.items() if size > 300_000} == {}
    assert re.search(r"1,970 more policies: .*\d avoid", said(drawn["ranking"]))
    assert "of 1,992 others" in said(drawn["training"])
    assert len(drawn["map"].axes[0].get_xticks()) <= 25


def said(figure: Figure) -> str:
    return " | ".join(text.get_text() for text in figure.findobj(Text))


@pytest.mark.parametrize("hard", ["empty"], indirect=True)
def test_a_plot_that_has_nothing_to_show_says_why(hard: Frames) -> None:
    for plot in plots("task", "study"):
        assert re.search(r"\b(No|Nothing)\b", said(plot.draw(hard)))


@pytest.mark.parametrize("hard", ["hostile names"], indirect=True)
def test_names_are_text_however_they_look(hard: Frames) -> None:
    ranking, training = (said(PLOTS[name].draw(hard)) for name in ("ranking", "training"))

    for name in ("$\\frac{1}{$", "_hidden", "<b>&amp;", "{x}"):
        assert name in ranking
        assert name in training


def test_classes_have_their_names_where_the_data_has_some(study: Study) -> None:
    names = ["$x$", "cat", "a name that goes on and on", *"0123456"]
    named = study(FIVE, same_everywhere(SCORES), class_names=names)

    assert _class_labels(named) == ["$x$", "cat", "a name that goe…", *"0123456"]


def test_classes_without_names_have_their_labels(study: Study) -> None:
    assert _class_labels(study(FIVE, same_everywhere(SCORES))) == list("0123456789")


def _class_labels(study: Frames) -> list[str]:
    return [label.get_text() for label in PLOTS["confidence"].draw(study).axes[0].get_xticklabels()]


def test_no_picture_of_costs_is_drawn_where_all_policies_cost_the_same(study: Study) -> None:
    rising = study({"a": "FIX(k0=0.1)", "b": "FIX(k0=0.2)"}, lambda place: 0.4 + 0.05 * place.seed)
    reached_by_one = study(FIVE, same_everywhere(SCORES), name="another")

    assert "cost" not in {drawing.name for drawing in drawings(rising)}
    assert "cost" in {drawing.name for drawing in drawings(reached_by_one)}


def test_a_study_of_several_tasks_is_drawn_task_by_task_and_together(study: Study) -> None:
    both = study(FIVE, same_everywhere(SCORES), tasks=("one", "two / three"))

    names = {drawing.name for drawing in drawings(both)}

    assert {"profile", "ranking_one", "ranking_two_three"} <= names


def test_scores_of_two_objectives_are_not_drawn_into_one_profile(study: Study) -> None:
    both = study(FIVE, same_everywhere(SCORES), tasks=("one", "two"))
    one, two = both.record.tasks
    other = two.model_copy(update={"objective": "loss", "better": "lower"})
    mixed = replace(both, record=both.record.model_copy(update={"tasks": (one, other)}))

    names = {drawing.name for drawing in drawings(mixed)}

    assert "profile" not in names
    assert {"ranking_one", "ranking_two"} <= names


DRAWN = """
import sys
from lrbench.report.frames import study_frames
from lrbench.report.page import report_page
from lrbench.report.plot import drawings
from lrbench.store import open_store

with open_store(sys.argv[1]) as store:
    frames = study_frames("a-study", store)
report_page(frames)
print(*(drawing.name for drawing in drawings(frames)), "torch" in sys.modules)
"""


def test_no_plot_nor_the_page_loads_torch_for_a_study_with_modifiers(tmp_path: Path) -> None:
    with open_store(tmp_path / "runs.db") as store:
        rich: dict[str, Any] = {"variants": ("PLP()", "EMA(decay=0.99)"), "scales": (0.1, 1.0, 10.0)}
        write_study(store, FIVE, same_everywhere(SCORES), **rich)
    command = [sys.executable, "-c", DRAWN, str(tmp_path / "runs.db")]
    *drawn, loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert {"ranking", "effects", "robustness"} <= set(drawn)
    assert loaded == "False"


def test_the_axes_of_curves_begin_at_iteration_zero(five: Frames) -> None:
    assert [axes.get_xlim()[0] for axes in training_figure(five.curves, five.policies).axes] == [0, 0]


def test_the_training_loss_of_each_named_policy_is_a_dashed_line_beside_its_validation_loss(five: Frames) -> None:
    figure = training_figure(five.curves, five.policies)

    losses = figure.axes[1]
    dashed = [line for line in losses.lines if line.get_linestyle() == "--"]
    main = five.curves[five.curves["stage"] == "main"]
    best = main[main["label"] == five.policies["label"].iloc[0]]
    (legend,) = figure.legends
    assert "training loss" in [text.get_text() for text in legend.get_texts()]
    assert np.asarray(dashed[0].get_ydata()).tolist() == pytest.approx(
        best.groupby("step")["train_loss"].mean().tolist()
    )
    assert losses.get_ylabel() == "loss (lower is better)"


def test_a_picture_is_a_pdf_by_its_name_and_the_same_each_time(five: Frames, tmp_path: Path) -> None:
    for name in ("one.pdf", "two.pdf"):
        save_figure(training_figure(five.curves, five.policies), tmp_path / name)

    one, two = ((tmp_path / name).read_bytes() for name in ("one.pdf", "two.pdf"))
    assert one.startswith(b"%PDF-")
    assert one == two
