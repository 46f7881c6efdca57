"""The engine: training as a pure function over segments, exact to the bit on the CPU.

Names are loaded when they are first used, so that the protocol of modifiers can be had without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrbench.lazy_names import lazy_names

if TYPE_CHECKING:
    from lrbench.engine.checkpoint import (
        load_checkpoint,
        read_checkpoint,
        save_checkpoint,
        state_from_bytes,
        state_to_bytes,
        write_checkpoint,
    )
    from lrbench.engine.device import describe_device, resolve_device
    from lrbench.engine.evaluation import Evaluation, Predictions, predict
    from lrbench.engine.flops import step_flops
    from lrbench.engine.loop import Training
    from lrbench.engine.modifier import Control, Memory, Modifier, Watcher, in_order
    from lrbench.engine.segment import advance, begin
    from lrbench.engine.stacked import advance_stacked, fastest_lanes, why_not_stacked
    from lrbench.engine.state import Flops, State, TrainingLoss
    from lrbench.engine.trainable import Trainable
    from lrbench.tasks.snapshot import identical

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "lrbench.engine.checkpoint": (
            "load_checkpoint",
            "read_checkpoint",
            "save_checkpoint",
            "state_from_bytes",
            "state_to_bytes",
            "write_checkpoint",
        ),
        "lrbench.engine.device": (
            "describe_device",
            "resolve_device",
        ),
        "lrbench.engine.evaluation": (
            "Evaluation",
            "Predictions",
            "predict",
        ),
        "lrbench.engine.flops": ("step_flops",),
        "lrbench.engine.loop": ("Training",),
        "lrbench.engine.modifier": (
            "Control",
            "Memory",
            "Modifier",
            "Watcher",
            "in_order",
        ),
        "lrbench.engine.segment": (
            "advance",
            "begin",
        ),
        "lrbench.engine.stacked": (
            "advance_stacked",
            "fastest_lanes",
            "why_not_stacked",
        ),
        "lrbench.engine.state": (
            "Flops",
            "State",
            "TrainingLoss",
        ),
        "lrbench.engine.trainable": ("Trainable",),
        "lrbench.tasks.snapshot": ("identical",),
    },
)

__all__ = [
    "Control",
    "Evaluation",
    "Flops",
    "Memory",
    "Modifier",
    "Predictions",
    "State",
    "Trainable",
    "Training",
    "TrainingLoss",
    "Watcher",
    "advance",
    "advance_stacked",
    "begin",
    "describe_device",
    "fastest_lanes",
    "identical",
    "in_order",
    "load_checkpoint",
    "predict",
    "read_checkpoint",
    "resolve_device",
    "save_checkpoint",
    "state_from_bytes",
    "state_to_bytes",
    "step_flops",
    "why_not_stacked",
    "write_checkpoint",
]
