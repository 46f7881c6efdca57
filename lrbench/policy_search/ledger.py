"""The proposals of a search, stored before they are trained, so that none is made twice.

How each policy did is not stored: it is read off the runs of the studies that belong to the search's record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from lrbench.errors import StudyError
from lrbench.store import Proposal, SearchRecord, StudyRecord

if TYPE_CHECKING:
    from lrbench.policy_search.search import Search
    from lrbench.store import Store, StudyEntry

RANGE_TEST, CONFIRMATION = -2, -1
"""The numbers that stand for the range test before the first batch and for the confirmation of the finalists."""


class StoredLedger(NamedTuple):
    """The record of a search in a store, and the studies that were trained for it, latest first."""

    entry: StudyEntry
    record: SearchRecord
    studies: tuple[StudyEntry, ...]


def read_ledger(name: str, store: Store) -> StoredLedger | None:
    """Read a search's record and its studies; None where the store has no search of that name."""
    listed = store.studies()
    for entry in listed:
        if entry.kind == "search" and entry.name == name:
            record, _ = store.study(entry.id)
            assert record.search is not None
            return StoredLedger(entry, record.search, tuple(one for one in listed if one.parent == entry.id))
    return None


def read_history(search: Search, store: Store) -> SearchRecord:
    """Read a search's record, an empty one where the store has none.

    Raises:
        StudyError: a search of that name was begun with another task, space, sampler or seeds.
    """
    known = read_ledger(search.name, store)
    return _checked(search, None if known is None else known.record, store)


def write_asked(search: Search, asked: Sequence[Proposal], store: Store) -> SearchRecord:
    """Store all proposals of a search, and return its record.

    Of two processes that run the same search, the one that is behind takes over the proposals of the other.
    """

    def longer(known: SearchRecord) -> SearchRecord:
        return known if len(known.asked) >= len(asked) else known.model_copy(update={"asked": tuple(asked)})

    return _revised(search, store, longer)


def write_training(search: Search, batch: int, steps: int, store: Store) -> SearchRecord:
    """Add to the iterations that were trained for a batch, and return the record."""

    def counted(known: SearchRecord) -> SearchRecord:
        trained = {**known.trained, batch: known.trained.get(batch, 0) + steps}
        return known.model_copy(update={"trained": trained})

    return _revised(search, store, counted)


def _revised(search: Search, store: Store, change: Callable[[SearchRecord], SearchRecord]) -> SearchRecord:
    """Change a search's record in one transaction, so that nothing is lost that another process writes."""

    def revise(known: StudyRecord | None) -> StudyRecord:
        record = change(_checked(search, None if known is None else known.search, store))
        assert search.margin is not None
        return StudyRecord(margin=search.margin, target=search.target, variants=(), search=record)

    revised = store.revise_search(search.name, revise).search
    assert revised is not None
    return revised


def _checked(search: Search, known: SearchRecord | None, store: Store) -> SearchRecord:
    wanted = search.identity()
    if known is None:
        return SearchRecord(identity=wanted)
    different = [name for name, value in wanted.items() if known.identity.get(name) != value]
    if different:
        raise StudyError(
            f"the store {store.name} has a search '{search.name}' with another {' and '.join(different)}: "
            "give this search another name, or go on with that one as it was"
        )
    return known
