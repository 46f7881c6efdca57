"""What the page shows of one task: a few policies by name at the top, and the data that its script draws from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lrbench.display.names import many
from lrbench.errors import PolicyError
from lrbench.metrics import METRICS, MetricDeclaration
from lrbench.metrics.confirmation import explained
from lrbench.metrics.statistics import NOTHING_KNOWN
from lrbench.modifiers.brief import brief_variant, variant_noun
from lrbench.policy import parse
from lrbench.policy.curve import rates_of
from lrbench.policy.torch_code import code_parts
from lrbench.report.frames import budget_of, objective_name, records
from lrbench.report.labels import row_labels
from lrbench.report.page.words import certainty, goal_value, headline, reading, spread
from lrbench.report.plots.lr_curves import simplified, stairs
from lrbench.report.plots.training_curves import band
from lrbench.study.effects_table import what_was_done

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from lrbench.metrics import Confirmation, Verdict
    from lrbench.metrics.goal import Criterion
    from lrbench.report.frames import Frames
    from lrbench.study.results import TaskResults

MOST_CURVES = 24
"""No more policies than this, the best ones, have their curves in the page."""

MOST_NAMED = 6
"""No more policies of a verdict than this are named in the answer; the table has all."""

NAME, ROW = 60, 34
"""How many characters a name has on one line of the answer, and in a row of the table."""

TO_TARGET = "steps_to_target"


def task_content(frames: Frames, number: int) -> dict[str, Any]:
    """Make the template's context for one task.

    Args:
        frames: of that task alone.
        number: which task of the study it is, from 0.
    """
    (task,), (results,) = frames.record.tasks, frames.results.tasks
    policies = frames.policies.assign(reason=[_reason(card.verdict) for card in results.scorecards])
    names, rows = (_names(policies, width) for width in (NAME, ROW))
    by = results.goals[0]
    groups = [_group(policies, verdict, names, by) for verdict in ("good", "undecided", "avoid")]
    return {
        "id": f"task-{number}",
        "name": task.name,
        "objective": objective_name(task.objective),
        "count": len(policies),
        "headline": headline(policies, names, results.confirmed, by),
        "groups": [group for group in groups if group["count"]],
        "certainty": certainty(policies, results, frames.record),
        "by": [] if len(results.goals) == 1 else _by_goal(results, names),
        "goals": [goal.name for goal in results.goals],
        "by_objective": by.of_objective(results.objective),
        "remarks": results.remarks,
        "confirmed": [_finalist(one) for one in results.confirmed],
        "about_confirmed": list(explained(results.confirmed)),
        "failures": [vars(failure) for failure in results.failures],
        "variant": variant_noun(effect.modifier for effect in results.effects),
        "variants": _variants(results),
        "claims": [] if len(results.goals) == 1 and by.of_objective(results.objective) else _claims(results),
        "drawn": min(len(policies), MOST_CURVES),
        "columns": [_column(metric) for metric in _columns(policies)],
        "reading": reading(policies),
        "data": _data(replace(frames, policies=policies), f"task-{number}", rows),
    }


def _names(policies: pd.DataFrame, width: int) -> dict[str, str]:
    """Name each policy on one line, however long it is."""
    return {label: " ".join(name.split()) for label, name in row_labels(policies, width).items()}


def _reason(verdict: Verdict | None) -> str:
    """Why a policy has its verdict, and with how many seeds it was first claimed."""
    if verdict is None:
        return ""
    return verdict.explanation + ("" if verdict.look is None else f", claimed with {many(verdict.look, 'seed')}")


def _by_goal(results: TaskResults, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """List the verdicts of each policy by goal."""
    return [
        {
            "label": names[card.name],
            "verdicts": [(card.verdicts[goal.name].label, _reason(card.verdicts[goal.name])) for goal in results.goals],
        }
        for card in results.scorecards
    ]


def _variants(results: TaskResults) -> list[dict[str, Any]]:
    """List for each modifier the policies by what it does to them, and whether that depends on the policy."""
    depends = {one.modifier: one for one in results.interactions}
    rows = []
    for modifier in dict.fromkeys(effect.modifier for effect in results.effects):
        effects = [effect for effect in results.effects if effect.modifier == modifier]
        seeds = effects[0].differences.get(f"test_{results.objective}", NOTHING_KNOWN).n
        row = {"modifier": brief_variant(modifier), "seeds": seeds, "p": ""}
        row["did"] = what_was_done(results.did.get(modifier, {}))
        if one := depends.get(modifier):
            row |= {"p": _p(one.p), "seeds": one.seeds}
        for verdict in ("helps", "hurts", "undecided"):
            row[verdict] = ", ".join(effect.policy for effect in effects if effect.verdict == verdict)
        rows.append(row)
    return rows


def _claims(results: TaskResults) -> list[dict[str, Any]]:
    """List for each modifier what is claimed by each goal, and of which policies."""
    rows = []
    for modifier in dict.fromkeys(effect.modifier for effect in results.effects):
        effects = [effect for effect in results.effects if effect.modifier == modifier]
        cells = []
        for goal in results.goals:
            by_verdict = {
                verdict: [effect.policy for effect in effects if effect.by_goal.get(goal.name) == verdict]
                for verdict in ("helps", "hurts", "no gain")
            }
            cells.append("; ".join(f"{verdict}: {', '.join(names)}" for verdict, names in by_verdict.items() if names))
        rows.append({"modifier": brief_variant(modifier), "by_goal": cells})
    return rows


def _group(policies: pd.DataFrame, verdict: str, names: Mapping[str, str], by: Criterion) -> dict[str, Any]:
    """Describe the policies of a verdict, best first; those that one might use can be copied."""
    rows = policies[policies["verdict"] == verdict]
    usable = "good" if (policies["verdict"] == "good").any() else "undecided"
    named = [
        {
            "index": int(row["place"]) - 1,
            "name": names[row["label"]],
            "policy": row["policy"],
            "value": "" if by.of_objective(row["objective"]) else goal_value(row, by),
            "val": spread(row, "val"),
            "test": spread(row, "test"),
            "reason": row["reason"],
            "seeds": row["seeds"],
        }
        for row in records(rows.head(MOST_NAMED))
    ]
    return {
        "verdict": verdict,
        "usable": verdict == usable,
        "count": len(rows),
        "named": named,
        "more": len(rows) - len(named),
    }


def _finalist(one: Confirmation) -> dict[str, str]:
    """A finalist on fresh seeds."""
    scores = {"val": one.card.val, "test": one.card.test, "chosen": one.simultaneous, "search": one.search}
    said = {name: f"{score}" for name, score in scores.items()}
    return {"label": one.card.name, "seeds": many(one.card.n, "fresh seed"), **said}


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _data(frames: Frames, identity: str, names: Mapping[str, str]) -> dict[str, Any]:
    """Collect what the page's script reads, as JSON."""
    policies = frames.policies
    (task,) = frames.record.tasks
    columns = _columns(policies)
    codes: dict[tuple[str, str], int] = {}
    runs = _runs(frames.runs)
    rows = [
        {
            **{name: row[name] for name in ("place", "label", "policy", "verdict", "reason", "seeds")},
            "name": names[row["label"]],
            "code": _code(row["policy"], row["modifier"], codes),
            "val": _triple(row, "val"),
            "test": _triple(row, "test"),
            "figures": [_number(row[metric.name]) for metric in columns],
            "reached": _reached(row),
            "runs": runs.get(row["label"], []),
        }
        for row in records(policies)
    ]
    return {
        "id": identity,
        "objective": objective_name(task.objective),
        "better": -1 if task.better == "lower" else 1,
        "columns": [_column(metric) for metric in columns],
        "codes": [list(pair) for pair in codes],
        "rows": rows,
        "curves": curves_of(frames, names),
    }


def _columns(policies: pd.DataFrame) -> list[MetricDeclaration]:
    """List the metrics that the study has values of; that to the target also where some seeds reached it."""
    seen = {name for name in METRICS if name in policies and policies[name].notna().any()}
    if policies["reached"].notna().any():
        seen.add(TO_TARGET)
    return [metric for name, metric in METRICS.items() if metric.column and name in seen]


def _column(metric: MetricDeclaration) -> dict[str, Any]:
    better = {"higher": 1, "lower": -1, None: 0}[metric.better]
    return {"key": metric.name, "title": metric.title, "help": metric.help, "digits": metric.digits, "better": better}


def _reached(row: Mapping[str, Any]) -> str | None:
    """Say how many of a policy's seeds reached the target, where there is one and not all did."""
    if row["reached"] is None or row["steps_to_target"] is not None:
        return None
    return f"{row['reached']:.0f} of {row['seeds']}"


def _code(text: str, modifier: str, codes: dict[tuple[str, str], int]) -> list[Any] | None:
    """Place a policy's PyTorch code: which pair of beginning and end in `codes`, and the text between them.

    A modifier beside the policy is not in it, and it says so.
    """
    try:
        before, own, after = code_parts(parse(text))
    except PolicyError:
        return None
    if modifier:
        beside = f"the {variant_noun([modifier])} beside it, {modifier!r},"
        before = f"# This is the policy alone: {beside} is not in this code.\n{before}"
    return [codes.setdefault((before, after), len(codes)), own]


def _runs(table: pd.DataFrame) -> dict[str, list[list[Any]]]:
    """List the runs by label: stage, base-LR scale, seed, status, validation and test score, key."""
    columns = ["label", "stage", "scale", "seed", "status", "val_score", "test_score", "run"]
    found: dict[str, list[list[Any]]] = {}
    begun = table[table["run"].notna()]
    for label, *rest, val, test, key in zip(*(begun[name].astype(object) for name in columns), strict=True):
        found.setdefault(label, []).append([*rest, _rounded(val), _rounded(test), key])
    return found


def curves_of(frames: Frames, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return learning rate, score and loss of the best policies of one task against the iteration, as the page does."""
    best = frames.policies.head(MOST_CURVES)
    curves = frames.curves_of(set(best["label"]))
    rows = dict(iter(curves[curves["stage"] == "main"].groupby("label", sort=False)))
    return [
        {
            "name": names[row["label"]],
            "lr": _rates(row),
            "val": _band(rows.get(row["label"]), "val_score"),
            "loss": _band(rows.get(row["label"]), "val_loss"),
            "train_loss": _band(rows.get(row["label"]), "train_loss"),
        }
        for row in records(best)
    ]


def _rates(row: dict[str, Any]) -> dict[str, list[float]] | None:
    lrs = rates_of(row["policy"], budget_of(row))
    if lrs is None:
        return None
    x, y = simplified(stairs(lrs), float(len(lrs)), float(lrs.max()) or 1.0)
    return {"x": _list(x), "y": _list(y)}


def _band(rows: pd.DataFrame | None, column: str) -> dict[str, Any] | None:
    if rows is None:
        return None
    one = band(rows, column)
    return {"x": _list(one.step), "y": _list(one.mean), "low": _list(one.low), "high": _list(one.high), "cut": one.cut}


def _list(values: NDArray[np.float64]) -> list[float]:
    return [float(f"{value:.5g}") for value in values.tolist()]


def _triple(row: dict[str, Any], figure: str) -> list[float | None]:
    return [_number(row[f"{figure}{end}"]) for end in ("", "_low", "_high")]


def _rounded(value: Any) -> float | None:
    number = _number(value)
    return None if number is None else float(f"{number:.6g}")


def _number(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
