"""A study's runs as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrbench.study.results import Evidence

if TYPE_CHECKING:
    import pandas

    from lrbench.study.store import Member, Store


def export(study: str, store: Store) -> pandas.DataFrame:
    """A row for each run that a study asks for, sorted by task, stage, policy, modifier, base-LR scale and seed.

    Columns: `task, stage, name, policy, modifier, scale, seed, status` ("missing" for a run that was not begun),
    `step`, `diverged_at`, `seconds`, `flops`, the metrics of a finished run, and the provenance of each number.

    Raises:
        StoreError: the store has no study of that name, or cannot be read.
    """
    return runs_table(Evidence.of(study, store))


def runs_table(evidence: Evidence) -> pandas.DataFrame:
    """The table that `export` makes, of a study that was read already."""
    import pandas as pd

    texts = {entry["name"]: entry["policy"] for entry in evidence.definition["entries"]}
    order = {name: place for place, name in enumerate(texts)}

    def place_in_table(member: Member) -> tuple[object, ...]:
        first = (member.task, member.stage != "main", member.stage, order[member.entry])
        return (*first, member.treatment, member.scale, member.seed)

    rows = []
    for member in sorted(evidence.members, key=place_in_table):
        place = {
            "task": member.task,
            "stage": member.stage,
            "name": member.entry,
            "policy": texts[member.entry],
            "modifier": member.treatment,
            "scale": member.scale,
            "seed": member.seed,
        }
        run = evidence.runs.get(member.run)
        if run is None:
            rows.append({**place, "status": "missing"})
            continue
        metrics = {name: value for name, value in (run.final or {}).items() if not isinstance(value, list | dict)}
        rows.append(
            {
                **place,
                "status": run.status,
                "step": run.step,
                "diverged_at": run.diverged_at,
                "seconds": run.seconds,
                "flops": run.flops,
                **metrics,
                **run.provenance,
                "run": run.key,
            }
        )
    return pd.DataFrame(rows)
