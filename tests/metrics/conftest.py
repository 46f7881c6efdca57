import math
from collections.abc import Callable
from typing import Any

import pytest

from lrbench.metrics import Curve, RunRecord


@pytest.fixture
def run() -> Callable[..., RunRecord]:
    """Make a finished run with this seed and validation score, or for a score of None a diverged one."""

    def make(seed: int, val: float | None, test: float | None = None, **changes: Any) -> RunRecord:
        finished = val is not None
        settings: dict[str, Any] = {
            "seed": seed,
            "status": "finished" if finished else "diverged",
            "steps": 200 if finished else 40,
            "diverged_at": None if finished else 40,
            "curve": Curve((100, 200), ((val or 0) / 2, math.nan if val is None else val)),
            "final": {"val_top1": val, "test_top1": val if test is None else test, "ece": 0.05} if finished else {},
            "seconds": 3.0,
            "flops": 1e9,
            "chance": 0.1,
        }
        return RunRecord(**{**settings, **changes})

    return make
