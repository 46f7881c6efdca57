"""`lrbench watch`: follow a study that another process trains."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import typer

from lrbench.cli.errors import say_error, session_of
from lrbench.cli.options import By, OutputOptions, StoredStudy, StoreOptions, load_plugins, study_name, with_groups
from lrbench.cli.output import console_for, print_json, print_readable

if TYPE_CHECKING:
    from lrbench.progress import Display
    from lrbench.store import Store
    from lrbench.study.progress import StudyProgress

SECONDS_BETWEEN_LOOKS = 1.0

MOST_OF_THE_TIME = 0.2
"""The largest share of the time in which the ranking is computed again."""


@with_groups
def watch(
    context: typer.Context,
    study: StoredStudy,
    *,
    by: By = None,
    options: StoreOptions,
    output: OutputOptions,
) -> None:
    """Follow a study that another process trains, with its live ranking, until it ends.

    Of a search, the part that is trained is shown. Nothing is trained or written.

    \b
    Examples:
      lrbench watch quickstart
      lrbench watch quickstart --json > ranking.json
    """
    session = session_of(context)
    load_plugins(options.plugin)
    with options.opened() as store:
        from lrbench.progress import display_on
        from lrbench.study.results import results

        with display_on(console_for(sys.stderr, session)) as display:
            last = _shown(study_name(study), store, by or (), display)
        answer = results(last.entry.id, store, by or ())
    if output.json:
        print_json(answer.to_json() | last.to_json())
    else:
        print_readable(answer, session)
    if not last.is_over:
        say_error(f"Nothing trains {last.name} now, and {last.runs} have ended.")


def _shown(name: str, store: Store, by: Sequence[str], display: Display) -> StudyProgress:
    """Show a study until it ends, and return how far it is then."""
    from lrbench.progress import Stage, leader
    from lrbench.study.progress import leaders
    from lrbench.study.results import results

    stage, began = Stage(""), time.monotonic()
    ranked, busy = -1, 0.0
    for one in looks(name, store):
        if one.name != stage.name:
            done = one.distinct - one.distinct_left
            stage, ranked = Stage(one.name, one.total, one.ended, one.distinct, done, done), -1
            display.begin(stage, f"{one.name}: {one.runs} have ended")
        stage.runs, stage.runs_ended = one.total, one.ended
        stage.total, stage.done = one.distinct, one.distinct - one.distinct_left
        now = time.monotonic()
        if one.ended != ranked and busy <= MOST_OF_THE_TIME * (now - began):
            answer, ranked = results(one.entry.id, store, by), one.ended
            stage.leader = "; ".join(leader(first, score) for _, first, score in leaders(answer))
            display.rank(answer)
            busy += time.monotonic() - now
        display.update(stage)
    return one


def looks(name: str, store: Store) -> Iterator[StudyProgress]:
    """Look at a study every second until it is over, or no coordinator trains it.

    One that holds no run may be about to: its workers start, or its search asks for policies.
    """
    from lrbench.study.progress import StudyProgress, followed, shared_prefixes

    shared: dict[int, Mapping[tuple[str, str], int]] = {}
    while True:
        alive = store.coordinators()
        entry = followed(name, store)
        record, slots = store.study(entry.id)
        if entry.id not in shared:
            shared[entry.id] = shared_prefixes(record)
        one = StudyProgress.counted(entry, record, slots, store.progress(entry.id), alive, shared[entry.id])
        yield one
        if (one.is_over and entry.parent is None) or not (one.coordinators or one.idle):
            return
        time.sleep(SECONDS_BETWEEN_LOOKS)
