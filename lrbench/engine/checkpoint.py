"""Training states as files: written whole or not at all, read right or refused."""

from __future__ import annotations

import io
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch.utils._pytree import tree_map_only

from lrbench.engine.state import Flops, State, TrainingLoss
from lrbench.errors import CheckpointError
from lrbench.files import write_atomically

_MAGIC = b"lrbench checkpoint 1\n"
_HEADER = len(_MAGIC) + sha256().digest_size


def state_to_bytes(state: State) -> bytes:
    """Write a state as bytes with a checksum, for a file or another process."""
    buffer = io.BytesIO()
    plain = {"since_evaluation": vars(state.since_evaluation), "flops": vars(state.flops)}
    torch.save({**state.facts(), **plain}, buffer)
    content = buffer.getvalue()
    return _MAGIC + sha256(content).digest() + content


def state_from_bytes(content: bytes, device: torch.device | str = "cpu") -> State:
    """Read the state that `state_to_bytes` wrote, onto a device.

    The optimizer's own `load_state_dict` moves its state: Adam's counter of steps stays on the CPU.

    Raises:
        CheckpointError: the content is torn, altered or not a checkpoint of this version.
    """
    check_checkpoint(content, "the state")
    fields: dict[str, Any] = torch.load(io.BytesIO(content[_HEADER:]), map_location="cpu", weights_only=True)
    fields.pop("frozen", None)  # older files have it a second time: modifiers remember what they took out
    optimizer = fields.pop("optimizer")
    moved = tree_map_only(torch.Tensor, lambda tensor: tensor.to(device), fields)
    plain = {"since_evaluation": TrainingLoss(**fields["since_evaluation"]), "flops": Flops(**fields["flops"])}
    return State(**{**moved, **plain, "optimizer": optimizer})


def check_checkpoint(content: bytes, name: str) -> None:
    """Refuse content that is not a whole checkpoint; `name` is its name in the error.

    Raises:
        CheckpointError: the content is torn, altered or not a checkpoint of this version.
    """
    if not content.startswith(_MAGIC):
        raise CheckpointError(f"{name} is not a checkpoint that this version of lrbench wrote")
    if sha256(content[_HEADER:]).digest() != content[len(_MAGIC) : _HEADER]:
        raise CheckpointError(f"{name} is torn or was altered: its checksum does not match")


def write_checkpoint(path: Path, content: bytes) -> None:
    """Write a state's bytes to a file, atomically: a reader sees the old file or the whole new one.

    Raises:
        CheckpointError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        raise CheckpointError(f"cannot write the checkpoint {path}: {error.strerror}") from error


def read_checkpoint(path: Path) -> bytes:
    """Read a state's bytes from a file.

    Raises:
        CheckpointError: the file is missing, torn, altered or not a checkpoint of this version.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read the checkpoint {path}: {error.strerror}") from error
    check_checkpoint(content, str(path))
    return content


def save_checkpoint(path: Path, state: State) -> None:
    """Write a state to a file, as `write_checkpoint` does."""
    write_checkpoint(path, state_to_bytes(state))


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> State:
    """Read a state from a file, onto a device."""
    return state_from_bytes(read_checkpoint(path), device)
