"""What a search asked for, in the store: written down before it is trained, so that nothing is ever asked twice.

The list of questions is a study of its own beside the studies that train them, without runs. How each question was
answered is not written down: it is read off the runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lrbench.errors import StudyError

if TYPE_CHECKING:
    from lrbench.search.question import Search
    from lrbench.study.store import Store


CONFIRMATION = -1
"""Where a batch has its number, the confirmation of the winner has this one."""


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

    def batch(self, number: int) -> tuple[Asked, ...]:
        """The policies of a batch."""
        return tuple(one for one in self.asked if one.batch == number)


def ledger_name(search: Search) -> str:
    """The name under which the store has the questions of a search."""
    return f"{search.name}: what was asked"


def read_history(search: Search, store: Store) -> History:
    """What the store knows of a search; an empty history where it knows none.

    Raises:
        StudyError: a search of that name was begun with another task, space, sampler or seeds.
    """
    if ledger_name(search) not in store.study_names():
        return History()
    definition, _ = store.study(ledger_name(search))
    begun, wanted = definition["search"], search.identity()
    different = [name for name, value in wanted.items() if begun.get(name) != value]
    if different:
        raise StudyError(
            f"the store {store.name} has a search '{search.name}' with another {' and '.join(different)}: "
            "give this search another name, or go on with that one as it was"
        )
    return History(
        tuple(Asked(**one) for one in definition["asked"]),
        {int(batch): steps for batch, steps in definition["trained"].items()},
    )


def write_asked(search: Search, asked: Sequence[Asked], store: Store) -> History:
    """Write down all that a search has asked for, and return what the store then has.

    Of two processes that run the same search the one that is behind takes over what the other has asked for.
    """
    known = read_history(search, store)
    if len(known.asked) >= len(asked):
        return known
    return _write(search, replace(known, asked=tuple(asked)), store)


def write_training(search: Search, batch: int, steps: int, store: Store) -> History:
    """Add to the iterations that a batch took, and return what the store then has."""
    known = read_history(search, store)
    return _write(search, replace(known, trained={**known.trained, batch: known.trained.get(batch, 0) + steps}), store)


def _write(search: Search, history: History, store: Store) -> History:
    definition = {
        "search": search.identity(),
        "asked": [asdict(one) for one in history.asked],
        "trained": history.trained,
        "margin": search.margin,
        "target": search.target,
        "confirm": 0,
        "base_lr_scales": [],
        "seeds": [],
        "entries": [],
        "treatments": [],
        "tasks": [],
    }
    store.save_study(ledger_name(search), definition, ())
    return history
