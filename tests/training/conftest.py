"""The fixtures of small studies and of a trainer, for the tests of this folder."""

from tests.small_search import trainer
from tests.small_study import location, sql, store, study, task

__all__ = ["location", "sql", "store", "study", "task", "trainer"]
