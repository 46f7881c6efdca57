"""The search of policy space: proposals by Optuna, rungs of rising budgets, finalists on fresh seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrbench.lazy_names import lazy_names

if TYPE_CHECKING:
    from lrbench.policy_search.domain import Between as Between
    from lrbench.policy_search.domain import OneOf as OneOf
    from lrbench.policy_search.file import load_search as load_search
    from lrbench.policy_search.loop import SearchResult as SearchResult
    from lrbench.policy_search.rungs import Trial as Trial
    from lrbench.policy_search.search import Search as Search
    from lrbench.policy_search.space import Space as Space
    from lrbench.policy_search.space import function_names as function_names
else:
    __getattr__, __dir__, __all__ = lazy_names(__name__)
