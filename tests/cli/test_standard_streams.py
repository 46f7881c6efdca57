"""Standard streams that are closed, full or of another encoding: in processes of their own, as a shell starts them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lrbench.store import open_store

LRBENCH = f"{sys.executable} -m lrbench"
RUN = f"{LRBENCH} run tiny.toml --steps 5 --seeds 1"
WITHOUT_UNICODE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def shell(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env={**os.environ, **environment}, capture_output=True, check=False
    )


def test_progress_never_reaches_the_document_or_the_store_where_stderr_is_closed(
    tmp_path: Path, tiny_study: Path
) -> None:
    process = shell(f"{RUN} --workers 2 --json 2>&-", tmp_path)

    assert process.returncode == 0
    assert json.loads(process.stdout)["runs"]["trained"] == 2
    with open_store(tmp_path / "lrbench.db", must_exist=True) as store:
        assert set(store.statuses().values()) == {"finished"}


def test_a_full_disk_under_stderr_does_not_end_a_study_in_a_store_of_any_name(tmp_path: Path, tiny_study: Path) -> None:
    process = shell(f"{RUN} --store $'u\\xff.db' 2>/dev/full", tmp_path)

    assert process.returncode == 0
    assert b"2 runs: 2 trained" in process.stdout
    assert b"u\xff.db" in os.listdir(os.fsencode(tmp_path))


def test_an_error_has_its_exit_code_where_nobody_can_read_it(tmp_path: Path) -> None:
    assert shell(f"{LRBENCH} show none.toml 2>/dev/full", tmp_path).returncode == 2
    assert shell(f"{LRBENCH} show none.toml <&- >&- 2>&-", tmp_path).returncode == 2


@pytest.mark.parametrize("command", ["list functions", "--version", "--help"])
def test_a_full_disk_under_stdout_is_one_sentence(tmp_path: Path, command: str) -> None:
    process = shell(f"{LRBENCH} {command} >/dev/full", tmp_path)

    assert process.returncode == 2
    assert process.stderr.decode().splitlines() == ["Error: stdout cannot be used: No space left on device"]


@pytest.mark.parametrize("command", ["list functions", "--version", "--help"])
def test_a_closed_stdout_is_no_error(tmp_path: Path, command: str) -> None:
    process = shell(f"{LRBENCH} {command} >&-", tmp_path)

    assert (process.returncode, process.stderr) == (0, b"")


def test_a_study_is_trained_and_reported_under_its_name_in_a_locale_without_unicode(
    tmp_path: Path, tiny_study: Path
) -> None:
    tiny_study.rename(tmp_path / "größe.toml")

    command = f"{RUN.replace('tiny', 'größe')} && {LRBENCH} report größe.toml && {LRBENCH} export größe --json"
    process = shell(f"({command}) | tail -n 1; exit ${{PIPESTATUS[0]}}", tmp_path, **WITHOUT_UNICODE)

    assert process.returncode == 0, process.stderr
    assert "größe" in (tmp_path / "report.html").read_text(encoding="utf-8")
    with open_store(tmp_path / "lrbench.db", must_exist=True) as store:
        assert [entry.name for entry in store.studies()] == ["größe"]
