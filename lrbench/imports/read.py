"""Sources of runs from elsewhere: tables, folders of them, logs, and the folders of AlgoPerf."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import json
import lzma
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np

from lrbench.display.names import many
from lrbench.errors import StudyError
from lrbench.files import read_regular, user_path
from lrbench.imports.exported import exported_runs, is_exported
from lrbench.imports.mlflow import is_mlflow, mlflow_table
from lrbench.imports.naming import Naming
from lrbench.imports.pattern import LONGEST_LINE, compiled
from lrbench.imports.reading import Reading
from lrbench.imports.table import Columns, Runs, runs_of
from lrbench.imports.tensorboard import EVENTS, tensorboard_table
from lrbench.imports.wandb import wandb_long, wandb_metrics

if TYPE_CHECKING:
    import pandas
    from numpy.typing import ArrayLike

Source: TypeAlias = "str | Path | pandas.DataFrame | Mapping[str, ArrayLike] | Runs"
"""Where runs are: a file or a folder; a DataFrame in long form; or the scores of each policy, one a run."""

READING = Reading()

MOST_BYTES = 512 * 2**20
"""The largest file that is read, compressed or not, and the most of all files of a folder."""

MOST_FILES = 20_000
MOST_ROWS = 5_000_000

PACKED: dict[str, Callable[[BinaryIO], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
SEPARATOR = re.compile(r"sep=[,;\t|]")
WITH_COMMA = re.compile(r"\s*[-+]?\d*,\d+(?:[eE][-+]?\d+)?\s*%?\s*")
WITH_POINT = re.compile(WITH_COMMA.pattern.replace(",", r"\.", 1))
TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
ALGOPERF = "eval_measurements.csv"


def read(source: str | Path, reading: Reading = READING) -> Runs:
    """Read runs from a file or a folder.

    Args:
        source: a table in long form, as CSV, TSV, JSON lines or Parquet, compressed or not; a folder of such tables, a
            run each, where a folder is a policy; AlgoPerf's folders of logs; TensorBoard's folders of events; a store
            of MLflow, by its file, folder or URI; an export of W&B; or logs, with a pattern.
        reading: its metric must be a column; of a table in wide form, it is how the values are called.

    Raises:
        StudyError: the source cannot be read; the sentence names the file, the line and the column.
    """
    if not str(source).strip():
        raise StudyError("the runs to read are missing: name a file, a folder or a URI")
    columns, pattern, wide, metric = reading.columns, reading.pattern, reading.wide, reading.metric
    naming = Naming(wide)
    if re.match(r"https?://", str(source)) and Path(str(source)).suffix.lower() in (*TABLES, *PACKED):
        raise StudyError(f"{source}: tables are read from files; fetch it first")
    if pattern is None and is_mlflow(str(source)):
        return runs_of(mlflow_table(str(source), naming, _named(columns)), str(source), columns, metric)
    path = user_path(source)
    if pattern is not None:
        return runs_of(_logs(path, pattern), str(path), columns, metric)
    if path.is_dir() or EVENTS in path.name:
        files = _files(path) if path.is_dir() else [path]
        if any(file.name == ALGOPERF for file in files):
            from lrbench.imports.algoperf import algoperf_runs

            return algoperf_runs(path, [file for file in files if file.name == ALGOPERF])
        events = [file for file in files if EVENTS in file.name]
        if len(events) > sum(_suffix(file) in TABLES for file in files):
            folder = path if path.is_dir() else path.parent
            return runs_of(tensorboard_table(folder, events, naming), str(path), columns, metric)
        return runs_of(_folder(path, files, naming), str(path), columns, metric)
    frame = read_table(path)
    if is_exported(frame):
        return exported_runs(frame, str(path), columns, metric)
    if (metrics := wandb_metrics(frame)) and not any(metric in (wide or "") for metric in metrics):
        frame = wandb_long(frame, metrics, naming)
    elif wide is not None:
        frame = _long(frame, wide, str(path), columns or {}, metric or "value")
        columns = {role: name for role, name in (columns or {}).items() if role == "step"}
    return runs_of(frame, str(path), columns, metric)


def runs_from(runs: Source, reading: Reading) -> Runs:
    """Read runs from a file or a folder as `read` does, from a DataFrame in long form, or from scores by policy.

    Raises:
        StudyError: they cannot be read.
    """
    import pandas

    if isinstance(runs, Runs):
        return runs
    if isinstance(runs, str | Path):
        return read(runs, reading)
    if isinstance(runs, pandas.DataFrame):
        read_frame = exported_runs if is_exported(runs) else runs_of
        return read_frame(runs, "the table", reading.columns, reading.metric)
    rows = []
    for name, scores in runs.items():
        values = np.asarray(scores, dtype=np.float64)
        if values.ndim != 1:
            raise StudyError(
                f"the scores of '{name}' must be a list of numbers, one a run, but have the shape {values.shape}"
            )
        rows += [(str(name), str(run), "inf" if not np.isfinite(x) else repr(float(x))) for run, x in enumerate(values)]
    table = pandas.DataFrame(rows, columns=["policy", "run", reading.metric or "score"])
    return runs_of(table, "the scores", None, reading.metric)


def _named(columns: Columns | None) -> set[str]:
    """Return the names of columns that are given."""
    return {name for one in (columns or {}).values() for name in ((one,) if isinstance(one, str) else one)}


def read_table(path: Path) -> pandas.DataFrame:
    """Read a table; cells of text files are text.

    Raises:
        StudyError: it cannot be read, or is no such table.
    """
    import pandas

    suffix = _suffix(path)
    if suffix not in TABLES:
        raise StudyError(
            f"{path} is no table that can be read: allowed are {', '.join(TABLES)}, each also with "
            f"{', '.join(PACKED)}; a log needs --pattern"
        )
    content = _content(path)
    if suffix == ".parquet":
        try:
            return pandas.read_parquet(io.BytesIO(content))
        except ImportError:
            raise StudyError(f"{path}: Parquet needs pyarrow, which is not installed: pip install pyarrow") from None
        except Exception as error:
            raise StudyError(f"{path} is not valid Parquet: {' '.join(str(error).split())}") from None
    text = _decoded(content, path)
    if suffix in (".jsonl", ".ndjson"):
        records = list(_json_rows(text, path))
        names = dict.fromkeys(name for record in records for name in record)
        cells = {name: pandas.Series([record.get(name, "") for record in records], dtype=object) for name in names}
        return pandas.DataFrame(cells)
    delimiter = _delimiter(text, suffix)
    rows = list(_csv_rows(text, path, delimiter))
    if not rows:
        raise StudyError(f"{path} is empty: a line with the names of the columns is needed")
    frame = pandas.DataFrame(rows[1:], columns=pandas.Index(rows[0], dtype=object), dtype=object)
    if delimiter == "," or any(WITH_POINT.fullmatch(cell) for row in rows[1:] for cell in row):
        return frame
    with_comma = frame.apply(lambda column: column.map(lambda cell: bool(WITH_COMMA.fullmatch(cell)))).astype(bool)
    if with_comma.to_numpy().any():
        frame = frame.mask(with_comma, frame.apply(lambda column: column.str.replace(",", ".", n=1)))
        frame.attrs["remarks"] = ("a comma was read as the decimal point",)
    return frame


def _suffix(path: Path) -> str:
    name = path.name.lower()
    for packed in PACKED:
        name = name.removesuffix(packed)
    return Path(name).suffix


def _content(path: Path) -> bytes:
    """Return what is in a file, unpacked."""
    most = MOST_BYTES
    try:
        content = read_regular(path, most)
    except OSError as error:
        raise StudyError(f"{path} cannot be read: {error.strerror or error}") from None
    if (unpack := PACKED.get(path.suffix.lower())) is None:
        return content
    try:
        with unpack(io.BytesIO(content)) as file:
            unpacked: bytes = file.read(most + 1)
    except (OSError, EOFError, lzma.LZMAError, ValueError) as error:
        raise StudyError(f"{path} cannot be unpacked: {error}") from None
    if len(unpacked) > most:
        raise StudyError(f"{path} has more than {most:,} bytes when it is unpacked")
    return unpacked


def _decoded(content: bytes, path: Path) -> str:
    try:
        return content.decode("utf-16" if content.startswith(UTF_16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise StudyError(f"{path} is not UTF-8 text: line {line} has the byte 0x{content[error.start]:02x}") from None


def _delimiter(text: str, suffix: str) -> str:
    """Return what separates the cells of a table, by its first line, which may be Excel's "sep=;"."""
    if suffix == ".tsv":
        return "\t"
    first = next((line for line in text.splitlines() if line and not line.startswith("#")), "")
    return first[4] if SEPARATOR.fullmatch(first) else max(",;\t", key=first.count)


def _csv_rows(text: str, path: Path, delimiter: str) -> Iterator[list[str]]:
    """Yield the rows of a table as text, that of the names of columns first."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    width = None
    try:
        for count, row in enumerate(reader):
            is_comment = width is None and len(row) == 1 and row[0].startswith("#")
            if not row or is_comment or (width is None and SEPARATOR.fullmatch(delimiter.join(row))):
                continue
            if count > MOST_ROWS:
                raise StudyError(f"{path} has more than {MOST_ROWS:,} rows")
            width = len(row) if width is None else width
            if len(row) != width:
                raise StudyError(f"{path}: line {reader.line_num} has {len(row)} cells, the first line has {width}")
            yield row
    except csv.Error as error:
        raise StudyError(f"{path}: line {reader.line_num} is not valid CSV: {error}") from None


def _json_rows(text: str, path: Path) -> Iterator[dict[str, str]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        if number > MOST_ROWS:
            raise StudyError(f"{path} has more than {MOST_ROWS:,} lines")
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise StudyError(f"{path}: line {number} is not valid JSON: {error}") from None
        if not isinstance(row, dict):
            raise StudyError(f'{path}: line {number} is no JSON object, such as {{"seed": 0, "loss": 0.5}}')
        if "_step" in row:  # a history of W&B has media and histograms beside its metrics
            row = {name: value for name, value in row.items() if not isinstance(value, list | dict)}
        for name, value in row.items():
            if isinstance(value, list | dict):
                raise StudyError(
                    f"{path}: line {number} has more than one value in '{name}', where a number or text is needed"
                )
        yield {name: "" if value is None else str(value) for name, value in row.items()}


def _files(folder: Path) -> list[Path]:
    """List the files under a folder by name; links are not followed."""
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders.sort()
        found += (Path(place) / name for name in sorted(names) if not name.startswith("."))
        if len(found) > MOST_FILES:
            raise StudyError(f"{folder} has more than {MOST_FILES:,} files")
    return [file for file in found if file.is_file() and not file.is_symlink()]


def _place(file: Path, folder: Path, naming: Naming | None) -> dict[str, str]:
    """Name the policy and the run of a file by where it is; with a naming its folder is the run."""
    inside = file.parent.relative_to(folder).as_posix()
    if naming is not None:
        return naming.place_of(folder.resolve().name if inside == "." else inside)
    return {"policy": folder.resolve().name if inside == "." else inside, "run": file.name.split(".")[0]}


def _folder(folder: Path, files: list[Path], naming: Naming) -> pandas.DataFrame:
    """Read the tables of a folder, a run each unless they name runs themselves; one name for all is that of no run."""
    import pandas

    tables = [file for file in files if _suffix(file) in TABLES]
    if not tables:
        raise StudyError(f"{folder} has no tables ({', '.join(TABLES)}); logs need --pattern")
    _check_size(folder, tables)
    frames, by_folder = [], len(tables) > 1 and len({file.name for file in tables}) == 1
    for file in tables:
        frame = read_table(file)
        for name, value in _place(file, folder, naming if by_folder else None).items():
            if name not in frame:
                frame[name] = value
        frames.append(frame)
    return pandas.concat(frames, ignore_index=True)


def _check_size(folder: Path, files: list[Path]) -> None:
    size = sum(file.stat().st_size for file in files)
    if size > MOST_BYTES:
        raise StudyError(f"{folder} has {size:,} bytes in its files, at most {MOST_BYTES:,} are read")


def _logs(path: Path, pattern: str) -> pandas.DataFrame:
    """Read the lines of logs that look like a pattern."""
    import pandas

    line_of = compiled(pattern, ())
    files = _files(path) if path.is_dir() else [path]
    _check_size(path, [file for file in files if file.exists()])
    rows: list[dict[str, str]] = []
    for file in files:
        place = _place(file, path, None) if path.is_dir() else {"policy": path.name.split(".")[0], "run": "0"}
        lines = _content(file).decode("utf-8", errors="replace").splitlines()
        matches = (line_of.search(line) for line in lines if len(line) <= LONGEST_LINE)
        rows += ({**place, **match.groupdict()} for match in matches if match)
    if not rows:
        raise StudyError(f"{path} has no line that looks like {pattern!r} in its {many(len(files), 'file')}")
    table = pandas.DataFrame(rows, dtype=object)
    return table.drop(columns=[name for name in ("steps",) if "step" in table and name in table])


def _long(frame: pandas.DataFrame, wide: str, where: str, columns: Columns, metric: str) -> pandas.DataFrame:
    """Turn a table with a column for each run into one with a row for each value."""
    import pandas

    name_of = compiled(wide, ("policy", "seed", "run", "task"))
    matches = {name: name_of.fullmatch(str(name)) for name in frame if len(str(name)) <= LONGEST_LINE // 10}
    found = {name: match.groupdict() for name, match in matches.items() if match}
    if not found:
        shown = ", ".join(f"'{name}'" for name in list(frame)[:10])
        raise StudyError(f"{where}: no column is named as {wide!r} says; the columns are {shown}")
    rest = [name for name in frame if name not in found]
    steps = columns.get("step")
    kept = [steps] if isinstance(steps, str) else rest
    if isinstance(steps, str) and steps not in frame:
        raise StudyError(f"{where}: there is no column named '{steps}'")
    frames = [frame[kept].assign(**place, **{metric: frame[name]}) for name, place in found.items()]
    return pandas.concat(frames, ignore_index=True)
