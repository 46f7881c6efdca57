"""Folders of events as PyTorch's and TensorBoard's own writers leave them."""

import math
from pathlib import Path

import numpy as np
import pytest
from torch.utils.tensorboard import SummaryWriter

from lrbench.api import import_runs
from lrbench.errors import StudyError
from lrbench.imports.judge import judge
from lrbench.imports.read import read
from lrbench.store import open_store


def log(folder: Path, values: dict[int, float], tag: str = "loss/val", name: str = "") -> None:
    with SummaryWriter(str(folder), filename_suffix=name) as writer:
        for step, value in values.items():
            writer.add_scalar(tag, value, step)
            writer.add_scalar("accuracy/val", 1 - value, step)
            writer.add_histogram("weights", np.arange(3), step)


def test_a_folder_of_events_is_a_run_and_the_folder_above_it_its_policy(tmp_path: Path) -> None:
    for policy, base in (("cosine", 0.5), ("wsd", 0.3)):
        for seed in range(3):
            log(tmp_path / policy / f"seed_{seed}", {0: 1.0, 10: base + seed / 100})
    judged = judge(tmp_path, metric="loss/val")
    assert judged.tasks[0].paired
    assert [(one.name, one.n, one.verdict.label) for one in judged.tasks[0].policies] == [
        ("wsd", 3, "good"),
        ("cosine", 3, "avoid"),
    ]


def test_a_resumed_run_whose_steps_repeat_counts_its_later_values(tmp_path: Path) -> None:
    log(tmp_path / "a" / "x", {0: 0.9, 5: 0.8, 10: 0.7}, name=".1")
    log(tmp_path / "a" / "x", {5: 0.6, 10: 0.5, 15: math.nan}, name=".2")
    curves, remarks = read(tmp_path).curves("loss/val")
    assert curves[0].steps.tolist() == [0, 5, 10, 15]
    assert curves[0].values.tolist() == pytest.approx([0.9, 0.6, 0.5, math.inf])
    assert remarks == ("1 run repeated 2 steps: the later row counts.",)


def test_a_single_event_file_and_runs_of_other_names_can_be_imported(tmp_path: Path) -> None:
    log(tmp_path / "adam-1", {0: 0.9, 5: 0.8})
    log(tmp_path / "adam-2", {0: 0.9, 7: 0.7})
    (file,) = (tmp_path / "adam-1").iterdir()
    assert read(file).curves("loss/val")[0][0].policy == "adam-1"
    with open_store(str(tmp_path / "runs.db")) as store:
        imported = import_runs(tmp_path, "mine", store=store, wide="{policy}-{seed}", metric="loss/val")
        (card,) = imported.results.tasks[0].scorecards
        assert (card.name, card.n) == ("adam", 2)
        assert {run.seed: run.step for run in store.study_runs("mine").values()} == {1: 5, 2: 7}


@pytest.mark.parametrize(
    ("content", "wide", "sentence"),
    [
        (b"", None, "has no scalars in its event files"),
        (b"no events", None, "has no scalars in its event files"),
        (b"\0" * 64, None, "has no scalars in its event files"),
        (b"text", "{policy}-{seed}", "is not named as '{policy}-{seed}' says"),
        (b"text", None, "has no scalars in its event files"),
    ],
    ids=["empty", "words", "zeros", "unnamed", "without scalars"],
)
def test_event_files_that_cannot_be_used_are_refused_in_one_sentence(
    content: bytes, wide: str | None, sentence: str, tmp_path: Path
) -> None:
    log(tmp_path / "good", {0: 0.9, 5: 0.8})
    place = tmp_path / "mine"
    with SummaryWriter(str(place)) as writer:
        writer.add_text("note", "no scalar")
    (file,) = place.iterdir()
    if content != b"text":
        file.write_bytes(content)
    with open_store(str(tmp_path / "runs.db")) as store:
        with pytest.raises(StudyError) as refused:
            import_runs(tmp_path, "mine", store=store, wide=wide)
        assert sentence in str(refused.value)
        assert "\n" not in str(refused.value)
        assert store.studies() == ()


def test_a_file_that_was_cut_off_is_read_up_to_there(tmp_path: Path) -> None:
    log(tmp_path / "a", {0: 0.9, 5: 0.8, 10: 0.7})
    (file,) = (tmp_path / "a").iterdir()
    file.write_bytes(file.read_bytes()[:-10])
    assert read(tmp_path).curves("loss/val")[0][0].steps.tolist() == [0, 5, 10]
