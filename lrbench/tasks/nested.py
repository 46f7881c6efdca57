"""Batches of any structure: tensors in mappings, tuples and lists, to any depth."""

import copy
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

import torch
from torch import Tensor


def mapped(function: Callable[..., Any], first: Any, *others: Any) -> Any:
    """Apply a function to the tensors of a structure, together with those at the same places of others.

    What is no tensor, mapping, tuple or list stays as it is in the first.
    """
    if isinstance(first, Tensor):
        return function(first, *others)
    if isinstance(first, Mapping):
        items = {key: mapped(function, value, *(other[key] for other in others)) for key, value in first.items()}
        if type(first) is dict or not isinstance(first, MutableMapping):
            return items
        clone = copy.copy(first)
        clone.update(items)
        return clone
    if isinstance(first, list | tuple):
        members = [mapped(function, *values) for values in zip(first, *others, strict=True)]
        return type(first)(*members) if hasattr(first, "_fields") else type(first)(members)
    return first


def moved(value: Any, device: torch.device | str) -> Any:
    """Move the tensors of a structure to a device, float64 ones as float32, the type of networks."""

    def move(tensor: Tensor) -> Tensor:
        dtype = torch.float32 if tensor.dtype == torch.float64 else tensor.dtype
        return tensor.to(device, dtype, non_blocking=True)

    return mapped(move, value)


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor on the CPU to a device, without waiting for what is computed there."""
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def concatenated(parts: Sequence[Any]) -> Any:
    """Concatenate structures of one kind along the first dimension of their tensors."""
    return mapped(lambda *tensors: torch.cat(tensors), *parts)


def shapes(value: Any) -> str:
    """Write the shapes of a structure's tensors: `[2, 3]`, `{ids: [2, 8], labels: [2]}`."""
    if isinstance(value, Tensor):
        return str(list(value.shape))
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {shapes(member)}' for key, member in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"({', '.join(map(shapes, value))})"
    return str(list(value.shape)) if hasattr(value, "shape") else type(value).__name__


def logits_of(outputs: Any) -> Any:
    """Return the `logits` of outputs that have them, as a key or an attribute; others as they are."""
    if isinstance(outputs, Mapping):
        return outputs.get("logits", outputs)
    return getattr(outputs, "logits", outputs)
