"""The fixtures of small studies and of a lab, for the tests of this folder."""

from tests.small_search import lab
from tests.small_study import location, sql, store, study, task

__all__ = ["lab", "location", "sql", "store", "study", "task"]
