"""The fixtures of small studies, for the tests of this folder."""

from tests.small_study import location, sql, store, study, task

__all__ = ["location", "sql", "store", "study", "task"]
