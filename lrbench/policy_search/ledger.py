"""What a search asked for, in the store: written down before it is trained, so that nothing is ever asked twice.

The list of questions is a study of its own beside the studies that train them, without runs. How each question was
answered is not written down: it is read off the runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lrbench.errors import StudyError
from lrbench.study.study import LEDGER

if TYPE_CHECKING:
    from lrbench.policy_search.search import Search
    from lrbench.store import Store


RANGE_TEST, CONFIRMATION = -2, -1
"""Where a batch has its number, the range test before the first and the confirmation of the winner have these."""


@dataclass(frozen=True)
class Asked:
    """A policy that a search asked for.

    Attributes:
        batch: the number of the batch that it belongs to, from 0.
        phase: 1, or 2 for a policy that goes on from a first stage of the search.
        policy: its text.
        params: what the sampler chose, by dimension.
        notes: whole numbers that the sampler keeps with it.
    """

    batch: int
    phase: int
    policy: str
    params: Mapping[str, Any]
    notes: Mapping[str, int]


@dataclass(frozen=True)
class History:
    """The policies that a search asked for, oldest first.

    Attributes:
        trained: by batch, how many iterations its training took, as far as they were counted: what a killed process
            had trained of a batch is not among them.
    """

    asked: tuple[Asked, ...] = ()
    trained: Mapping[int, int] = field(default_factory=dict)

    @property
    def batches(self) -> int:
        """How many batches were asked for."""
        return self.asked[-1].batch + 1 if self.asked else 0


def ledger_name(search: str) -> str:
    """The name under which the store has the questions of a search."""
    return search + LEDGER


def searches_of(names: Iterable[str]) -> list[str]:
    """The searches of a store, by the names of all of its studies."""
    return [name.removesuffix(LEDGER) for name in names if name.endswith(LEDGER)]


def read_history(search: Search, store: Store) -> History:
    """What the store knows of a search; an empty history where it knows none.

    Raises:
        StudyError: a search of that name was begun with another task, space, sampler or seeds.
    """
    name = ledger_name(search.name)
    return _history(search, store.study(name)[0] if name in store.study_names() else None, store)


def write_asked(search: Search, asked: Sequence[Asked], store: Store) -> History:
    """Write down all that a search has asked for, and return what the store then has.

    Of two processes that run the same search the one that is behind takes over what the other has asked for.
    """
    return _revised(
        search, store, lambda known: known if len(known.asked) >= len(asked) else replace(known, asked=tuple(asked))
    )


def write_training(search: Search, batch: int, steps: int, store: Store) -> History:
    """Add to the iterations that a batch took, and return what the store then has."""

    def counted(known: History) -> History:
        return replace(known, trained={**known.trained, batch: known.trained.get(batch, 0) + steps})

    return _revised(search, store, counted)


def _revised(search: Search, store: Store, change: Callable[[History], History]) -> History:
    """Change what the store knows of a search, so that nothing is lost of what another process writes meanwhile."""

    def revise(definition: dict[str, Any] | None) -> dict[str, Any]:
        return _definition(search, change(_history(search, definition, store)))

    return _history(search, store.revise_study(ledger_name(search.name), revise), store)


def _history(search: Search, definition: Mapping[str, Any] | None, store: Store) -> History:
    if definition is None:
        return History()
    begun, wanted = definition["search"], search.identity()
    different = [name for name, value in wanted.items() if begun.get(name) != value]
    if different:
        raise StudyError(
            f"the store {store.name} has a search '{search.name}' with another {' and '.join(different)}: "
            "give this search another name, or go on with that one as it was"
        )
    return History(read_asked(definition), {int(batch): steps for batch, steps in definition["trained"].items()})


def read_asked(definition: Mapping[str, Any]) -> tuple[Asked, ...]:
    """The policies that a search asked for, from what the store has of it."""
    return tuple(Asked(**one) for one in definition["asked"])


def _definition(search: Search, history: History) -> dict[str, Any]:
    return {
        "search": search.identity(),
        "asked": [asdict(one) for one in history.asked],
        "trained": dict(history.trained),
        "margin": search.margin,
        "target": search.target,
        "confirm": 0,
        "base_lr_scales": [],
        "seeds": [],
        "entries": [],
        "treatments": [],
        "tasks": [],
    }
