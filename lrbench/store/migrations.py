"""How the tables of an older schema become those of the next one, a function a version.

Each is written for the tables of its own time, and stays as it is when later versions change them again.
"""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa


def add_leases(connection: sa.Connection) -> None:
    """From 1 to 2: `coordinators` and `leases`."""
    seconds = "DOUBLE" if connection.dialect.name == "sqlite" else "DOUBLE PRECISION"
    for statement in (
        "CREATE TABLE coordinators (owner VARCHAR(32) NOT NULL PRIMARY KEY, place TEXT NOT NULL, "
        f"process BIGINT NOT NULL, expires {seconds} NOT NULL)",
        "CREATE TABLE leases (run VARCHAR(32) NOT NULL PRIMARY KEY, owner VARCHAR(32) NOT NULL)",
        "CREATE INDEX ix_leases_owner ON leases (owner)",
    ):
        connection.exec_driver_sql(statement)


def allow_unknown_scores(connection: sa.Connection) -> None:
    """From 2 to 3: an evaluation's scores and its test loss may be unknown.

    SQLite cannot take a constraint off a column, so that its table is made anew; no other table refers to it.
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


MIGRATIONS: dict[int, Callable[[sa.Connection], None]] = {1: add_leases, 2: allow_unknown_scores}
"""By the version that it starts from, what leads to the next one."""
