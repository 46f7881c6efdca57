"""Pictures of policies, and for which budget they are drawn."""

import re

import numpy as np
import pytest

from lrbench.errors import PolicyError
from lrbench.policy import FIX, TRI, catalog, parse
from lrbench.policy.budget import Budget
from lrbench.policy.curve import rates_of, sketch


def test_learning_rates_are_those_of_the_bound_policy_where_they_are_known() -> None:
    lrs = rates_of("STEP(k0=0.2, gamma=0.5, l=0.5dur)", Budget(100, 10))

    assert lrs is not None
    assert lrs.tolist() == [0.2] * 50 + [0.1] * 50
    assert rates_of("PLATEAU(k0=0.1)", Budget(100, 10)) is None
    assert rates_of("MINE(k0=0.1)", Budget(100, 10)) is None


@pytest.mark.parametrize(
    ("text", "horizon"),
    [
        ("TRI(k0=0, k1=1, l=100)", "400 iterations"),
        ("FIX(k0=0.1)", "10,000 iterations"),
        ("FIX(k0=0.1).then(STEP(k0=0.1, gamma=0.1, l=10), at=50)", "200 iterations"),
        ("STEP(k0=0.1, gamma=0.1, l=0.25dur)", "a budget of 1,000 iterations"),
    ],
)
def test_a_curve_says_for_how_many_iterations_it_is_drawn(text: str, horizon: str) -> None:
    html = parse(text)._repr_html_()

    assert f"over {horizon}</small>" in html
    assert html.count("<polyline") == 1


def test_a_policy_that_a_short_budget_does_not_fit_is_drawn_for_a_longer_one() -> None:
    found = sketch(parse("TRI(k0=0, k1=1, l=0.0001dur)"))

    assert found is not None
    assert found.horizon == "a budget of 100,000 iterations"


def test_a_policy_that_reacts_has_no_curve_and_says_why() -> None:
    html = parse("REDUCEONPLATEAU(k0=0.1, gamma=0.3, patience=2)")._repr_html_()

    assert "no curve: it reacts to evaluations" in html
    assert "<svg" not in html


def test_a_horizon_of_a_billion_iterations_is_drawn_from_few_points() -> None:
    found = sketch(TRI(k0=0, k1=1, l=10**9))

    assert found is not None
    assert (len(found.lrs), found.lrs.max()) == (20_000, pytest.approx(1, abs=1e-3))


def test_a_catalog_is_a_table_of_its_policies_with_their_curves() -> None:
    shown, html = str(catalog("lrbench13")).splitlines(), catalog("lrbench13")._repr_html_()

    assert shown[0].startswith("lrbench13: The 13 functions of the paper")
    assert re.fullmatch(r"POLY +POLY\(k0=0\.1, p=1\.2, l=1dur\)", shown[7])
    assert html.count("<polyline") == 13
    assert repr(catalog("lrbench13")).startswith("<Catalog: lrbench13: The 13 functions")


def test_no_line_of_a_catalog_is_longer_than_a_hundred_characters() -> None:
    assert max(map(len, str(catalog("modern")).splitlines())) <= 100


def test_the_top_of_a_picture_is_the_highest_rate() -> None:
    assert "from 0 to 0.25, over" in FIX(k0=0.25)._repr_html_()


def test_a_policy_draws_its_learning_rates_over_a_run_of_any_length() -> None:
    policy = TRI(k0=0.1, k1=0.3, l="0.5dur")
    (axes,) = policy.plot(steps=40).axes
    (line,) = axes.lines
    stairs = np.asarray(line.get_ydata())
    assert stairs[::2].tolist() == policy.bind(40, 50).lrs(0, 40).tolist()

    with pytest.raises(PolicyError, match="reacts to evaluations"):
        parse("REDUCEONPLATEAU(k0=0.1, gamma=0.5)").plot()
