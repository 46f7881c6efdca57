"""Training states as files: written whole or not at all, read right or refused."""

from __future__ import annotations

import io
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from lrbench.engine.state import Flops, Frozen, State, TrainingLoss
from lrbench.errors import CheckpointError
from lrbench.files import write_atomically

_MAGIC = b"lrbench checkpoint 1\n"
_HEADER = len(_MAGIC) + sha256().digest_size


def save_checkpoint(path: Path, state: State) -> None:
    """Write a state to a file, atomically: a reader sees the old file or the whole new one.

    Raises:
        CheckpointError: the file cannot be written.
    """
    buffer = io.BytesIO()
    plain = {"since_evaluation": vars(state.since_evaluation), "flops": vars(state.flops), "frozen": vars(state.frozen)}
    torch.save({**state.facts(), **plain}, buffer)
    content = buffer.getvalue()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, _MAGIC + sha256(content).digest() + content)
    except OSError as error:
        raise CheckpointError(f"cannot write the checkpoint {path}: {error.strerror}") from error


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> State:
    """Read a state from a file, onto a device.

    Raises:
        CheckpointError: the file is missing, torn, altered or not a checkpoint of this version.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read the checkpoint {path}: {error.strerror}") from error
    if not content.startswith(_MAGIC):
        raise CheckpointError(f"{path} is not a checkpoint that this version of lrbench wrote")
    if sha256(content[_HEADER:]).digest() != content[len(_MAGIC) : _HEADER]:
        raise CheckpointError(f"the checkpoint {path} is torn or was altered: its checksum does not match")
    fields: dict[str, Any] = torch.load(io.BytesIO(content[_HEADER:]), map_location=device, weights_only=True)
    return State(
        **{
            **fields,
            "since_evaluation": TrainingLoss(**fields["since_evaluation"]),
            "flops": Flops(**fields["flops"]),
            "frozen": Frozen(**fields["frozen"]),
        }
    )
