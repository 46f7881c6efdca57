"""Which learning-rate policy should I train with, which should I avoid, and how sure are we?

The names below are loaded when they are first used, so that `import lrbench` costs nothing; so are the packages with
the rest: `lrbench.policy.TRI`, `lrbench.tasks.AdamW`, `lrbench.modifiers.EMA`, `lrbench.metrics`, `lrbench.report`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrbench.lazy_names import lazy_names
from lrbench.version import __version__ as __version__

if TYPE_CHECKING:
    from lrbench import metrics as metrics
    from lrbench import modifiers as modifiers
    from lrbench import policy as policy
    from lrbench import report as report
    from lrbench import tasks as tasks
    from lrbench.api import Lab as Lab
    from lrbench.api import Outcome as Outcome
    from lrbench.api import compare as compare
    from lrbench.api import horizons as horizons
    from lrbench.api import import_runs as import_runs
    from lrbench.api import range_test as range_test
    from lrbench.api import recommend as recommend
    from lrbench.api import run as run
    from lrbench.api import score as score
    from lrbench.api import search as search
    from lrbench.api import verify as verify
    from lrbench.errors import LRBenchError as LRBenchError
    from lrbench.imports.judge import judge as judge
    from lrbench.metrics import Scorecard as Scorecard
    from lrbench.policy import Policy as Policy
    from lrbench.policy import PolicyLR as PolicyLR
    from lrbench.policy import catalog as catalog
    from lrbench.policy import parse as parse
    from lrbench.policy_search import Between as Between
    from lrbench.policy_search import OneOf as OneOf
    from lrbench.policy_search import Search as Search
    from lrbench.policy_search import Space as Space
    from lrbench.schedule_check.check import check as check
    from lrbench.schedule_check.trace import trace as trace
    from lrbench.store import Store as Store
    from lrbench.store import open_store as open_store
    from lrbench.study.study import Study as Study
    from lrbench.study.study import StudyPolicy as StudyPolicy
    from lrbench.tasks import Data as Data
    from lrbench.tasks import Metric as Metric
    from lrbench.tasks import Task as Task
    from lrbench.tasks import TrainingRun as TrainingRun
    from lrbench.tasks import load_task as load_task
    from lrbench.tasks import trainable as trainable
    from lrbench.training.tracking import Tracking as Tracking
else:
    __getattr__, __dir__, __all__ = lazy_names(__name__)
