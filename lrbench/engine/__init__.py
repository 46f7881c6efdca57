"""The engine: training as a pure function over segments, exact to the bit on the CPU.

Names are loaded when they are first used, so that the protocol of modifiers can be had without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrbench.lazy_names import lazy_names

if TYPE_CHECKING:
    from lrbench.engine.checkpoint import load_checkpoint as load_checkpoint
    from lrbench.engine.checkpoint import read_checkpoint as read_checkpoint
    from lrbench.engine.checkpoint import save_checkpoint as save_checkpoint
    from lrbench.engine.checkpoint import state_from_bytes as state_from_bytes
    from lrbench.engine.checkpoint import state_to_bytes as state_to_bytes
    from lrbench.engine.checkpoint import write_checkpoint as write_checkpoint
    from lrbench.engine.device import check_compiler as check_compiler
    from lrbench.engine.device import describe_device as describe_device
    from lrbench.engine.device import resolve_device as resolve_device
    from lrbench.engine.evaluation import Evaluation as Evaluation
    from lrbench.engine.evaluation import Predictions as Predictions
    from lrbench.engine.evaluation import predict as predict
    from lrbench.engine.flops import step_flops as step_flops
    from lrbench.engine.loop import Training as Training
    from lrbench.engine.modifier import Control as Control
    from lrbench.engine.modifier import Memory as Memory
    from lrbench.engine.modifier import Modifier as Modifier
    from lrbench.engine.modifier import Watcher as Watcher
    from lrbench.engine.modifier import in_order as in_order
    from lrbench.engine.segment import advance as advance
    from lrbench.engine.segment import begin as begin
    from lrbench.engine.segment import initial_loss as initial_loss
    from lrbench.engine.stacked import advance_stacked as advance_stacked
    from lrbench.engine.stacked import fastest_lanes as fastest_lanes
    from lrbench.engine.stacked import why_not_stacked as why_not_stacked
    from lrbench.engine.state import Flops as Flops
    from lrbench.engine.state import State as State
    from lrbench.engine.state import TrainingLoss as TrainingLoss
    from lrbench.engine.trainable import Trainable as Trainable
    from lrbench.tasks.snapshot import identical as identical
else:
    __getattr__, __dir__, __all__ = lazy_names(__name__)
