"""The fixtures of small studies, for the tests of this folder."""

from tests.small_study import study, task

__all__ = ["study", "task"]
