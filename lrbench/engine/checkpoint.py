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
    """A state as it is written to a file or sent to another process, with a checksum."""
    buffer = io.BytesIO()
    plain = {"since_evaluation": vars(state.since_evaluation), "flops": vars(state.flops)}
    torch.save({**state.facts(), **plain}, buffer)
    content = buffer.getvalue()
    return _MAGIC + sha256(content).digest() + content


def state_from_bytes(content: bytes, device: torch.device | str = "cpu") -> State:
    """The state that `state_to_bytes` was given, onto a device.

    Where an optimizer's state lies is for its own `load_state_dict` to say: Adam's counter of steps stays on the CPU.

    Raises:
        CheckpointError: the content is torn, altered or not a checkpoint of this version.
    """
    check_checkpoint(content, "the state")
    fields: dict[str, Any] = torch.load(io.BytesIO(content[_HEADER:]), map_location="cpu", weights_only=True)
    fields.pop("frozen", None)  # older files have it a second time: modifiers remember what they took out
    moved = {name: _moved(value, device) for name, value in fields.items() if name != "optimizer"}
    return State(
        **{
            **fields,
            **moved,
            "since_evaluation": TrainingLoss(**fields["since_evaluation"]),
            "flops": Flops(**fields["flops"]),
        }
    )


def _moved(value: Any, device: torch.device | str) -> Any:
    """A value with the tensors in it on a device."""
    return tree_map_only(torch.Tensor, lambda tensor: tensor.to(device), value)


def check_checkpoint(content: bytes, name: str) -> None:
    """Refuse what is not a whole checkpoint; `name` is what the error calls it.

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
    """A state's bytes from a file.

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
    """`write_checkpoint` of a state."""
    write_checkpoint(path, state_to_bytes(state))


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> State:
    """The state that `read_checkpoint` reads, onto a device."""
    return state_from_bytes(read_checkpoint(path), device)
