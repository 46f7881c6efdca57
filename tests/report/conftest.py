from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from lrbench.report.frames import Frames, study_frames
from lrbench.store import Store, open_store
from tests.browser import browser
from tests.report.made_studies import FIVE, SCORES, Outcome, Place, SearchState, same_everywhere, write_study

__all__ = ["browser"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "runs.db") as opened:
        yield opened


@pytest.fixture
def study(store: Store) -> Callable[..., Frames]:
    """The tables of a study whose runs came to what a function says; what else it asks for is as in `write_study`."""

    def make(policies: Mapping[str, str], outcome: SearchState, *, name: str = "a-study", **asked: Any) -> Frames:
        write_study(store, policies, outcome, name, **asked)
        return study_frames(name, store)

    return make


@pytest.fixture(scope="session")
def five(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    """Three policies that are as good as each other, a worse one, and one that diverges."""
    with open_store(tmp_path_factory.mktemp("five") / "runs.db") as store:
        write_study(store, FIVE, same_everywhere(SCORES))
        return study_frames("a-study", store)


@pytest.fixture(scope="session")
def two_thousand(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    """As many policies, a grid over two parameters."""
    grid = [f"STEP(k0={k0 / 100}, gamma=0.1, l={length})" for k0 in range(1, 41) for length in range(10, 60)]

    def outcome(place: Place) -> Outcome:
        place_in_grid = grid.index(place.name)
        return None if place_in_grid > 1900 else 0.3 + place_in_grid / 5000 + 0.003 * (place.seed - 0.5)

    with open_store(tmp_path_factory.mktemp("many") / "runs.db") as store:
        write_study(store, {text: text for text in grid}, outcome, seeds=(0, 1))
        return study_frames("a-study", store)
