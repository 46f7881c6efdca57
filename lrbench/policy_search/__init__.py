"""Finding a good policy for a task: where the LR lives, a search that spends steps where they pay, evidence, proof.

import lrbench

lrbench.range_test("mnist1d-mlp")                 # the range of learning rates in which a task learns
lrbench.search("my_search.toml")                  # the best policy of a space, confirmed on fresh seeds
lrbench.recommend("mnist1d-mlp")                  # policies to begin with, and what that advice stands on
lrbench.verify("FIX(k0=0.1)", "mnist1d-mlp", target=0.5, budget=500)    # yes, no or undecided
"""

import sys
from types import ModuleType
from typing import Any

from lrbench.advice.recommend import Advice, Recommendation
from lrbench.advice.verify import Verification
from lrbench.lr_range.crossings import Estimate
from lrbench.lr_range.range_test import RangeTest
from lrbench.policy_search.api import range_test, recommend, search, verify
from lrbench.policy_search.domain import Between, OneOf
from lrbench.policy_search.file import load_search
from lrbench.policy_search.loop import Found, Tried
from lrbench.policy_search.search import Search
from lrbench.policy_search.space import Space, function_names

__all__ = [
    "Advice",
    "Between",
    "Estimate",
    "Found",
    "OneOf",
    "RangeTest",
    "Recommendation",
    "Search",
    "Space",
    "Tried",
    "Verification",
    "function_names",
    "load_search",
    "range_test",
    "recommend",
    "search",
    "verify",
]


class _Callable(ModuleType):
    """This package, which is also the function `lrbench.search(...)`: both go by one name."""

    def __call__(self, *arguments: Any, **options: Any) -> Found:
        return search(*arguments, **options)


sys.modules[__name__].__class__ = _Callable
