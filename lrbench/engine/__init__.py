"""The engine: training as a pure function over segments, exact to the bit on the CPU."""

from lrbench.engine.checkpoint import load_checkpoint, save_checkpoint
from lrbench.engine.device import describe_device, resolve_device
from lrbench.engine.evaluation import Evaluation, Predictions, predict
from lrbench.engine.flops import step_flops
from lrbench.engine.state import Flops, State, TrainingLoss, identical
from lrbench.engine.training import advance, begin

__all__ = [
    "Evaluation",
    "Flops",
    "Predictions",
    "State",
    "TrainingLoss",
    "advance",
    "begin",
    "describe_device",
    "identical",
    "load_checkpoint",
    "predict",
    "resolve_device",
    "save_checkpoint",
    "step_flops",
]
