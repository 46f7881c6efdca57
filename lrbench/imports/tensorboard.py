"""Folders of TensorBoard events: a folder of event files is a run, the folder above it its policy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrbench.errors import StudyError
from lrbench.imports.naming import Naming
from lrbench.study.portable import CARD
from lrbench.study.trackers import missing

if TYPE_CHECKING:
    import pandas

EVENTS = "tfevents"
"""What the names of event files have in them."""


def tensorboard_table(folder: Path, files: Sequence[Path], naming: Naming) -> pandas.DataFrame:
    """Read the scalars of runs as a table in long form; files of one folder are parts of one run, by their names.

    Raises:
        StudyError: TensorBoard is not installed, or a run has no scalars.
    """
    import pandas

    rows: list[dict[str, Any]] = []
    by_run: dict[Path, list[Path]] = {}
    for file in files:
        by_run.setdefault(file.parent, []).append(file)
    for place, parts in by_run.items():
        name = place.relative_to(folder).as_posix()
        named = naming.place_of(folder.resolve().name if name == "." else name)
        found = [{**named, **row} for part in parts for row in _rows(part)]
        if not found:
            raise StudyError(f"{place} has no scalars in its event files, such as {parts[0].name}")
        rows += found
    return pandas.DataFrame(rows)


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    """Yield a row for each step; a scalar that comes again begins another row."""
    row: dict[str, Any] = {}
    for step, tag, value in _values(file):
        if row and (step != row["step"] or tag in row):
            yield row
            row = {}
        row |= {"step": step, tag: value}
    if row:
        yield row


def _values(file: Path) -> Iterator[tuple[int, str, float | str]]:
    """Yield the scalars of a file, and the cards of runs that lrbench wrote; a file may end in the middle of one."""
    try:
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
        from tensorboard.util.tensor_util import make_ndarray
    except ImportError:
        raise StudyError(missing("tensorboard")) from None
    plugins: dict[str, str] = {}
    try:
        for event in EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                plugin = plugins.setdefault(value.tag, value.metadata.plugin_data.plugin_name)
                if not value.HasField("tensor"):
                    continue
                array = make_ndarray(value.tensor)
                if plugin == "scalars" and array.size == 1:
                    yield event.step, value.tag, float(array.item())
                elif value.tag == CARD and array.size == 1:
                    yield event.step, CARD, array.item().decode()
    except StudyError:
        raise
    except Exception as error:  # what a file of another program holds, the reader meets with errors of many kinds
        reason = " ".join(str(error).split())
        raise StudyError(f"{file} has no events that TensorBoard can read: {reason}") from None
