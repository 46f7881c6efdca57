"""The registered datasets."""

from lrbench.tasks.datasets import mnist1d as _mnist1d

__all__: list[str] = []

del _mnist1d
