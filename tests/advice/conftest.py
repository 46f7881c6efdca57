"""The fixtures of small searches, for the tests of this folder."""

from tests.small_search import bench, lasting_bench, make, task

__all__ = ["bench", "lasting_bench", "make", "task"]
