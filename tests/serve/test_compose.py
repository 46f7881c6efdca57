"""Policies of rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from lrbench.errors import LRBenchError
from lrbench.policy import functions, parse
from lrbench.serve.compose import NamedPolicies, composed, described, rows_of
from tests.serve.conftest import WIDTHS

Open = Callable[..., Page]


def text_of(rows: list[dict[str, Any]]) -> str:
    """The text of rows, as the page writes it."""
    text = ""
    for row in rows:
        given = ", ".join(f"{name}={value}" for name, value in row.get("arguments", {}).items())
        if "method" in row:
            text += f".{row['method']}({given})"
        else:
            part = row.get("text", f"{row.get('function')}({given})")
            text = f"{text}.then({part}, at={row['at']})" if text else part
    return text


@pytest.mark.parametrize(
    "text",
    [
        "NSTEP(k0=0.1, gamma=0.1, l=[0.5dur, 0.75dur])",
        "FIX(k0=0.2).then(POLY(k0=0.2, p=1.0, l=0.4dur), at=0.6dur).warmup(3ep, start=0.01)",
        "TRI(k0=0.0, k1=1.0, l=10).scaled(0.5).repeated(every=0.25dur)",
        "FIX(k0=0.2).then(FIX(k0=0.1).warmup(10), at=20)",
        "CHANGEONPLATEAU(policies=[FIX(k0=0.1), FIX(k0=0.03)], first=1)",
    ],
)
def test_the_rows_of_a_policy_make_it_again(text: str) -> None:
    assert parse(text_of(rows_of(parse(text)))) == parse(text)


def test_every_function_is_offered_with_values_that_can_be_used() -> None:
    offered = {one["name"]: one for one in described()["functions"]}

    assert offered.keys() == functions().keys()
    for name, one in offered.items():
        steps = 4 if name == "TABLE" else 1000
        assert composed(text_of([{"function": name, "arguments": one["example"]}]), steps, 50)["code"]


def test_policies_are_saved_beside_the_store_and_forgotten(tmp_path: Path) -> None:
    named = NamedPolicies(tmp_path / "runs.db.policies.toml")
    named.save("mine", "FIX(k0=0.10)")
    named.save("other", "FIX(k0=0.2)")
    named.forget("other")

    again = NamedPolicies(named.file).listed()

    assert again[0] == {"name": "mine", "text": "FIX(k0=0.1)", "own": "yes"}
    assert "lrbench13/TRI" in {one["name"] for one in again}
    with pytest.raises(LRBenchError, match="the name"):
        named.save("<b>", "FIX(k0=0.1)")


def test_a_policy_is_drawn_as_one_types_and_its_error_stands_in_place(opened: Open, address: str) -> None:
    page = opened(f"{address}compose", WIDTHS[1])
    expect(page.locator("#curve .scatterlayer .trace")).to_have_count(1)

    page.get_by_role("button", name="+ warmup").click()
    expect(page.get_by_label("Its text")).to_have_value("TRI(k0=0.001, k1=0.1, l=0.1dur).warmup(length=0.05dur)")
    page.get_by_label("k1 learning rate").fill("0.5")
    expect(page.get_by_label("Its text")).to_have_value("TRI(k0=0.001, k1=0.5, l=0.1dur).warmup(length=0.05dur)")
    page.get_by_label("k1, as a slider").press("Home")
    expect(page.get_by_label("k1 learning rate")).to_have_value("0.00001")
    expect(page.locator("#error")).to_contain_text("k1 must be greater than k0")
    page.get_by_label("Its text").fill("FIX(k0=0.1).then(LINEAR(k0=0.1, l=0.5dur), at=0.5dur)")
    expect(page.locator("#rows li")).to_have_count(2)
    expect(page.locator("#error")).to_be_hidden()
    page.get_by_text("Its code in PyTorch").click()
    expect(page.locator("#code")).to_contain_text("LambdaLR")
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[1]
    assert page.get_by_role("button", name="Run").count() == 0
