"""The store: every result of training, appended once, in one transaction a segment.

Rankings, verdicts and plots are computed from it and are never stored. Runs are identified by their key alone
(`PlannedRun.key`), so that a run serves every study that asks for it; a study is a list of runs. A coordinator holds a
lease on the runs that it writes, so that several of them can share a store.
"""

from lrbench.store.lease import Lease
from lrbench.store.open import open_store, store_exists
from lrbench.store.records import (
    ENDED,
    Holder,
    Kind,
    NewRun,
    PolicyRecord,
    Proposal,
    Score,
    SearchRecord,
    Segment,
    Status,
    StoredRun,
    StudyEntry,
    StudyRecord,
    StudySlot,
    TaskRecord,
)
from lrbench.store.store import Store
from lrbench.store.tables import SCHEMA_VERSION

__all__ = [
    "ENDED",
    "SCHEMA_VERSION",
    "Holder",
    "Kind",
    "Lease",
    "NewRun",
    "PolicyRecord",
    "Proposal",
    "Score",
    "SearchRecord",
    "Segment",
    "Status",
    "Store",
    "StoredRun",
    "StudyEntry",
    "StudyRecord",
    "StudySlot",
    "TaskRecord",
    "open_store",
    "store_exists",
]
