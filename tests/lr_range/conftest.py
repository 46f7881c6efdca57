"""The fixtures of small searches, for the tests of this folder."""

from tests.small_search import lasting_trainer, make, task, trainer

__all__ = ["lasting_trainer", "make", "task", "trainer"]
