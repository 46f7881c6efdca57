from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lrbench.lr_range.crossings import ConstantRun, Estimate, SweepRun
from lrbench.lr_range.range_test import RangeTest
from lrbench.report.range_test import range_figure
from lrbench.report.style import save_figure


@pytest.fixture
def found() -> RangeTest:
    losses = {0.01: 2.0, 0.1: 1.0, 1.0: 2.2}
    return RangeTest(
        task="small",
        objective="top1",
        steps=100,
        seeds=(0, 1),
        low=Estimate(0.02, (0.02, 0.02)),
        high=Estimate(0.3, (0.2, 0.4)),
        cliff=Estimate(0.9, (0.9, 0.9)),
        constant=(
            *(
                ConstantRun(lr, seed, loss + 0.1 * seed, 1 / loss, 100)
                for lr, loss in losses.items()
                for seed in (0, 1)
            ),
            ConstantRun(10.0, 0, None, None, 7),
        ),
        sweeps=(SweepRun(0, (0.01, 0.1, 1.0), (2.3, 1.9, 50.0), (0.1, 0.2, 0.1), 3.0, 90),),
        steps_spent=797,
    )


def test_the_figure_shows_every_run_that_did_not_diverge_and_the_range(found: RangeTest) -> None:
    losses, scores = range_figure(found).axes

    for axes in (losses, scores):
        dots = [tuple(np.asarray(line.get_xdata())) for line in axes.lines if line.get_marker() == "o"]
        assert dots == [(0.01, 0.01), (0.1, 0.1), (1.0, 1.0)]
        assert axes.get_xscale() == "log"
    middle = next(line for line in losses.lines if str(line.get_label()).startswith("constant"))
    assert list(np.asarray(middle.get_ydata())) == pytest.approx([2.05, 1.05, 2.25])
    assert losses.get_ylim()[1] < 50


def test_a_range_without_a_cliff_has_no_dashed_line(found: RangeTest, tmp_path: Path) -> None:
    figure = range_figure(replace(found, cliff=None))

    assert not [line for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    save_figure(figure, tmp_path / "range.svg")
    assert "small: 100 iterations a run, 2 seeds" in (tmp_path / "range.svg").read_text()


def test_the_figure_says_where_less_of_the_objective_is_better(found: RangeTest) -> None:
    labels = [
        range_figure(test).axes[1].get_ylabel()
        for test in (found, replace(found, objective="perplexity", better="lower"))
    ]
    assert labels == ["validation top-1 accuracy (higher is better)", "validation perplexity (lower is better)"]


def test_sweeps_that_diverge_at_once_are_no_lines(found: RangeTest) -> None:
    at_once = replace(found, sweeps=(SweepRun(0, (), (), (), 1e-6, 1),))
    assert range_figure(at_once).axes[0].get_ylim()[1] > 2.25
