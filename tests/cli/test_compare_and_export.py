import csv
import io
import json
import os
import shutil
import sqlite3
import stat
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from typer.testing import Result

from tests.permissions import permissions_bind

Command = Callable[..., Result]


@pytest.fixture
def trained(lrbench: Command, tiny_study: Path) -> Path:
    assert lrbench("run", tiny_study).exit_code == 0
    return tiny_study


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.usefixtures("trained")
def test_a_comparison_is_the_paired_difference_of_every_metric(lrbench: Command) -> None:
    (comparison,) = json.loads(lrbench("compare", "tiny", "flat", "stepped", "--json").stdout)["comparisons"]
    (mirrored,) = json.loads(lrbench("compare", "tiny", "stepped", "flat", "--json").stdout)["comparisons"]

    runs = rows(lrbench("export", "tiny").stdout)
    losses = {(run["name"], run["seed"]): float(run["test_loss"]) for run in runs}
    by_hand = sum(losses["flat", seed] - losses["stepped", seed] for seed in ("0", "1")) / 2
    assert (comparison["task"], comparison["first"], comparison["second"]) == ("mnist1d-mlp", "flat", "stepped")
    assert comparison["differences"]["test_loss"]["mean"] == pytest.approx(by_hand)
    assert mirrored["differences"]["test_loss"]["mean"] == pytest.approx(-by_hand)


@pytest.mark.usefixtures("trained")
def test_policies_are_compared_by_name_or_text(lrbench: Command) -> None:
    by_text = lrbench("compare", "tiny", "FIX(k0=0.1)", "STEP(k0=0.1, gamma=0.1, l=0.5dur)")

    assert by_text.stdout == lrbench("compare", "tiny", "flat", "stepped").stdout
    assert by_text.stdout.startswith("flat - stepped on mnist1d-mlp, paired by seed")


@pytest.mark.usefixtures("trained")
def test_a_metric_of_ones_own_is_compared(lrbench: Command, tmp_path: Path) -> None:
    (tmp_path / "first.py").write_text(
        "from lrbench.metrics import register_metric\n\n"
        "@register_metric('first')\n"
        "def first(run):\n    'The first score.'\n    return run.curve.scores[0]\n"
    )

    (compared,) = json.loads(lrbench("compare", "tiny", "flat", "stepped", "--plugin", "first.py", "--json").stdout)[
        "comparisons"
    ]

    curves = rows(lrbench("export", "tiny", "--curves").stdout)
    firsts = {(row["name"], row["seed"]): float(row["val_score"]) for row in curves if row["step"] == "20"}
    by_hand = sum(firsts["flat", seed] - firsts["stepped", seed] for seed in ("0", "1")) / 2
    assert compared["differences"]["first"]["mean"] == pytest.approx(by_hand)


@pytest.mark.usefixtures("trained")
def test_goals_are_compared_with_the_seeds_on_which_each_policy_is_better(lrbench: Command) -> None:
    lines = lrbench("compare", "tiny", "flat", "stepped", "--by", "flops", "--by", "loss").stdout.splitlines()
    assert lines[1].endswith("A better  B better")
    assert lines[2].split() == ["flops", "+0", "+0", "+0", "2", "0", "0"]
    assert [line.split()[0] for line in lines[2:]] == ["flops", "loss"]


def test_a_metric_beside_the_goals_of_a_study_has_no_seeds_counted(lrbench: Command, tmp_path: Path) -> None:
    (tmp_path / "goals.toml").write_text(
        'task = { base = "mnist1d-mlp", steps = 40, eval_every = 20 }\nseeds = 2\nby = ["flops", "ac"]\n'
        'policies = { flat = "FIX(k0=0.1)", low = "FIX(k0=0.01)" }\n'
    )
    assert lrbench("run", "goals.toml").exit_code == 0

    _, heads, *metrics = lrbench("compare", "goals", "flat", "low").stdout.splitlines()

    assert heads.endswith("A better  B better")
    cells = {line.split()[0]: line.split()[5:] for line in metrics}
    assert cells["flops"] == ["0", "0"]
    assert cells["val_loss"] == []
    assert sum(map(int, cells["ac"])) == 2


def test_a_study_can_be_named_by_its_file(lrbench: Command, trained: Path) -> None:
    assert lrbench("export", trained).stdout == lrbench("export", "tiny").stdout


@pytest.mark.usefixtures("trained")
def test_an_export_has_a_row_for_every_run(lrbench: Command) -> None:
    exported = rows(lrbench("export", "tiny").stdout)

    assert [(row["name"], row["seed"]) for row in exported] == [
        ("flat", "0"),
        ("flat", "1"),
        ("stepped", "0"),
        ("stepped", "1"),
    ]
    assert {row["status"] for row in exported} == {"finished"}


@pytest.mark.usefixtures("trained")
def test_an_exported_file_holds_what_stdout_would(lrbench: Command, tmp_path: Path) -> None:
    for name, options in (("runs.csv", ()), ("runs.json", ("--json",))):
        result = lrbench("export", "tiny", "-o", name)

        assert (result.exit_code, result.output) == (0, "")
        assert (tmp_path / name).read_text() == lrbench("export", "tiny", *options).stdout


@pytest.mark.usefixtures("trained")
def test_curves_are_exported_as_csv_or_json_with_all_their_digits(lrbench: Command, tmp_path: Path) -> None:
    document = json.loads(lrbench("export", "tiny", "--curves", "--json").stdout)
    assert lrbench("export", "tiny", "--curves", "-o", "curves.csv").exit_code == 0
    written = rows((tmp_path / "curves.csv").read_text())

    assert (document["study"], len(document["curves"])) == ("tiny", 4 * 2)
    with closing(sqlite3.connect(tmp_path / "lrbench.db")) as store:
        stored = {(run, step): loss for run, step, loss in store.execute("SELECT run, step, val_loss FROM evaluations")}
    for row, told in zip(written, document["curves"], strict=True):
        assert float(row["val_loss"]) == told["val_loss"] == stored[told["run"], told["step"]]
    assert [float(row["lr"]) for row in written if row["name"] == "stepped"] == 2 * [0.1, 0.1 * 0.1]


@pytest.mark.usefixtures("trained")
def test_lists_are_exported_as_json_and_left_out_of_csv(lrbench: Command) -> None:
    (run, *_) = json.loads(lrbench("export", "tiny", "--json").stdout)["runs"]

    assert len(run["class_confidence"]) == 10
    assert {"edges", "count", "confidence", "accuracy"} == run["reliability"].keys()
    assert run.keys() - rows(lrbench("export", "tiny").stdout)[0].keys() == {"class_confidence", "reliability"}


@pytest.mark.usefixtures("trained")
def test_an_exported_document_is_strict_json(lrbench: Command) -> None:
    document = json.loads(lrbench("export", "tiny", "--json").stdout)

    assert (document["study"], len(document["runs"])) == ("tiny", 4)
    assert document["runs"][0]["diverged_at"] is None
    assert isinstance(document["runs"][0]["seed"], int)


@pytest.mark.usefixtures("trained")
def test_questions_leave_the_store_as_it_is(lrbench: Command, tmp_path: Path) -> None:
    before = (tmp_path / "lrbench.db").read_bytes()

    lrbench("compare", "tiny", "flat", "stepped")
    lrbench("export", "tiny")
    lrbench("list", "studies")

    assert (tmp_path / "lrbench.db").read_bytes() == before


def test_a_store_that_may_only_be_read_answers_as_any_other(
    lrbench: Command, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TemporaryDirectory() as folder:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("LRBENCH_CACHE", f"{folder}/cache")
        store, out = Path(folder) / "kept" / "runs.db", Path(folder) / "out"
        store.parent.mkdir()
        shutil.copy(trained.parent / "lrbench.db", store)
        questions = [
            ("list", "studies", "--store", store),
            ("export", "tiny", "--store", store),
            ("compare", "tiny", "flat", "stepped", "--store", store),
            ("report", "tiny", "--store", store, "-o", out / "tiny.html"),
            ("plot", "ranking", "tiny", "--store", store, "-o", out / "ranking.svg"),
            ("recommend", "--task", "mnist1d-mlp", "--steps", "40", "--store", store),
        ]
        exits: list[list[int]] = []
        answers: list[list[object]] = []
        for mode in (0o755, 0o555):
            out.mkdir()
            out.chmod(0o777)
            for place in (Path(folder), store.parent):
                place.chmod(mode)
            try:
                with permissions_bind():
                    results = [lrbench(*question) for question in questions]
            finally:
                Path(folder).chmod(0o755)
                store.parent.chmod(0o755)
            exits.append([one.exit_code for one in results])
            said = [(one.exit_code, one.stdout, one.stderr) for one in results]
            answers.append([*said, *(file.read_bytes() for file in sorted(out.iterdir()))])
            shutil.rmtree(out)
        assert exits[0] == [0] * len(questions)
        assert answers[0] == answers[1]
        assert [file.name for file in store.parent.iterdir()] == ["runs.db"]


@pytest.mark.usefixtures("trained")
def test_an_output_keeps_the_permissions_of_the_file_in_whose_place_it_is(lrbench: Command, tmp_path: Path) -> None:
    secret, new = tmp_path / "secret.csv", tmp_path / "new.csv"
    secret.write_text("old")
    secret.chmod(0o600)
    before = os.umask(0o027)
    try:
        for file in (secret, new):
            assert lrbench("export", "tiny", "-o", file).exit_code == 0
    finally:
        os.umask(before)

    assert secret.read_bytes() == new.read_bytes()
    assert [stat.S_IMODE(file.stat().st_mode) for file in (secret, new)] == [0o600, 0o640]


@pytest.mark.usefixtures("trained")
def test_an_output_is_written_where_a_link_leads_and_the_link_stays(lrbench: Command, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "old.csv").write_text("old")
    for name in ("old.csv", "new.csv"):
        (tmp_path / name).symlink_to(folder / name)
        assert lrbench("export", "tiny", "-o", tmp_path / name).exit_code == 0

    assert all((tmp_path / name).is_symlink() for name in ("old.csv", "new.csv"))
    assert {file.name for file in folder.iterdir()} == {"old.csv", "new.csv"}
    assert rows((folder / "old.csv").read_text()) == rows((folder / "new.csv").read_text()) != []


@pytest.mark.usefixtures("trained")
def test_a_pipe_is_written_to_and_not_replaced(lrbench: Command, tmp_path: Path) -> None:
    pipe, found = tmp_path / "pipe.csv", []
    os.mkfifo(pipe)
    reading = threading.Thread(target=lambda: found.append(pipe.read_text()), daemon=True)
    reading.start()
    assert lrbench("export", "tiny", "-o", pipe).exit_code == 0
    reading.join()

    assert pipe.is_fifo()
    assert rows(found[0]) == rows(lrbench("export", "tiny").stdout)
