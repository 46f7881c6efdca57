"""Runs of other programs, imported on the page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from lrbench.errors import LRBenchError
from lrbench.serve.import_form import import_arguments
from lrbench.serve.jobs import Jobs
from lrbench.store import Store
from tests.serve.conftest import WIDTHS

Open = Callable[..., Page]
HOSTILE = "<img src=x onerror=alert(1)>"
RUNS = "optimizer,seed,step,cost\n" + "".join(
    f"{name},{seed},{step},{base + 0.01 * seed - step / 1000}\n"
    for name, base in (("Adam", 1.0), (HOSTILE, 2.0))
    for seed in range(3)
    for step in (0, 100)
)


def test_a_form_asks_for_the_options_that_the_command_has(tmp_path: Path) -> None:
    given = {
        "source": f" {tmp_path} ",
        "name": "mine",
        "metric": "cost",
        "better": "lower",
        "margin": "--evil",
        "x": "y",
    }
    given |= {"columns": "policy=optimizer\n\n seed=id\n", "paired": "unpaired", "target": "  "}

    assert import_arguments(given) == [
        *("--metric=cost", "--better=lower", "--margin=--evil", "--column=policy=optimizer", "--column=seed=id"),
        *("--as=mine", "--unpaired", "--", str(tmp_path)),
    ]


@pytest.mark.parametrize(
    "source", ["", "nothing/there", "sqlite:///x.db", "http://127.0.0.1:1/", "a" * 5000, "a\0b", 7]
)
def test_what_is_no_path_of_the_machine_is_refused(source: object) -> None:
    with pytest.raises(LRBenchError, match=r"the server's machine has no file or folder|NUL character"):
        import_arguments({"source": source})


def test_what_cannot_be_read_is_the_sentence_of_the_command_and_nothing_is_imported(
    tmp_path: Path, store: Store
) -> None:
    jobs = Jobs(tmp_path / "studies", [], store.name)
    (tmp_path / "runs.csv").write_text(f"{RUNS}Adam,2,200,much\n")
    given = {"source": str(tmp_path / "runs.csv"), "better": "lower", "metric": "cost"}

    with pytest.raises(LRBenchError, match=r"runs.csv: row 13 has 'much' in column 'cost', where a number is needed$"):
        jobs.import_runs(given)
    with pytest.raises(
        LRBenchError,
        match=r"^Invalid value for '--target': .* unable to parse string as a number$",
    ):
        jobs.import_runs(given | {"target": "x"})
    assert (store.studies(), store.statuses()) == ((), {})


@pytest.mark.parametrize("width", WIDTHS)
def test_a_file_is_previewed_then_imported_and_named(
    opened: Open, writing: str, store: Store, tmp_path: Path, width: int
) -> None:
    (tmp_path / "runs.csv").write_text(RUNS)
    page = opened(writing, width)
    page.get_by_text("Import runs of other programs").click()
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#imported")).to_have_text("the server's machine has no file or folder ''")
    page.get_by_label("File or folder").fill(str(tmp_path / "runs.csv"))
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#imported")).to_contain_text("does not say which way it is better")
    expect(page.get_by_role("button", name="Import", exact=True)).to_be_disabled()

    page.get_by_text("What is read, and how it is judged").click()
    page.get_by_label("Better is").select_option("lower")
    page.get_by_label("Name of the study").fill("optimizers")
    page.get_by_role("button", name="Preview").click()

    expect(page.locator("#preview")).to_contain_text("An import would store 6 runs as study optimizers.")
    expect(page.locator("#preview")).to_contain_text("read policies from 'optimizer', seeds from 'seed'")
    expect(page.locator("#preview tbody th")).to_have_text(["optimizers", "Adam", HOSTILE])
    assert store.studies() == ()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.locator("#imported")).to_have_text("6 runs imported as study optimizers.")
    expect(page.locator("#studies a")).to_have_text(["optimizers"])
    assert store.totals()[store.entry("optimizers").id].statuses == {"finished": 6}
