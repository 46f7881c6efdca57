"""The store: every result of training, appended once, in one transaction a segment.

Rankings, verdicts and plots are computed from it and are never stored. Runs are identified by their key alone
(`PlannedRun.key`), so that a run serves every study that asks for it; a study is a list of runs. A coordinator holds a
lease on the runs that it writes, so that several of them can share a store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrbench.lazy_names import lazy_names

if TYPE_CHECKING:
    from lrbench.store.lease import Lease as Lease
    from lrbench.store.merge import Merged as Merged
    from lrbench.store.open import open_store as open_store
    from lrbench.store.open import store_exists as store_exists
    from lrbench.store.records import ENDED as ENDED
    from lrbench.store.records import Coordinator as Coordinator
    from lrbench.store.records import Holder as Holder
    from lrbench.store.records import Kind as Kind
    from lrbench.store.records import NewRun as NewRun
    from lrbench.store.records import PolicyRecord as PolicyRecord
    from lrbench.store.records import Proposal as Proposal
    from lrbench.store.records import RunProgress as RunProgress
    from lrbench.store.records import Score as Score
    from lrbench.store.records import SearchRecord as SearchRecord
    from lrbench.store.records import Segment as Segment
    from lrbench.store.records import SourceRecord as SourceRecord
    from lrbench.store.records import Status as Status
    from lrbench.store.records import StoredRun as StoredRun
    from lrbench.store.records import StudyEntry as StudyEntry
    from lrbench.store.records import StudyRecord as StudyRecord
    from lrbench.store.records import StudySlot as StudySlot
    from lrbench.store.records import StudyTotals as StudyTotals
    from lrbench.store.records import TaskRecord as TaskRecord
    from lrbench.store.store import Store as Store
    from lrbench.store.tables import SCHEMA_VERSION as SCHEMA_VERSION
else:
    __getattr__, __dir__, __all__ = lazy_names(__name__)
