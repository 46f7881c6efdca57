"""The studies that were started on the page: one after another, each in a process of its own."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lrbench.errors import StudyError
from lrbench.files import write_atomically
from lrbench.serve.import_form import import_arguments

LRBENCH = (sys.executable, "-m", "lrbench")
ATTENDED = (sys.executable, "-m", "lrbench.cli.attended")

State = Literal["queued", "running", "stopped", "ended", "failed"]

SECONDS_TO_STOP = 20.0
"""The time that a process has to write what it trained, after it was asked to stop."""


@dataclass
class Job:
    """A study file that is, was, or can be run.

    Attributes:
        says: the sentence with which its process failed.
    """

    file: Path
    state: State
    says: str = ""
    process: subprocess.Popen[bytes] | None = None


@dataclass
class Jobs:
    """A queue of study files; those of an earlier server are there again, stopped, and go on when they are resumed.

    What a process trains is in the store, so that nothing is lost where it or this server is killed. Where the server
    is gone, its process writes what it has and ends.

    Args:
        folder: where the study files are kept, beside the store.
        options: those of `lrbench run`.
        store: the location of the store; None for that of the environment.
        plugins: the options that name files of the user's code, which every command takes.
    """

    folder: Path
    options: Sequence[str]
    store: str | None
    plugins: Sequence[str] = ()
    version: int = 0
    _jobs: dict[str, Job] = field(default_factory=dict)
    _queue: queue.SimpleQueue[Job | None] = field(default_factory=queue.SimpleQueue)
    _thread: threading.Thread | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        for file in sorted(self.folder.glob("*.toml")):
            self._jobs[file.stem] = Job(file, "stopped")

    def states(self) -> list[dict[str, str]]:
        """List the jobs by name, with their states."""
        with self._lock:
            return [{"name": name, "state": job.state, "says": job.says} for name, job in self._jobs.items()]

    def forget(self, name: str) -> None:
        """Delete the study file of a job, if there is one of the name, and let its process end where it has one."""
        with self._lock:
            job = self._jobs.pop(name, None)
            if job is not None:
                self._set(job, "stopped")
                if job.process is not None:
                    _end(job.process)
                job.file.unlink(missing_ok=True)

    def rename(self, name: str, new: str) -> None:
        """Give a job the new name of its study, if there is one of the name, and none of the new one."""
        with self._lock:
            if name in self._jobs and new not in self._jobs:
                job = self._jobs[new] = self._jobs.pop(name)
                job.file = job.file.rename(job.file.with_name(f"{new}.toml"))
                self.version += 1

    def plan(self, name: str, text: str) -> dict[str, Any]:
        """Check a study, and return the runs and iterations it would train, in the form of `run --dry-run --json`.

        Raises:
            StudyError: it cannot be used.
        """
        file = self._written(self.folder / ".plan" / f"{name}.toml", text)
        return self._answer(self._run(file, "--dry-run", "--json"), str(file))

    def import_runs(self, given: Mapping[str, Any], *more: str) -> dict[str, Any]:
        """Import what a form names, and return the document of `lrbench import --json` with `more` options.

        Raises:
            StudyError: it cannot be imported.
        """
        return self._answer(["import", *self.plugins, "--json", *more, *import_arguments(given)], "")

    def start(self, name: str, text: str) -> None:
        """Put a new study into the queue.

        Raises:
            StudyError: there is another study of this name.
        """
        with self._lock:
            known = self._jobs.get(name)
            if known is not None and known.file.read_text(encoding="utf-8") != text:
                raise StudyError(f"another study is called '{name}': choose another name")
            if known is None:
                self._jobs[name] = Job(self._written(self.folder / f"{name}.toml", text), "stopped")
        self.resume(name)

    def resume(self, name: str) -> None:
        """Put a study that is not running into the queue; it goes on from what the store has.

        Raises:
            StudyError: no study of this name was started on the page.
        """
        with self._lock:
            job = self._known(name)
            if job.state in ("queued", "running"):
                return
            self._set(job, "queued")
            self._queue.put(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="lrbench-jobs", daemon=True)
                self._thread.start()

    def stop(self, name: str) -> None:
        """Take a study out of the queue, or let its process write what it has and end.

        Raises:
            StudyError: no study of this name was started on the page.
        """
        with self._lock:
            job = self._known(name)
            if job.state in ("queued", "running"):
                self._set(job, "stopped")
            if job.process is not None:
                _end(job.process)

    def close(self) -> None:
        """End the queue, and let the process that runs write what it has."""
        self._queue.put(None)
        for one in self.states():
            self.stop(one["name"])
        if self._thread is not None:
            self._thread.join(SECONDS_TO_STOP)

    # Inside --------------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            with self._lock:
                if job.state != "queued":
                    continue
                job.process = subprocess.Popen(
                    [*ATTENDED, *self._run(job.file)],
                    env=self._environment(),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    start_new_session=True,  # Ctrl-C is for the server, which lets its process end once
                )
                self._set(job, "running")
            self._ended(job, job.process)

    def _ended(self, job: Job, process: subprocess.Popen[bytes]) -> None:
        """Wait for the end of a job's process, and note how it ended."""
        assert process.stderr is not None
        with process.stderr as stderr:
            said = stderr.read().decode(errors="replace")
        code = process.wait()
        with self._lock:
            job.process = None
            _end(process)
            if job.state == "running":
                self._set(job, "failed" if code else "ended")
                job.says = _sentence(said, str(job.file)) if code else ""

    def _known(self, name: str) -> Job:
        if name not in self._jobs:
            raise StudyError(f"no study '{name}' was started on this page")
        return self._jobs[name]

    def _set(self, job: Job, state: State) -> None:
        job.state, job.says = state, ""
        self.version += 1

    def _run(self, file: Path, *more: str) -> list[str]:
        return ["run", str(file.absolute()), *self.options, *self.plugins, *more]

    def _answer(self, command: Sequence[str], file: str) -> dict[str, Any]:
        """Return the document that a command prints.

        Raises:
            StudyError: the command failed; the sentence is the command's.
        """
        done = subprocess.run([*LRBENCH, *command], env=self._environment(), capture_output=True)
        if done.returncode:
            raise StudyError(_sentence(done.stderr.decode(errors="replace"), file))
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def _environment(self) -> Mapping[str, str]:
        """The store is named here, not on the command line, which others may read: its URL may have a password."""
        return {**os.environ, **({} if self.store is None else {"LRBENCH_STORE": self.store})}

    def _written(self, file: Path, text: str) -> Path:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, text.encode())
        return file


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let a process write what it has and end, as it does by itself once this server is gone: close its input."""
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.close()


def _sentence(said: str, file: str) -> str:
    """Return the last line that a command wrote on stderr, without the name of its file and where its help is."""
    last = (said.strip().splitlines() or ["it ended without a word"])[-1].partition(" (see 'lrbench ")[0]
    return last.removeprefix("Error: ").removeprefix(f"{file}: ").removeprefix(f"{Path(file).absolute()}: ")
