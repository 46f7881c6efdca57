"""The stacked engine: K runs of one task as one batched computation, each equal to its serial run within rounding."""

from lrbench.engine.stacked.advance import advance_stacked
from lrbench.engine.stacked.network import why_not_stacked
from lrbench.engine.stacked.probe import fastest_lanes

__all__ = ["advance_stacked", "fastest_lanes", "why_not_stacked"]
