"""Finding a good policy for a task: where the LR lives, a search that spends steps where they pay, evidence, proof."""

from lrbench.search.api import range_test
from lrbench.search.lr_range import Estimate, RangeTest

__all__ = ["Estimate", "RangeTest", "range_test"]
