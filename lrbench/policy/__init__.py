"""Learning-rate policies as values.

For example::

    from lrbench.policy import SINEXP, STEP, parse

    policy = SINEXP(k0=0.01, k1=0.06, gamma=0.99994, l=2000)
    policy(1000)                                       # the LR of iteration 1000
    policy.lrs(0, 70_000)                              # float64 [70000]
    str(policy)                                        # 'SINEXP(k0=0.01, k1=0.06, gamma=0.99994, l=2000)'
    portable = parse("STEP(k0=0.1, gamma=0.1, l=0.25dur).warmup(0.05dur)")
    portable.bind(steps=4000, steps_per_epoch=100)(1000)
"""

from typing import TYPE_CHECKING

from lrbench.lazy_names import lazy_names

# The order of these imports is the order of `functions()`: the paper's, the family's, the modern ones.
from lrbench.policy.decaying import EXP, FIX, INV, NSTEP, POLY, STEP  # isort: skip
from lrbench.policy.cyclic import COS, SIN, SIN2, SINEXP, TRI, TRI2, TRIEXP  # isort: skip
from lrbench.policy.family import (  # isort: skip
    COS2,
    COSEXP,
    COSRSW,
    COSRSW2,
    COSRSWEXP,
    DSIN,
    DSIN2,
    DSINEXP,
    DTRI,
    DTRI2,
    DTRIEXP,
    RSW,
    RSW2,
    RSWEXP,
    SIG,
    SINRSW,
    SINRSW2,
    SINRSWEXP,
    UPCOS,
    UPCOS2,
    UPCOSEXP,
)
from lrbench.policy.modern import (  # isort: skip
    COSINE,
    GEOMETRIC,
    INVSQRT,
    LINEAR,
    ONECYCLE,
    REX,
    SGDR,
    WSD,
    WSDSQRT,
)
from lrbench.policy.reactive import CHANGEONPLATEAU, REDUCEONPLATEAU  # isort: skip
from lrbench.policy.table import POLYLINE, TABLE, PolicyLike, load_lrs, policy_of, tabulate  # isort: skip
from lrbench.policy.budget import Length, Rate, iterations, per_iteration
from lrbench.policy.composition import Piecewise, Repeated, Scaled, Warmup
from lrbench.policy.function import Function, build, functions, register_function
from lrbench.policy.kind import Bounds
from lrbench.policy.lrbench_format import from_lrbench
from lrbench.policy.notation import parse
from lrbench.policy.parameter import (
    REQUIRED,
    Parameter,
    count,
    decay,
    factor,
    length,
    lengths,
    number,
    rate,
    slope,
)
from lrbench.policy.peak import with_peak
from lrbench.policy.policy import History, Policy
from lrbench.policy.recognition import recognize
from lrbench.policy.toml_catalog import Catalog, CatalogEntry, catalog, catalogs, load_catalog
from lrbench.policy.torch_code import torch_code

if TYPE_CHECKING:
    from lrbench.policy.torch_scheduler import PolicyLR as PolicyLR
else:
    # The one name that needs torch.
    __getattr__, __dir__, _ = lazy_names(__name__)

__all__ = [
    "CHANGEONPLATEAU",
    "COS",
    "COS2",
    "COSEXP",
    "COSINE",
    "COSRSW",
    "COSRSW2",
    "COSRSWEXP",
    "DSIN",
    "DSIN2",
    "DSINEXP",
    "DTRI",
    "DTRI2",
    "DTRIEXP",
    "EXP",
    "FIX",
    "GEOMETRIC",
    "INV",
    "INVSQRT",
    "LINEAR",
    "NSTEP",
    "ONECYCLE",
    "POLY",
    "POLYLINE",
    "REDUCEONPLATEAU",
    "REQUIRED",
    "REX",
    "RSW",
    "RSW2",
    "RSWEXP",
    "SGDR",
    "SIG",
    "SIN",
    "SIN2",
    "SINEXP",
    "SINRSW",
    "SINRSW2",
    "SINRSWEXP",
    "STEP",
    "TABLE",
    "TRI",
    "TRI2",
    "TRIEXP",
    "UPCOS",
    "UPCOS2",
    "UPCOSEXP",
    "WSD",
    "WSDSQRT",
    "Bounds",
    "Catalog",
    "CatalogEntry",
    "Function",
    "History",
    "Length",
    "Parameter",
    "Piecewise",
    "Policy",
    "PolicyLike",
    "Rate",
    "Repeated",
    "Scaled",
    "Warmup",
    "build",
    "catalog",
    "catalogs",
    "count",
    "decay",
    "factor",
    "from_lrbench",
    "functions",
    "iterations",
    "length",
    "lengths",
    "load_catalog",
    "load_lrs",
    "number",
    "parse",
    "per_iteration",
    "policy_of",
    "rate",
    "recognize",
    "register_function",
    "slope",
    "tabulate",
    "torch_code",
    "with_peak",
]
