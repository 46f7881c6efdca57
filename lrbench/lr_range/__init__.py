"""The range test: the range of constant learning rates in which a task learns, measured and read off."""

from lrbench.lr_range.crossings import Estimate
from lrbench.lr_range.range_test import RangeTest

__all__ = ["Estimate", "RangeTest"]
