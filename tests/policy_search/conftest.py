"""The fixtures of small searches, for the tests of this folder."""

from tests.small_search import lab, lasting_lab, make, task

__all__ = ["lab", "lasting_lab", "make", "task"]
