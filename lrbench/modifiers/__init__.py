"""Modifiers that ride on any policy: those that change training, and those that only watch.

The order in which modifiers that change training are called, and what excludes what:

1. PLP, Lookahead: they rewrite the weights every few iterations, and exclude each other, for the one predicts along the
   path that the other goes back on;
2. PSWA, PWALKS, PSWM, SWM: they replace the weights at the end of a period or after a sample, and exclude each other;
   PLP and Lookahead begin anew where they do;
3. Learn&Drop, FrozenFeatures: what they take out of training no modifier writes to; they exclude each other;
4. DEMON: it sets the optimizer's momentum.

SWA, EMA and LAWA only watch, and see the weights as these leave them.
"""

from lrbench.engine.modifier import Control, Memory, Modifier, Watcher
from lrbench.modifiers.averaging import EMA, LAWA, SWA
from lrbench.modifiers.demon import DEMON
from lrbench.modifiers.frozen_features import FrozenFeatures
from lrbench.modifiers.learn_and_drop import Drop, ForecastDrop, LearnAndDrop
from lrbench.modifiers.lookahead import Lookahead
from lrbench.modifiers.plp import PLP, PLP_CONTROL_SCALE, PLPNoise, plp_control
from lrbench.modifiers.registry import (
    description,
    modifier_named,
    modifiers,
    parse_modifier,
    register_modifier,
    settings_named,
)
from lrbench.modifiers.sampling import PSWA, PSWM, PWALKS, SWM
from lrbench.policy.kind import Bounds
from lrbench.policy.parameter import Parameter, choice, count, flag, number

__all__ = [
    "DEMON",
    "EMA",
    "LAWA",
    "PLP",
    "PLP_CONTROL_SCALE",
    "PSWA",
    "PSWM",
    "PWALKS",
    "SWA",
    "SWM",
    "Bounds",
    "Control",
    "Drop",
    "ForecastDrop",
    "FrozenFeatures",
    "LearnAndDrop",
    "Lookahead",
    "Memory",
    "Modifier",
    "PLPNoise",
    "Parameter",
    "Watcher",
    "choice",
    "count",
    "description",
    "flag",
    "modifier_named",
    "modifiers",
    "number",
    "parse_modifier",
    "plp_control",
    "register_modifier",
    "settings_named",
]
