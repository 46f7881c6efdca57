"""Tables of runs in long form: which column is what, and their cells as numbers and names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from lrbench.display.names import many
from lrbench.errors import StudyError, unknown_name
from lrbench.imports.direction import better_by_name
from lrbench.metrics.metric import METRICS
from lrbench.study.export import as_it_was
from lrbench.study.portable import CARD, RunCard
from lrbench.study.study_runs import label_of

if TYPE_CHECKING:
    import pandas
    from numpy.typing import NDArray

ROLES: dict[str, tuple[str, ...]] = {
    "task": ("task", "workload", "dataset", "benchmark"),
    "policy": (
        *("policy", "variant", "group", "schedule", "scheduler", "method", "config", "arm", "entry", "algorithm"),
        *("optimizer", "experiment", "setting", "model", "name"),
    ),
    "seed": ("seed", "random_seed", "rng_seed"),
    "run": ("run", "run_id", "trial", "replicate", "repetition", "repeat", "job", "uuid", "id"),
    "step": (
        "step",
        "steps",
        "global_step",
        "trainer_global_step",
        "_step",
        "iteration",
        "iterations",
        "iter",
        "update",
        "epoch",
    ),
}
"""What a column can be, and the names by which it is found, the first of them that the table has."""

PLACE = ("task", "policy", "seed")
"""The columns of `Runs.table` that name a run."""

RESERVED = frozenset((*PLACE, "step"))
"""The columns of `Runs.table` beside those of metrics."""

WHAT = {"task": "tasks", "policy": "policies", "seed": "seeds", "run": "runs", "step": "steps"}
LR = re.compile(r"(?:^|_)(?:lr|learning_rate)(?:_|$)")
NO_METRIC = frozenset(("of", "line", "time", "timestamp", "_timestamp", "_runtime", "runtime"))

Columns = Mapping[str, str | Sequence[str]]
"""Columns by what they are, a role of `ROLES`; a policy may be named by several."""

MOST_CURVES = 100_000
LONG_ENOUGH_FOR_A_COPY = 5
"""Different values from which on two equal runs are taken for one; runs that stay at chance are equal by nature."""

LARGEST_STEP = 2**53
"""Up to which whole numbers are exact as floating-point numbers."""


@dataclass(frozen=True, eq=False)
class Curve:
    """The values of one metric of one run.

    Attributes:
        seed: the name of the run among those of its policy: its seed, where the source has seeds.
        steps: rising; empty where the source has none, and the run has one value.
        values: infinite where the source has a value that is not finite.
        rows: the labels of the rows of `Runs.table` that the values are from.
    """

    task: str
    policy: str
    seed: str
    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    rows: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs from elsewhere: rows of a run's metrics at a step.

    Attributes:
        table: columns `task`, `policy`, `seed`, `step` (-1 where there are no steps), and one for each metric, where
            nan is no value, and infinity one that is not finite.
            There may be a column `lr`, of learning rates.
        metrics: the columns that may be judged.
        have_seeds: whether runs are named by their seeds, so that those of two policies may be paired.
        remarks: what was taken for what, and what was counted while reading.
        cards: of runs that lrbench exported, by task, policy and seed; of all runs, or there are none.
        best_of: what stands before the last slash of a run's name is one unit, of which the best run counts.
        metric_by_task: what runs are judged by where no metric is asked for.
        texts: of policies, where the source has them.
    """

    table: pandas.DataFrame
    metrics: tuple[str, ...]
    have_seeds: bool
    remarks: tuple[str, ...] = ()
    best_of: str = ""
    metric_by_task: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    cards: Mapping[tuple[str, str, str], RunCard] = field(default_factory=dict)

    def curves(self, metric: str) -> tuple[list[Curve], tuple[str, ...]]:
        """Return the curves of a metric, and remarks on repeated steps.

        Raises:
            StudyError: no run has a value of it, or there are too many.
        """
        if metric not in self.metrics:
            raise StudyError(unknown_name("metric", metric, self.metrics))
        known = self.table[self.table[metric].notna()]
        grouped = known.groupby(list(PLACE), sort=False)
        if not 1 <= grouped.ngroups <= MOST_CURVES:
            raise StudyError(
                f"{metric}: there are {grouped.ngroups:,} runs with a value, where 1 to {MOST_CURVES:,} can be judged"
            )
        curves: dict[tuple[str, str, bytes, bytes], Curve] = {}
        repeated, resumed, copies, several = 0, 0, 0, 0
        for _, rows in grouped:
            task, policy, seed = (str(rows[name].iloc[0]) for name in PLACE)
            steps, values = rows["step"].to_numpy(np.int64), rows[metric].to_numpy(np.float64)
            parts = _complete_parts(steps)
            several += len(parts) > 1
            for number, part in enumerate(parts):
                _, last = np.unique(steps[part][::-1], return_index=True)
                kept = np.arange(part.start, part.stop)[::-1][last]
                repeated += (part.stop - part.start) - len(kept)
                resumed += len(kept) < part.stop - part.start
                curve = Curve(
                    task,
                    policy,
                    f"{seed} ({number + 1})" if number else seed,
                    steps[kept] if steps[0] >= 0 else steps[:0],
                    values[kept],
                    rows.index.to_numpy(np.int64)[kept],
                )
                is_long = not self.cards and len(np.unique(curve.values)) >= LONG_ENOUGH_FOR_A_COPY
                content = (
                    (curve.steps.tobytes(), curve.values.tobytes()) if is_long else (str(len(curves)).encode(), b"")
                )
                copies += (task, policy, *content) in curves
                curves.setdefault((task, policy, *content), curve)
        counted = {
            f"{many(resumed, 'run')} repeated {many(repeated, 'step')}: the later row counts.": resumed,
            f"{many(several, 'name')} of runs stood for several whole runs, from the first step to the last: each "
            "counts.": several,
            f"{many(copies, 'run')} had the values of another run of the policy at every step: such copies count "
            "once.": copies,
        }
        return list(curves.values()), tuple(sentence for sentence, count in counted.items() if count)


def _complete_parts(steps: NDArray[np.int64]) -> list[slice]:
    """Return the parts of a log that are whole runs: they begin at its first step and reach its last one.

    A log that goes back to a later step was resumed, and one that begins again before it got to the end was restarted:
    these are one run.
    """
    begins = np.flatnonzero((steps[1:] <= steps[0]) & (steps[1:] < steps[:-1])) + 1
    bounds = [0, *begins.tolist(), len(steps)]
    parts = [slice(start, stop) for start, stop in pairwise(bounds)]
    whole = [part for part in parts if steps[part].max() == steps.max()]
    return whole if len(whole) > 1 else [slice(0, len(steps))]


def runs_of(frame: pandas.DataFrame, where: str, columns: Columns | None = None, metric: str | None = None) -> Runs:
    """Read a table in long form: a row is the metrics of a run at a step, or of a whole run where there are no steps.

    Args:
        frame: numbers as such or as text; an empty cell or None is no value. NaN is no value in a column of numbers,
            unless the row has no number in any metric: such a run diverged, as does one with "nan" or "inf" as text.
        where: the source, for errors.
        columns: which are what, by the roles of `ROLES`; others are found by their names.
        metric: a column that must be a metric.

    Raises:
        StudyError: a column is missing, or a cell is not what its column needs; the sentence names row and column.
    """
    import pandas

    names = [str(name) for name in frame.columns]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise StudyError(f"{where}: the column '{twice}' is there {names.count(twice)} times, each may stand only once")
    if frame.empty:
        raise StudyError(f"{where}: there are no rows, at least one run is needed")
    frame = frame.set_axis(names, axis="columns").reset_index(drop=True)
    cells = frame.pop(CARD) if CARD in frame else None
    names = [name for name in names if name != CARD]
    taken = dict(_roles(names, where, columns or {}))
    given = {name for found in taken.values() for name in found}
    metrics = _metrics(frame, given, where, metric)
    table = pandas.DataFrame(index=frame.index)
    table["task"] = _names(frame, taken.get("task", ()), where)
    table["policy"] = _names(frame, taken.get("policy", ()), where)
    run_columns = taken.get("seed") or taken.get("run") or ()
    table["step"] = _steps(frame, taken["step"][0], where) if "step" in taken else -1
    if run_columns:
        table["seed"] = _names(frame, run_columns, where)
    elif "step" in taken:
        table["seed"] = ""
    else:
        table["seed"] = table.groupby(["task", "policy"]).cumcount().map(str)
    numbers = pandas.DataFrame({name: _numbers(frame, name, where) for name in metrics})
    is_number = numbers.map(lambda value: not np.isnan(value))
    if any(pandas.api.types.is_numeric_dtype(frame[name].dtype) for name in metrics):
        numbers = numbers.mask(~is_number.any(axis=1), np.inf)
    _check_repeated(table, bool(run_columns), "step" in taken, where)
    lr = next((name for name in names if _is_lr(name) and name not in (*given, *metrics)), None)
    if lr is not None and "step" in taken:
        rates = pandas.to_numeric(_texts(frame[lr]), errors="coerce")
        table["lr"] = rates.where((rates >= 0) & np.isfinite(rates))
    cards = _cards(table, cells, where)
    if cells is not None:
        table[list(PLACE)] = table[list(PLACE)].map(as_it_was)
    if cards:
        cards = _named_by_cards(table, {tuple(map(as_it_was, place)): card for place, card in cards.items()})
    return Runs(
        pandas.concat([table, numbers], axis=1),
        tuple(metrics),
        have_seeds="seed" in taken and all(card.record.tasks[0].paired for card in cards.values()),
        remarks=tuple(_remarks(table, taken, frame.attrs.get("remarks", ()))),
        metric_by_task={task: f"val_{card.record.tasks[0].objective}" for (task, *_), card in cards.items()},
        texts={policy: card.record.policies[0].policy for (_, policy, _), card in cards.items()},
        cards=cards,
    )


def _named_by_cards(table: pandas.DataFrame, cards: Mapping[Any, RunCard]) -> dict[tuple[str, str, str], RunCard]:
    """Name tasks and policies as the cards of their runs do: a source of folders has only their names.

    Two exports in one source are left as they are, since their runs have the same names.
    """
    named = {
        place: (card.record.tasks[0].name, label_of(card.record.policies[0].name, card.variant), place[2])
        for place, card in cards.items()
    }
    if len(set(named.values())) < len(named):
        return dict(cards)
    places = list(map(named.__getitem__, table[list(PLACE)].itertuples(index=False, name=None)))
    for column, name in enumerate(PLACE):
        table[name] = [place[column] for place in places]
    return {named[place]: card for place, card in cards.items()}


def _remarks(table: pandas.DataFrame, taken: Mapping[str, Sequence[str]], before: Sequence[str]) -> Iterator[str]:
    if taken:
        found = (f"{WHAT[role]} from {' and '.join(map(repr, names))}" for role, names in taken.items())
        yield f"read {', '.join(found)}"
    yield from before
    if "policy" not in taken and table["seed"].nunique() > 1:
        yield "no column names policies, so that all runs are of one; name it as in --column policy=COLUMN"


def _cards(table: pandas.DataFrame, cells: pandas.Series | None, where: str) -> dict[tuple[str, str, str], RunCard]:
    """Read the cards of runs that lrbench exported; of a source that lacks some of them, none."""
    if cells is None:
        return {}
    texts = _texts(cells)
    if not texts.str.startswith("{").any():  # the version of lrbench, in a table of `lrbench export -o`
        return {}
    cards = {}
    for row in np.flatnonzero((texts != "").to_numpy()).tolist():
        try:
            card = RunCard.model_validate_json(texts.iloc[row])
            if (len(card.record.tasks), len(card.record.policies)) != (1, 1):
                raise ValueError
        except ValueError:
            raise StudyError(f"{where}: row {row + 1} has no card of a run that lrbench exported in '{CARD}'") from None
        task, policy, seed = (str(table[name].iloc[row]) for name in PLACE)
        cards[task, policy, seed] = card
    runs = table[list(PLACE)].drop_duplicates().itertuples(index=False, name=None)
    return cards if set(runs) <= cards.keys() else {}


def _check_repeated(table: pandas.DataFrame, has_runs: bool, has_steps: bool, where: str) -> None:
    """Refuse what cannot be told apart from several runs of one name."""
    if has_steps and has_runs:
        return
    twice = table[table.duplicated(["task", "policy", "seed", "step"])]
    if twice.empty:
        return
    first = twice.iloc[0]
    if has_steps:
        raise StudyError(
            f"{where}: row {twice.index[0] + 1} repeats step {first['step']} of '{first['policy']}', and no column "
            "names runs; name one as in --column run=COLUMN"
        )
    raise StudyError(
        f"{where}: row {twice.index[0] + 1} is one of several of run '{first['seed']}' of '{first['policy']}', and no "
        "column has steps; name one as in --column step=COLUMN"
    )


def _roles(names: Sequence[str], where: str, columns: Columns) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Find the columns of each role that the table has."""
    for role in columns:
        if role not in ROLES:
            raise StudyError(f"{where}: {unknown_name('role of a column', role, ROLES)}")
    named = {role: (one,) if isinstance(one, str) else tuple(one) for role, one in columns.items()}
    for name in (name for found in named.values() for name in found):
        if name not in names:
            raise StudyError(f"{where}: {unknown_name('column', name, names)}")
    free = {plain_name(name): name for name in reversed(names) if not any(name in found for found in named.values())}
    for role, known in ROLES.items():
        found = named.get(role) or next(((free[one],) for one in known if one in free), ())
        if found:
            yield role, found


def plain_name(name: str) -> str:
    """Return a name as `ROLES` has it."""
    return re.sub(r"[\s\-/.]+", "_", name.strip().lower())


def _metrics(frame: pandas.DataFrame, taken: set[str], where: str, metric: str | None) -> list[str]:
    if metric is not None and metric not in frame:
        raise StudyError(f"{where}: {unknown_name('column', metric, frame.columns)}")
    if metric is not None and (metric in taken or metric in RESERVED):
        raise StudyError(
            f"{where}: '{metric}' cannot be the metric, since a column of that name tells runs and steps apart"
        )
    found = [
        name
        for name in frame.columns
        if name == metric
        or (
            name not in taken
            and name not in RESERVED
            and plain_name(name) not in NO_METRIC
            and not _is_lr(name)
            and _may_be_metric(frame[name], bool(better_by_name(name)))
        )
    ]
    if not found:
        raise StudyError(
            f"{where}: no column has numbers that could be a metric; the columns are {_listed(list(frame.columns))}"
        )
    return found


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:20]) + (", ..." if len(names) > 20 else "")


def _is_lr(name: str) -> bool:
    return bool(LR.search(plain_name(name))) and name not in METRICS


def _may_be_metric(cells: pandas.Series, by_name: bool) -> bool:
    """Return whether all cells are numbers, or some are where the name of the column is that of a metric."""
    import pandas

    if pandas.api.types.is_numeric_dtype(cells.dtype):
        return not pandas.api.types.is_bool_dtype(cells.dtype)
    texts = _texts(cells)
    numbers = _parsed(texts).notna()
    return bool((texts != "").any() and (numbers | _is_blank(texts)).all()) or (by_name and bool(numbers.any()))


def _parsed(texts: pandas.Series) -> pandas.Series:
    """Return texts as numbers, nan where they are none; a number with a percent sign is that share of 1."""
    import pandas

    numbers = pandas.to_numeric(texts, errors="coerce")
    if not (shares := texts.str.endswith("%")).any():
        return numbers
    return numbers.where(~shares, pandas.to_numeric(texts.str.rstrip("% "), errors="coerce") / 100)


def _is_blank(texts: pandas.Series) -> pandas.Series:
    return texts.str.lower().isin(("", "nan", "-nan", "+nan"))


def _texts(cells: pandas.Series) -> pandas.Series:
    return cells.map(text_of)


def text_of(cell: object) -> str:
    """Return a cell as text, empty where it has no value; whole numbers have no decimal point."""
    if _is_missing(cell):
        return ""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell).strip()


def _is_missing(cell: object) -> bool:
    import pandas

    return cell is None or cell is pandas.NA or cell is pandas.NaT or (isinstance(cell, float) and cell != cell)


def _numbers(frame: pandas.DataFrame, name: str, where: str) -> NDArray[np.float64]:
    """Return a column as numbers: nan for no value, infinity for one that is not finite."""
    import pandas

    cells = frame[name]
    if pandas.api.types.is_numeric_dtype(cells.dtype) and not pandas.api.types.is_bool_dtype(cells.dtype):
        plain = cells.to_numpy(np.float64, na_value=np.nan)
        return np.where(np.isinf(plain), np.inf, plain)
    texts = _texts(cells)
    numbers = _parsed(texts).to_numpy(np.float64)
    blank = _is_blank(texts).to_numpy()
    if (bad := np.flatnonzero(np.isnan(numbers) & ~blank)).size:
        raise StudyError(
            f"{where}: row {bad[0] + 1} has {texts.iloc[bad[0]]!r} in column '{name}', where a number is needed"
        )
    not_finite = (blank & (texts != "").to_numpy()) | np.isinf(numbers)
    return np.where(not_finite, np.inf, numbers)


def _steps(frame: pandas.DataFrame, name: str, where: str) -> NDArray[np.int64]:
    numbers = _numbers(frame, name, where)
    bad = np.flatnonzero(~((numbers >= 0) & (numbers <= LARGEST_STEP) & (numbers == np.floor(numbers))))
    if bad.size:
        raise StudyError(
            f"{where}: row {bad[0] + 1} has {str(frame[name].iloc[bad[0]])!r} in column '{name}', where a step is "
            "needed, a whole number from 0 on"
        )
    return numbers.astype(np.int64)


def _names(frame: pandas.DataFrame, columns: Sequence[str], where: str) -> pandas.Series:
    import pandas

    joined = pandas.Series([""] * len(frame), index=frame.index)
    for place, name in enumerate(columns):
        texts = _texts(frame[name])
        if place == 0 and (empty := np.flatnonzero((texts == "").to_numpy())).size:
            raise StudyError(f"{where}: row {empty[0] + 1} has nothing in column '{name}', where a name is needed")
        joined = texts if place == 0 else joined + texts.map(lambda text: f" + {text}" if text else "")
    return joined
