"""The search of policy space: proposals by Optuna, rungs of rising budgets, finalists on fresh seeds."""

from lrbench.policy_search.domain import Between, OneOf
from lrbench.policy_search.file import load_search
from lrbench.policy_search.loop import SearchResult
from lrbench.policy_search.rungs import Trial
from lrbench.policy_search.search import Search
from lrbench.policy_search.space import Space, function_names

__all__ = ["Between", "OneOf", "Search", "SearchResult", "Space", "Trial", "function_names", "load_search"]
