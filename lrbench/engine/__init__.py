"""The engine: training as a pure function over segments, exact to the bit on the CPU."""

from lrbench.engine.advance import advance, begin
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
from lrbench.engine.stacked import advance_stacked, fastest_lanes, why_not_stacked
from lrbench.engine.state import Flops, State, TrainingLoss
from lrbench.engine.trainable import Trainable
from lrbench.tasks.snapshot import identical

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
