"""The runs of a study and their curves as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from lrbench.errors import PolicyError
from lrbench.metrics.runs import RunRecord, arrivals
from lrbench.modifiers.brief import is_setting
from lrbench.policy import parse
from lrbench.store import Score
from lrbench.study.study_runs import StudyRuns, curve_of

if TYPE_CHECKING:
    import pandas
    from numpy.typing import NDArray

    from lrbench.store import Store, StoredRun, StudySlot

Row = dict[str, Any]

PLACE = ("task", "stage", "name", "policy", "modifier", "scale", "seed")
SCORES = tuple(one.name for one in fields(Score) if one.name != "step")
CURVE = (*PLACE, "step", "lr", *SCORES, "run", "status", "diverged_at")
"""The columns of `export_curves`."""


def export(study: int | str, store: Store) -> pandas.DataFrame:
    """Tabulate the runs of a study: a row each, sorted by task, stage, policy, modifier, base-LR scale and seed.

    Columns: `task, stage, name, policy, modifier, scale, seed, status` ("missing" for a run that was not begun),
    `step`, `diverged_at`; `seconds` of training and of `evaluating`, which is empty where the seconds are of both;
    `flops`; the metrics of a finished run, its objective as `val_<objective>` and `test_<objective>` among them; the
    provenance of each number; the metrics of the run's curve: `volatility`, `jitter`, `monotonicity`, `curve_mean`,
    `steps_to_best`, and `steps_to_target` where the study has a target; and the `curve` itself, the validation
    objective by iterations, as `Curve` writes it.
    A study of axes has a column `setting` beside `modifier`.
    `class_confidence` and `reliability` hold lists and dicts; `flat` leaves them out.

    Raises:
        StoreError: the store has no study of that name, or cannot be read.
    """
    rows = run_rows(StudyRuns.of(study, store))
    return _with_settings(_lossless(rows, None if rows else [*PLACE, "status"]))


def export_curves(study: int | str, store: Store) -> pandas.DataFrame:
    """Tabulate the evaluations of a study: a row each, the runs in the order of `export`, with the columns `CURVE`.

    `step` is the number of iterations before an evaluation. `lr` is the LR of the last of them, empty where it is not
    known: of a function that is not registered here, and of a reactive policy with a modifier. `train_loss` is the mean
    since the evaluation before; the scores are the task's objective. `status` and `diverged_at` are the run's; the
    last row of one that diverged is at `diverged_at`, without finite scores.

    Raises:
        StoreError: the store has no study of that name, or cannot be read.
    """
    return _with_settings(_lossless(list(_curve_rows(StudyRuns.of(study, store))), list(CURVE)))


def flat(table: pandas.DataFrame) -> pandas.DataFrame:
    """Leave out the columns of lists and dicts, which a CSV file cannot hold."""
    nested = [name for name in table if table[name].map(lambda value: isinstance(value, list | dict)).any()]
    return table.drop(columns=nested)


def _with_settings(table: pandas.DataFrame) -> pandas.DataFrame:
    """Move settings of axes, where there are any, to a column of their own beside that of modifiers."""
    settings = table["modifier"].map(is_setting).astype(bool)
    if settings.any():
        table.insert(list(table).index("modifier") + 1, "setting", table["modifier"].where(settings, ""))
        table["modifier"] = table["modifier"].mask(settings, "")
    return table


FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""The last four are = + - @ at full width."""


def csv_of(table: pandas.DataFrame) -> bytes:
    """Write a table as CSV in UTF-8, in which no text is a formula to a spreadsheet."""
    text: str = _without_formulas(flat(table)).to_csv(index=False, lineterminator="\n")
    return text.encode()


def _without_formulas(table: pandas.DataFrame) -> pandas.DataFrame:
    """Put an apostrophe before each text that a spreadsheet would take for a formula."""
    import pandas as pd

    return pd.DataFrame(
        {
            _as_text(name): pd.Series(map(_as_text, column), index=table.index, dtype=column.dtype)
            for name, column in table.items()
        }
    )


def _as_text(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    # A lone carriage return is left without quotes, and would begin another row with what follows it.
    return f"'{cell}".replace("\r", "\n") if cell.startswith(FORMULA_STARTS) else cell.replace("\r", "\n")


def as_it_was(cell: str) -> str:
    """Return a text without the apostrophe that `csv_of` puts before a formula."""
    return cell[1:] if cell.startswith(tuple(f"'{start}" for start in FORMULA_STARTS)) else cell


def run_rows(evidence: StudyRuns) -> list[Row]:
    """Return the rows of `export`, of a study that was read already."""
    rows: list[Row] = []
    records, target = evidence.measured, evidence.record.target
    known = {} if target is None else dict(zip(records, arrivals(list(records.values()), target), strict=True))
    for slot, policy in _places(evidence):
        place = _place(slot, policy)
        run = evidence.runs.get(slot.run)
        if run is None:
            rows.append({**place, "status": "missing"})
            continue
        stored = run.final or {}
        figures = _figures(records.get(slot), {} if target is None else {"steps_to_target": known.get(slot)})
        measured = {name: value for name, value in {**stored, **figures}.items() if not isinstance(value, NESTED)}
        late = [name for name in (*READ_OFF, *OVER_BASE_LRS) if name in measured]
        rows.append(
            {
                **place,
                "status": run.status,
                "step": run.step,
                "diverged_at": run.diverged_at,
                "seconds": run.seconds,
                "evaluating": run.evaluating,
                "flops": run.flops or None,
                **{name: value for name, value in measured.items() if name not in late},
                **run.provenance,
                "run": run.key,
                **{name: measured[name] for name in late},
                "curve": str(curve_of(run)),
                **{name: value for name, value in stored.items() if isinstance(value, list | dict)},
            }
        )
    return rows


NESTED = (list, dict)

OF_EVERY_RUN = frozenset(("seconds", "evaluating", "flops"))

READ_OFF = ("volatility", "jitter", "monotonicity", "curve_mean", "steps_to_best", "steps_to_target")
"""The metrics of a run's curve."""

OVER_BASE_LRS = ("base_lr_retention", "base_lr_divergence_rate")
"""The metrics of runs at several base LRs."""

RECORDED = ("lrbench", "commit", "torch", "numpy", "python", "engine", "source", "precision", "device")
"""What is stored beside each number: the software and hardware that made it."""


def _figures(record: RunRecord | None, more: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return the metrics of a finished run, and more of them, without those that every run has."""
    if record is None or record.diverged:
        return {}
    figures = {**record.figures, **record.final, **more}
    return {name: value for name, value in figures.items() if name not in OF_EVERY_RUN}


def _curve_rows(evidence: StudyRuns) -> Iterator[Row]:
    for slot, policy in _places(evidence):
        run = evidence.runs.get(slot.run)
        if run is None:
            continue
        of_run = {"run": run.key, "status": run.status, "diverged_at": run.diverged_at}
        lrs = lrs_of(run, reactive_is_known=not slot.variant) if run.scores else None
        for score in run.scores:
            lr = None if lrs is None or not score.step else float(lrs[score.step - 1])
            yield {**_place(slot, policy), **vars(score), "lr": lr, **of_run}
        if run.status == "diverged" and (not run.scores or run.scores[-1].step != run.diverged_at):
            yield {**_place(slot, policy), "step": run.diverged_at, **of_run}


def lrs_of(run: StoredRun, *, reactive_is_known: bool) -> NDArray[Any] | None:
    """Compute the LRs of a run's iterations; None where its function is not registered here.

    Those of a reactive policy follow from the run's own evaluations, unless a modifier stored others; without any
    evaluation none is known.
    """
    if not run.scores:
        return None
    try:
        policy = parse(run.policy)
        if policy.reacts and not reactive_is_known:
            return None
        return policy.lrs(0, run.scores[-1].step, [(score.step, score.val_score) for score in run.scores])
    except PolicyError:
        return None


def _places(evidence: StudyRuns) -> Iterable[tuple[StudySlot, str]]:
    """List the slots of a study in the order of its tables, each with the text of its policy."""
    texts = {policy.name: policy.policy for policy in evidence.record.policies}
    order = {name: place for place, name in enumerate(texts)}

    def key(slot: StudySlot) -> tuple[object, ...]:
        return slot.task, slot.stage != "main", slot.stage, order[slot.policy], slot.variant, slot.scale, slot.seed

    return [(slot, texts[slot.policy]) for slot in sorted(evidence.slots, key=key)]


def _place(slot: StudySlot, policy: str) -> Row:
    values = (slot.task, slot.stage, slot.policy, policy, slot.variant, slot.scale, slot.seed)
    return dict(zip(PLACE, values, strict=True))


def _lossless(rows: Sequence[Row], columns: list[str] | None = None) -> pandas.DataFrame:
    """Make a table whose whole numbers stay so beside missing ones, where pandas would make floats of them."""
    import pandas as pd

    table = pd.DataFrame(rows, columns=columns)
    for name in map(str, table):
        known = [row[name] for row in rows if row.get(name) is not None]
        if len(known) < len(rows) and known and all(type(value) is int for value in known):
            table[name] = pd.Series([row.get(name) for row in rows], dtype=object)
    return table
