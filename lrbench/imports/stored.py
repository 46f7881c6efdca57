"""Runs from elsewhere in a store, as a study of kind "imported"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from lrbench.display.names import many
from lrbench.display.readable import LINE_WIDTH, Block, Readable
from lrbench.display.table import Column, Table
from lrbench.errors import StudyError
from lrbench.imports.read import Source, runs_from
from lrbench.imports.reading import Reading, ReadingArguments
from lrbench.imports.study import ImportedStudy, imported_study
from lrbench.store import Store
from lrbench.study.results import Results, results


@dataclass(frozen=True, repr=False)
class Imported(Readable):
    """What an import has stored.

    Attributes:
        results: the answer of the study.
        runs: the number of its runs.
        is_new: whether the store lacked it.
        remarks: what was taken for what, and what was counted while reading.
    """

    results: Results
    runs: int
    is_new: bool
    remarks: tuple[str, ...]

    def display(self, width: int = LINE_WIDTH, *, drawn: bool = False) -> Iterator[Block]:
        yield from self.results.display(width)
        yield ""
        yield from self.remarks
        yield self.sentence

    @property
    def sentence(self) -> str:
        """What is in the store now."""
        if not self.is_new:
            return f"The store has these runs already, as study '{self.results.study}': nothing is new."
        return f"{many(self.runs, 'run')} imported as study '{self.results.study}'."

    def to_json(self) -> dict[str, Any]:
        """Return the document of `lrbench import --json`."""
        beside = {"imported": {"runs": self.runs, "is_new": self.is_new, "remarks": list(self.remarks)}}
        return self.results.to_json() | beside


@dataclass(frozen=True, repr=False)
class RunsToImport(Readable):
    """Runs from elsewhere as the study that an import stores; shown, it says what that would be.

    Attributes:
        study: the name of the study.
        content: what is written.
    """

    study: str
    content: ImportedStudy

    def display(self, width: int = LINE_WIDTH, *, drawn: bool = False) -> Iterator[Block]:
        counts = self._runs_by_policy
        runs = many(len(self.content.runs), "run")
        yield f"An import would store {runs} of {many(len(counts), 'policy')} as study '{self.study}'."
        yield Table(
            (Column("task"), Column("judged by"), Column("better"), Column("seeds")),
            [
                (task.name, task.objective, task.better, "paired" if task.paired else "unpaired")
                for task in self.content.record.tasks
            ],
        )
        yield ""
        yield Table((Column("policy"), Column("runs")), [(name, f"{count:,}") for name, count in counts.items()])
        yield ""
        yield from self.content.remarks

    def into(self, store: Store) -> Imported:
        """Write them into a store, all of them or none.

        Raises:
            StoreError: another study has the name, or the store cannot be written.
        """
        found = self.content
        study, is_new = store.import_study(self.study, found.record, found.slots, found.runs)
        return Imported(results(study, store), len(found.runs), is_new, found.remarks)

    @property
    def _runs_by_policy(self) -> Counter[str]:
        return Counter(slot.policy for slot in self.content.slots)

    def to_json(self) -> dict[str, Any]:
        """Return the document of `lrbench import --dry-run --json`."""
        record = self.content.record
        texts, counts = {one.name: one.policy for one in record.policies}, self._runs_by_policy
        return {
            "study": self.study,
            "runs": len(self.content.runs),
            "tasks": [
                {"task": one.name, "objective": one.objective, "better": one.better, "paired": one.paired}
                for one in record.tasks
            ],
            "policies": [{"name": name, "policy": texts[name], "runs": count} for name, count in counts.items()],
            "remarks": list(self.content.remarks),
        }


def runs_to_import(
    source: Source,
    name: str | None = None,
    **reading: Unpack[ReadingArguments],
) -> RunsToImport:
    """Read runs from elsewhere as a study.

    Args:
        source: as for `lrbench.judge`.
        name: of the study, by default that of the file or folder without its suffix.
        reading: the fields of a `Reading`; a target is a goal beside the metric.

    Raises:
        StudyError: the runs cannot be read or used.
    """
    asked = Reading(**reading)
    where = Path(source).resolve() if isinstance(source, str | Path) else None
    if name is None:
        if where is None:
            raise StudyError("runs that are not in a file need a name for their study")
        name = where.name.split(".")[0]
    return RunsToImport(name, imported_study(runs_from(source, asked), name, asked, where=str(where or "")))
