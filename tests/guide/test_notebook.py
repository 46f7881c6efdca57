"""The notebook of the guide, run as a user runs it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import lrbench

NOTEBOOK = Path(lrbench.__file__).parent / "guide" / "notebook.ipynb"


def test_the_notebook_runs_and_shows_policies_results_and_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LRBENCH_STORE", str(tmp_path / "runs.db"))
    read: Callable[..., Any] = nbformat.read
    notebook = read(NOTEBOOK, as_version=4)
    assert all(not cell.outputs for cell in notebook.cells if cell.cell_type == "code")

    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()

    shown = [
        {kind for output in cell.outputs if output.output_type == "execute_result" for kind in output.data}
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]
    policy, rates, study, outcome, ranking, training, table = shown
    assert all("text/html" in kinds for kinds in (policy, study, outcome, table))
    assert all("image/png" in kinds for kinds in (rates, ranking, training))
