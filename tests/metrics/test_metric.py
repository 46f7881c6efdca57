from collections.abc import Callable
from typing import Any

import pytest

from lrbench.errors import StudyError
from lrbench.metrics import METRICS, RunRecord, expected_metrics, register_metric, summarise
from tests.registries import forget_registrations

MakeRun = Callable[..., RunRecord]


@pytest.fixture(autouse=True)
def _own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_registrations(monkeypatch)


def test_a_metric_of_the_users_own_is_on_the_scorecard_with_its_interval_and_its_bounds(run: MakeRun) -> None:
    @register_metric("late_gain", better="higher", digits=2, bounds=(0.0, 0.45))
    def late_gain(run: RunRecord) -> float | None:
        """What the last evaluation gains on the one before."""
        return run.curve.scores[-1] - run.curve.scores[-2]

    card = summarise("fix", "FIX(k0=0.1)", [run(0, 0.6), run(1, 0.8), run(2, None)])

    assert card.metrics["late_gain"].mean == pytest.approx(0.35)
    assert (card.metrics["late_gain"].low, card.metrics["late_gain"].high) == (0.0, 0.45)
    assert card.metrics["late_gain"].n == 2
    assert METRICS["late_gain"].help == "What the last evaluation gains on the one before."
    assert "late_gain" in card.to_json()["metrics"]
    assert "late_gain" not in expected_metrics()


@pytest.mark.parametrize(
    ("declared", "margin"),
    [({"bounds": (0.0, 50.0)}, 0.5), ({"bounds": (0.0, None)}, 0.0), ({}, 0.0), ({"margin": 2.0}, 2.0)],
)
def test_the_margin_of_a_metric_is_declared_or_a_hundredth_of_its_range(
    declared: dict[str, Any], margin: float
) -> None:
    @register_metric("own", **declared)
    def own(run: RunRecord) -> float | None:
        """A number."""
        return 0.0

    assert METRICS["own"].default_margin == margin


def test_a_metric_that_a_run_does_not_have_is_left_out_of_its_mean(run: MakeRun) -> None:
    @register_metric("high")
    def high(run: RunRecord) -> float | None:
        """The score where it is high."""
        score = run.score("val")
        return score if score is not None and score > 0.7 else None

    assert summarise("fix", "FIX(k0=0.1)", [run(0, 0.6), run(1, 0.8)]).metrics["high"].mean == 0.8


def test_a_metric_that_fails_is_named_in_one_sentence(run: MakeRun) -> None:
    @register_metric("broken")
    def broken(run: RunRecord) -> float | None:
        """Divide by nothing."""
        return run.steps / 0

    with pytest.raises(StudyError, match=r"^metric 'broken' fails on a run of seed 4: ZeroDivisionError: division by"):
        summarise("fix", "FIX(k0=0.1)", [run(4, 0.6)])


def test_a_metric_without_a_docstring_or_with_a_name_that_is_taken_is_refused() -> None:
    def silent(run: RunRecord) -> float | None:
        return 0.0

    with pytest.raises(StudyError, match="metric 'silent' must say what it means in the docstring of its function"):
        register_metric("silent")(silent)
    silent.__doc__ = "Nothing."
    with pytest.raises(StudyError, match="the metric 'ece' is registered already: choose another name"):
        register_metric("ece")(silent)


def test_a_number_is_formatted_by_the_digits_of_its_metric() -> None:
    assert [format(1234.5678, METRICS[name].form) for name in ("ac", "seconds", "steps_to_target", "flops")] == [
        "1,234.568",
        "1,234.6",
        "1,235",
        "1.23e+03",
    ]
