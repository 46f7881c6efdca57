import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lrbench.cli import app

Command = Callable[..., Result]

SERIAL = ("--engine", "serial")

SEARCH = """
task = { base = "mnist1d-mlp", steps = 60, eval_every = 30 }
seeds = 1
confirm = 2

[search]
policies = 6
batch = 3
rungs = 2

[space]
functions = ["FIX", "POLY"]
lr = [0.02, 0.3]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "hunt.toml"
    path.write_text(SEARCH)
    return path


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the search."""
    folder = tmp_path_factory.mktemp("searched")
    (folder / "hunt.toml").write_text(SEARCH)
    store = folder / "lrbench.db"
    told = CliRunner().invoke(app, ["search", str(folder / "hunt.toml"), "--store", str(store), *SERIAL])
    assert told.exit_code == 0, told.stderr
    return store


@pytest.fixture
def searched(done: Path, file: Path) -> Path:
    """The file of the search, beside a store that has it."""
    shutil.copy(done, file.parent)
    return file


def test_the_winner_is_printed_beside_its_search_score_and_the_second_time_for_nothing(
    lrbench: Command, file: Path
) -> None:
    told = lrbench("search", file, *SERIAL)

    assert told.exit_code == 0, told.stderr
    assert "hunt on mnist1d-mlp: the finalists on 2 fresh seeds" in told.stdout
    assert "search val" in told.stdout
    assert "the winner: " in told.stdout
    again = lrbench("search", file)
    assert again.stdout == told.stdout
    assert again.stderr.splitlines()[-1].startswith("hunt: 6 policies, 100%, 0:00:0")


def test_a_search_in_a_pipe_has_few_lines_and_none_a_round(lrbench: Command, searched: Path) -> None:
    lines = lrbench("search", searched, "--policies", "9", *SERIAL).stderr.splitlines()

    assert all(line.startswith("hunt: ") for line in lines)
    assert any(re.match(r"hunt: 9 policies, 100%, 0:00:\d\d", line) for line in lines)
    assert len(lines) <= 4


def test_a_search_that_is_over_is_watched_as_the_study_of_its_last_part(lrbench: Command, searched: Path) -> None:
    watched = lrbench("watch", searched)

    assert watched.exit_code == 0, watched.stderr
    assert watched.stdout.startswith("hunt: confirmed on mnist1d-mlp")


def test_json_is_one_document_that_a_longer_search_goes_on_from(lrbench: Command, searched: Path) -> None:
    first = json.loads(lrbench("search", searched, "--json").stdout)
    longer = json.loads(lrbench("search", searched, "--policies", "9", "--json", *SERIAL).stdout)

    assert first["winner"] in [one["policy"] for one in first["tried"]]
    assert longer["tried"][:6] == first["tried"]
    assert (len(first["tried"]), len(longer["tried"])) == (6, 9)
    assert set(first["confirmed"][0]) >= {"search", "shrinkage", "metrics"}


@pytest.mark.usefixtures("searched")
def test_the_whole_budget_policies_are_exported_and_compared_like_a_study(lrbench: Command) -> None:
    runs = json.loads(lrbench("export", "hunt", "--json").stdout)["runs"]

    assert {run["status"] for run in runs} <= {"finished", "diverged"}
    assert {run["step"] for run in runs} == {60}


def test_a_front_of_two_objectives_is_a_table(lrbench: Command, file: Path) -> None:
    file.write_text(
        "target = 0.15\n"
        + SEARCH.replace("rungs = 2", 'objectives = ["accuracy", "steps"]').replace("policies = 6", "policies = 4")
    )
    told = lrbench("search", file, *SERIAL)
    assert "no policy that was tried is better in both accuracy and steps" in told.stdout, told.stderr


def test_nothing_found_is_an_answer_and_no_error(lrbench: Command, searched: Path) -> None:
    searched.write_text("target = 0.99\n" + SEARCH)
    told = lrbench("search", searched)
    assert told.exit_code == 0
    assert "Nothing found within the budget of " in told.stdout
    assert "the winner:" not in told.stdout


def test_a_bad_file_or_storage_is_one_sentence_and_trains_nothing(lrbench: Command, file: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text(SEARCH.replace("FIX", "FOX"))
    for arguments, sentence in (
        (("bad.toml",), "named 'FOX' (did you mean 'FIX'?)"),
        (("missing.toml",), "there is no study file missing.toml"),
        ((file, "--mirror", "nonsense"), "the Optuna storage nonsense cannot be used"),
        ((file, "--policies", "0"), "whole number from 1"),
    ):
        result = lrbench("search", *arguments)
        assert result.exit_code == 2
        assert sentence in result.stderr
        assert "Traceback" not in result.stderr


def test_the_progress_of_a_search_and_the_importance_of_its_parameters_are_drawn(
    lrbench: Command, searched: Path, tmp_path: Path
) -> None:
    lrbench("search", searched, "--policies", "10", *SERIAL)

    assert lrbench("plot", "progress", searched, "-o", "progress.svg").exit_code == 0
    assert lrbench("plot", "importance", "hunt", "-o", "importance.png").exit_code == 0
    assert lrbench("plot", "all", "hunt", "-o", "figures").exit_code == 0

    drawn = {drawing.name for drawing in (tmp_path / "figures").iterdir()}
    assert {"ranking.svg", "progress.svg", "importance.svg"} <= drawn
    assert (tmp_path / "figures" / "progress.svg").read_bytes() == (tmp_path / "progress.svg").read_bytes()
    assert (tmp_path / "importance.png").stat().st_size > 1000


def test_the_report_of_a_search_names_its_finalists_on_fresh_seeds(
    lrbench: Command, searched: Path, tmp_path: Path
) -> None:
    found = json.loads(lrbench("search", searched, "--json", *SERIAL).stdout)

    assert lrbench("report", searched, "-o", "hunt.html").exit_code == 0

    page = (tmp_path / "hunt.html").read_text()
    assert f"A search asked for {len(found['tried'])} policies" in page
    assert f"<strong>{found['confirmed'][0]['policy']}</strong>" in page
    assert "over 2 fresh seeds" in page


@pytest.mark.usefixtures("searched")
def test_what_is_no_search_has_no_progress(lrbench: Command, tiny_study: Path) -> None:
    lrbench("run", tiny_study, *SERIAL)
    for arguments, sentence in (
        (("progress",), "the plot 'progress' is drawn of a search: name one"),
        (("progress", "tiny"), "'tiny' in the store lrbench.db is a study of given policies"),
        (("progress", "hnt"), "has no search 'hnt' (did you mean 'hunt'?); it has: hunt"),
        (("progress", "hunt", "--task", "mnist1d-mlp"), "leave out --task"),
        (("importance", "hunt"), "there is no plot 'importance' of search 'hunt': it takes 10 policies"),
        (("progress", "hunt", "-o", "progress.jpg"), "the name must end in .svg or .png or .pdf"),
    ):
        result = lrbench("plot", *arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert sentence in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
