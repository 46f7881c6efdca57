"""What a search asked for, in the store: written down before it is trained, so that nothing is ever asked twice.

How each policy did is not written down: it is read off the runs of the studies that belong to the search's record.
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
"""Where a batch has its number, the range test before the first and the confirmation of the winner have these."""


class StoredLedger(NamedTuple):
    """The record of a search in a store, and the studies that were trained for it, the one that was run last first."""

    entry: StudyEntry
    record: SearchRecord
    studies: tuple[StudyEntry, ...]


def search_names(store: Store) -> list[str]:
    """The names of the searches of a store."""
    return sorted(entry.name for entry in store.studies() if entry.kind == "search")


def read_ledger(name: str, store: Store) -> StoredLedger | None:
    """Read what a store has of a search; None where it has no search of that name."""
    listed = store.studies()
    entry = next((one for one in listed if one.kind == "search" and one.name == name), None)
    if entry is None:
        return None
    record, _ = store.study(entry.id)
    assert record.search is not None
    return StoredLedger(entry, record.search, tuple(one for one in listed if one.parent == entry.id))


def ledger_id(search: Search, store: Store) -> int | None:
    """The id of a search's record in a store, to which its studies belong; None where nothing was asked yet."""
    return next((one.id for one in store.studies() if one.kind == "search" and one.name == search.name), None)


def read_history(search: Search, store: Store) -> SearchRecord:
    """Read what the store knows of a search; nothing was asked where it knows none.

    Raises:
        StudyError: a search of that name was begun with another task, space, sampler or seeds.
    """
    known = read_ledger(search.name, store)
    return _checked(search, None if known is None else known.record, store)


def write_asked(search: Search, asked: Sequence[Proposal], store: Store) -> SearchRecord:
    """Write down all that a search has asked for, and return what the store then has.

    Of two processes that run the same search the one that is behind takes over what the other has asked for.
    """

    def longer(known: SearchRecord) -> SearchRecord:
        return known if len(known.asked) >= len(asked) else known.model_copy(update={"asked": tuple(asked)})

    return _revised(search, store, longer)


def write_training(search: Search, batch: int, steps: int, store: Store) -> SearchRecord:
    """Add to the iterations that a batch took, and return what the store then has."""

    def counted(known: SearchRecord) -> SearchRecord:
        trained = {**known.trained, batch: known.trained.get(batch, 0) + steps}
        return known.model_copy(update={"trained": trained})

    return _revised(search, store, counted)


def _revised(search: Search, store: Store, change: Callable[[SearchRecord], SearchRecord]) -> SearchRecord:
    """Change what the store knows of a search, so that nothing is lost of what another process writes meanwhile."""

    def revise(known: StudyRecord | None) -> StudyRecord:
        record = change(_checked(search, None if known is None else known.search, store))
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
