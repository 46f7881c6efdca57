"""The migrations of older schemas, each a function to the next version.

A migration is written for the tables of its own time, and does not change when later versions change them again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

import sqlalchemy as sa


def add_leases(connection: sa.Connection) -> None:
    """Migrate from 1 to 2: add `coordinators` and `leases`."""
    seconds = "DOUBLE" if connection.dialect.name == "sqlite" else "DOUBLE PRECISION"
    for statement in (
        "CREATE TABLE coordinators (owner VARCHAR(32) NOT NULL PRIMARY KEY, place TEXT NOT NULL, "
        f"process BIGINT NOT NULL, expires {seconds} NOT NULL)",
        "CREATE TABLE leases (run VARCHAR(32) NOT NULL PRIMARY KEY, owner VARCHAR(32) NOT NULL)",
        "CREATE INDEX ix_leases_owner ON leases (owner)",
    ):
        connection.exec_driver_sql(statement)


def allow_unknown_scores(connection: sa.Connection) -> None:
    """Migrate from 2 to 3: an evaluation's scores and its test loss may be unknown.

    SQLite cannot drop a column's constraint, so that its table is made anew; no other table refers to it.
    """
    if connection.dialect.name != "sqlite":
        for column in ("val_score", "test_loss", "test_score"):
            connection.exec_driver_sql(f"ALTER TABLE evaluations ALTER COLUMN {column} DROP NOT NULL")
        return
    for statement in (
        "ALTER TABLE evaluations RENAME TO evaluations_of_2",
        "CREATE TABLE evaluations (run VARCHAR(32) NOT NULL, step BIGINT NOT NULL, train_loss DOUBLE NOT NULL, "
        "val_loss DOUBLE NOT NULL, val_score DOUBLE, test_loss DOUBLE, test_score DOUBLE, "
        'PRIMARY KEY (run, step), FOREIGN KEY(run) REFERENCES runs ("key"))',
        "INSERT INTO evaluations SELECT run, step, train_loss, val_loss, val_score, test_loss, test_score "
        "FROM evaluations_of_2",
        "DROP TABLE evaluations_of_2",
    ):
        connection.exec_driver_sql(statement)


def give_studies_kinds(connection: sa.Connection) -> None:
    """Migrate from 3 to 4: studies have a kind, a parent, versions and slots, and runs know if they are exact.

    Up to 3, the kind of a study is a part of its name.
    """
    in_sqlite = connection.dialect.name == "sqlite"
    key, double = ("INTEGER NOT NULL", "DOUBLE") if in_sqlite else ("SERIAL", "DOUBLE PRECISION")
    for statement in (
        "ALTER TABLE runs ADD COLUMN exact BOOLEAN NOT NULL DEFAULT TRUE",
        "ALTER TABLE studies RENAME TO studies_of_3",
        f"CREATE TABLE studies (id {key}, kind TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, "
        "parent INTEGER, fingerprint VARCHAR(32) NOT NULL, last_run BIGINT NOT NULL, definition TEXT NOT NULL, "
        "PRIMARY KEY (id), FOREIGN KEY(parent) REFERENCES studies (id))",
        "CREATE INDEX ix_studies_name ON studies (name)",
        "CREATE TABLE slots (study INTEGER NOT NULL, task TEXT NOT NULL, stage TEXT NOT NULL, policy TEXT NOT NULL, "
        f"variant TEXT NOT NULL, scale {double} NOT NULL, seed BIGINT NOT NULL, run VARCHAR(32) NOT NULL, "
        "PRIMARY KEY (study, task, stage, policy, variant, scale, seed), FOREIGN KEY(study) REFERENCES studies (id))",
        "CREATE INDEX ix_slots_run ON slots (run)",
    ):
        connection.exec_driver_sql(statement)
    stacked = sa.text("UPDATE runs SET exact = FALSE WHERE provenance LIKE :mark")
    connection.execute(stacked, {"mark": '%"engine": "stacked"%'})
    rows = connection.execute(sa.text("SELECT name, definition FROM studies_of_3 ORDER BY name"))
    definitions = {row.name: json.loads(row.definition) for row in rows}
    searches = [name.removesuffix(_LEDGER) for name in definitions if name.endswith(_LEDGER)]
    ids: dict[str, int] = {}
    for name in sorted(definitions, key=lambda name: not name.endswith(_LEDGER)):
        kind, parent, new_name = _kind_of_3(name, definitions[name], searches)
        definition = json.dumps(_definition_of_4(definitions[name]))
        row = {
            "kind": kind,
            "name": new_name,
            "version": 2 if kind == "rung" and new_name == parent else 1,
            "parent": None if parent is None else ids[parent + _LEDGER],
            "fingerprint": blake2b(definition.encode(), digest_size=16).hexdigest(),
            "last_run": len(ids) + 1,
            "definition": definition,
        }
        insert = sa.text(
            "INSERT INTO studies (kind, name, version, parent, fingerprint, last_run, definition) "
            "VALUES (:kind, :name, :version, :parent, :fingerprint, :last_run, :definition) RETURNING id"
        )
        ids[name] = connection.execute(insert, row).scalar_one()
        connection.execute(
            sa.text(
                "INSERT INTO slots SELECT :id, task, stage, entry, treatment, scale, seed, run FROM members "
                "WHERE study = :name"
            ),
            {"id": ids[name], "name": name},
        )
    connection.exec_driver_sql("DROP TABLE members")
    connection.exec_driver_sql("DROP TABLE studies_of_3")


def tell_evaluating_from_training(connection: sa.Connection) -> None:
    """Migrate from 4 to 5: runs have the time of their evaluations, unknown where `seconds` includes it."""
    double = "DOUBLE" if connection.dialect.name == "sqlite" else "DOUBLE PRECISION"
    connection.exec_driver_sql(f"ALTER TABLE runs ADD COLUMN evaluating {double}")


_LEDGER = ": what was asked"


def _kind_of_3(name: str, definition: Mapping[str, Any], searches: list[str]) -> tuple[str, str | None, str]:
    """Return a study's kind, the search that it belongs to, and its name in schema 4."""
    if name.endswith(_LEDGER):
        return "search", None, name.removesuffix(_LEDGER)
    for search in searches:
        if re.fullmatch(re.escape(search) + r"( at \d+ iterations)?", name):
            return "rung", search, name
        if name == f"{search}: confirmed":
            return "confirmation", search, name
    entries, tasks = definition.get("entries", []), definition.get("tasks", [])
    if len(tasks) == 1 and entries:
        policy, task = entries[0]["policy"], tasks[0]
        budget = f"{task['name']}, {task['steps']}"
        sweeps = [f"{sweep} sweep of {budget} steps" for sweep in ("exponential", "linear")]
        if name in (f"range test of {budget} steps", *sweeps):
            return "range_test", None, name
        if name == f"score {policy} on {task['name']}":
            return "score", None, f"{name}, {task['steps']} iterations"
        if name == f"verify {policy} on {budget} iterations":
            return "verify", None, name
    return "study", None, name


def _definition_of_4(definition: Mapping[str, Any]) -> dict[str, Any]:
    renamed = {"entries": "policies", "treatments": "variants"}
    ledger = ("search", "asked", "trained")
    rest = {renamed.get(key, key): value for key, value in definition.items() if key not in ledger}
    if "search" not in definition:
        return rest
    asked = {"identity": definition["search"], "asked": definition["asked"], "trained": definition["trained"]}
    return {**rest, "search": asked}


MIGRATIONS: dict[int, Callable[[sa.Connection], None]] = {
    1: add_leases,
    2: allow_unknown_scores,
    3: give_studies_kinds,
    4: tell_evaluating_from_training,
}
"""The migrations by the version that they start from."""
