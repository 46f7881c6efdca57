"""Which learning-rate policy should I train with, which should I avoid, and how sure are we?

The names below are loaded when they are first used, so that `import lrbench` costs nothing; so are the packages with
the rest: `lrbench.policy.TRI`, `lrbench.tasks.AdamW`, `lrbench.modifiers.EMA`, `lrbench.metrics`, `lrbench.report`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrbench.lazy_names import lazy_names
from lrbench.version import __version__

if TYPE_CHECKING:
    from lrbench import metrics, modifiers, policy, report, tasks
    from lrbench.api import Lab, Outcome, compare, range_test, recommend, run, score, search, verify
    from lrbench.errors import LRBenchError
    from lrbench.metrics import Scorecard
    from lrbench.policy import Policy, PolicyLR, catalog, parse
    from lrbench.policy_search import Between, OneOf, Search, Space
    from lrbench.store import Store, open_store
    from lrbench.study.study import Study, StudyPolicy
    from lrbench.tasks import Data, Metric, Task, load_task

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "lrbench.api": ("Lab", "Outcome", "compare", "range_test", "recommend", "run", "score", "search", "verify"),
        "lrbench.errors": ("LRBenchError",),
        "lrbench.metrics": ("Scorecard",),
        "lrbench.policy_search": ("Between", "OneOf", "Search", "Space"),
        "lrbench.policy": ("Policy", "PolicyLR", "catalog", "parse"),
        "lrbench.store": ("Store", "open_store"),
        "lrbench.study.study": ("StudyPolicy", "Study"),
        "lrbench.tasks": ("Data", "Metric", "Task", "load_task"),
    },
    modules=("metrics", "modifiers", "policy", "report", "tasks"),
)

__all__ = [
    "Between",
    "Data",
    "LRBenchError",
    "Lab",
    "Metric",
    "OneOf",
    "Outcome",
    "Policy",
    "PolicyLR",
    "Scorecard",
    "Search",
    "Space",
    "Store",
    "Study",
    "StudyPolicy",
    "Task",
    "__version__",
    "catalog",
    "compare",
    "load_task",
    "metrics",
    "modifiers",
    "open_store",
    "parse",
    "policy",
    "range_test",
    "recommend",
    "report",
    "run",
    "score",
    "search",
    "tasks",
    "verify",
]
