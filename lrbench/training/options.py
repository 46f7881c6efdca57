"""Where and how a study is trained, as every function of the Python API takes it."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

from lrbench.training.engine_choice import Engine
from lrbench.training.pools import Workers

Location = str | Path


class TrainOptions(TypedDict, total=False):
    """Where and how a study is trained; what is left out is chosen by what is there.

    Attributes:
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        workers: how many processes train: 1 for this one alone, "auto" for one a core (or a GPU) as far as there is
            enough to do; or a Ray cluster, "ray" or its address.
        engine: "serial", one run after the other and exact to the bit; "stacked", many as one batched computation; or
            "auto" for what a short probe finds faster, for each task whose runs can all be stacked.
        gpus_per_worker: on Ray, the share of a GPU that a worker is given.
    """

    device: str
    workers: Workers
    engine: Engine
    gpus_per_worker: float
