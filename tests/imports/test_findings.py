"""The pages on others' runs: what they show is what `lrbench judge` says of the tables beside them."""

import re
from pathlib import Path

import pytest

import lrbench
from lrbench.imports.judge import AgainstBaseline, Judged

STUDIES = Path(__file__).parents[2] / "studies"


def rows(page: str, columns: int) -> list[list[str]]:
    """The rows of the page's table that has so many columns, without its head."""
    lines = (STUDIES / page).read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return [row for row in cells if len(row) == columns][2:]


def compared(judged: Judged, policy: str) -> dict[str, AgainstBaseline | None]:
    return {task.task: one.against for task in judged.tasks for one in task.policies if one.name == policy}


def test_the_records_of_track_3_are_told_apart_as_the_page_says() -> None:
    judged = lrbench.judge(STUDIES / "nanogpt_track3.csv", metric="val_loss_there", against="before")
    found = compared(judged, "after")
    shown = rows("nanogpt_track3.md", 9)
    assert len(shown) == len(found) == 17
    for pair, _, _, rule, significant, _, p, claim, _ in shown:
        against = found["-".join(f"{int(record):02}" for record in re.findall(r"\d+", pair))]
        assert against is not None
        assert (against.claim, f"{against.p_better:.2g}") == (claim, p)
        assert (float(rule) >= 0.004) == (significant == "yes")
        if claim != "better":  # the track's rule asks for more, and never claims what is not claimed here
            assert significant == "no"


@pytest.mark.parametrize(("unit", "column"), [("seconds", 5), ("iterations", 6)])
def test_the_submissions_of_algoperf_are_told_apart_as_the_page_says(unit: str, column: int) -> None:
    judged = lrbench.judge(STUDIES / "algoperf.csv", metric=f"{unit}_to_target", better="lower", against="baseline")
    found = compared(judged, "cyclic_lr")
    for row in rows("algoperf.md", 7):
        against = found.get(row[0])
        shown = re.sub(r"[*,]", "", row[column])
        if against is None:
            assert shown == "no claim"
        else:
            assert shown.startswith(f"{against.claim} {against.difference.mean:+.0f} ")
