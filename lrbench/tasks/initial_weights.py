"""Networks that begin with weights that were trained before, all of them or by named parts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lrbench.errors import DataError, TaskError, one_line
from lrbench.files import user_path
from lrbench.policy.kind import short_repr

WRAPPERS = ("module.", "_orig_mod.", "model.")
"""What data parallelism, `torch.compile` and Lightning put before the name of every weight."""
INSIDE = ("state_dict", "model_state_dict", "model")
"""Where checkpoints that hold more than weights have them."""
TORCHVISION = "torchvision:"


@dataclass(frozen=True)
class Beginning:
    """The weights that a task of settings begins with.

    Attributes:
        path: a state dict written by `torch.save`, under the data root or absolute; or `torchvision:` and the name of
            weights of torchvision, such as `torchvision:IMAGENET1K_V1`.
        new: patterns (`fnmatch`) over the names of parameters and buffers that are not taken from it.
    """

    path: str
    new: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A function that builds a network and gives it weights; made by `pretrained`.

    Attributes:
        model: builds the network with initial weights.
        weights: the tensors by name.
        new: patterns over the names that keep their initial weights.
        source: where the weights come from, for error messages.
    """

    model: Callable[[], nn.Module]
    weights: Mapping[str, Tensor]
    new: tuple[str, ...]
    source: str

    @property
    def takes_numbers(self) -> bool:
        """Whether the model is one of lrbench's own that take no ids."""
        return bool(getattr(self.model, "takes_numbers", False))

    def __call__(self) -> nn.Module:
        network = self.model()
        own = network.state_dict()
        network.load_state_dict(self._checked(own), strict=False)
        return network

    def __str__(self) -> str:
        return f"{getattr(self.model, '__name__', self.model)} from {self.source}"

    def __fingerprint__(self) -> tuple[Any, ...]:
        return self.model, self.new, dict(self.weights)

    def _is_new(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.new)

    def _checked(self, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what is taken of the weights, all of which fit the network's own tensors."""
        where = f"pretrained weights of {self.source}"
        idle = next((each for each in self.new if not any(fnmatchcase(name, each) for name in own)), None)
        if idle is not None:
            raise TaskError(f"{where}: new has '{idle}', which matches no parameter of the network: {_some(own)}")
        weights = _unwrapped(self.weights, own)
        taken = {name: weight for name, weight in weights.items() if not self._is_new(name)}
        for name, tensor in own.items():
            if self._is_new(name):
                continue
            if name not in taken:
                raise TaskError(f"{where}: they lack '{name}'; name in new what keeps its initial weights")
            if taken[name].shape != tensor.shape:
                shapes = f"{list(taken[name].shape)}, and the network's {list(tensor.shape)}"
                raise TaskError(f"{where}: '{name}' has shape {shapes}; name in new what keeps its initial weights")
            if not taken[name].isfinite().all():
                raise TaskError(f"{where}: '{name}' has a number that is not finite")
        foreign = next((name for name in taken if name not in own), None)
        if foreign is not None:
            raise TaskError(
                f"{where}: the network has no '{foreign}', only {_some(own)}; name in new what to leave out"
            )
        return taken


def pretrained(
    model: Callable[[], nn.Module], weights: Path | str | Mapping[str, Tensor], *, new: Sequence[str] = ()
) -> Pretrained:
    """Make a function that builds a network and gives it weights that were trained before.

    The weights are part of what a task is known by: other ones in the same file are another task. Every parameter and
    buffer of the network has to be among them in its shape, unless it is `new`.

    Args:
        model: builds the network; its initial weights are kept where they are new.
        weights: a state dict, or a file that `torch.save` wrote with one, alone or as `state_dict`,
            `model_state_dict` or `model` of a checkpoint. Nothing in the file is run.
        new: patterns (`fnmatch`) over the names of what is not taken, such as `["head.*"]`.

    Raises:
        DataError: the file is missing, or holds no state dict.
        TaskError: `new` is no list of texts, or, when a network is built, the weights do not fit it.

    >>> import torch
    >>> body = torch.nn.Linear(4, 3).state_dict()
    >>> head = pretrained(lambda: torch.nn.Linear(4, 3), body, new=["bias"])
    >>> bool((head().weight == body["weight"]).all())
    True
    """
    patterns = _patterns("pretrained: new", new)
    if isinstance(weights, Mapping):
        return Pretrained(model, _tensors(weights, "a state dict"), patterns, "a state dict")
    path = Path(weights)
    return Pretrained(model, _read(path), patterns, str(path))


def beginning_of(value: Any) -> Beginning:
    """Read a path, or a table of `path` and `new`, as `pretrained` of a `[task]` has it; raise TaskError for others."""
    if isinstance(value, Beginning):
        return value
    table = {"path": value} if isinstance(value, str) else value
    if not isinstance(table, Mapping) or not {"path"} <= set(table) <= {"path", "new"}:
        raise TaskError(f"task: pretrained = {short_repr(value)} must be a path, or a table of path and new")
    path, new = table["path"], table.get("new", ())
    if not isinstance(path, str) or not path:
        raise TaskError(f"task: pretrained.path = {short_repr(path)} must be a text")
    return Beginning(path, _patterns("task: pretrained.new", (new,) if isinstance(new, str) else new))


def _patterns(where: str, new: Any) -> tuple[str, ...]:
    if isinstance(new, str) or not isinstance(new, Sequence) or not all(isinstance(each, str) for each in new):
        raise TaskError(f"{where} = {short_repr(new)} must be a list of patterns over names")
    return tuple(new)


def begun(model: Callable[[], nn.Module], beginning: Beginning, root: Path, *, download: bool) -> Pretrained:
    """Give a model of settings the weights that they begin with.

    Raises:
        DataError, TaskError: as `pretrained`; or torchvision's weights are not here and not to be downloaded.
    """
    if not beginning.path.startswith(TORCHVISION):
        return pretrained(model, root / user_path(beginning.path), new=beginning.new)
    return pretrained(model, _of_torchvision(model, beginning.path, download=download), new=beginning.new)


def _of_torchvision(model: Any, path: str, *, download: bool) -> Path:
    """Return the file of torchvision's weights, in the folder where torchvision keeps them."""
    from torchvision import models

    name, known = path.removeprefix(TORCHVISION), dict(getattr(model, "options", ()))
    if getattr(model, "name", None) != "torchvision":
        raise TaskError(f"task: pretrained = '{path}' is for a model such as 'torchvision:resnet18'")
    available = {each.name: each for each in models.get_model_weights(known["name"])}
    if name not in available:
        raise TaskError(f"task: pretrained = '{path}' must be one of {', '.join(available) or 'none'}")
    url = str(available[name].url)
    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not file.is_file() and not download:
        raise DataError(f"pretrained = '{path}': {file} does not exist; download fetches it from {url}")
    if not file.is_file():
        try:
            torch.hub.load_state_dict_from_url(url, map_location="cpu", progress=False, check_hash=True)
        except Exception as error:
            raise DataError(f"pretrained = '{path}': {url} cannot be downloaded ({one_line(error)})") from error
    return file


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise DataError(f"pretrained: {path} does not exist")
    try:
        with warnings.catch_warnings(action="ignore"):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if "unsupported global" in str(error).lower():
            raise DataError(
                f"pretrained: {path} has more than tensors, such as a whole network, and code in it is not run: write "
                "its state dict, as torch.save(network.state_dict(), ...) does"
            ) from error
        kind = type(error).__name__
        raise DataError(f"pretrained: {path} is no file of weights that torch.save wrote ({kind})") from error
    if isinstance(found, Mapping):
        found = next((found[key] for key in INSIDE if isinstance(found.get(key), Mapping)), found)
    return _tensors(found, str(path))


def _tensors(found: Any, source: str) -> dict[str, Tensor]:
    if not isinstance(found, Mapping) or not found or not all(isinstance(each, Tensor) for each in found.values()):
        raise DataError(f"pretrained: {source} holds no state dict, which has a tensor for each name")
    return {str(name): weight.detach().cpu() for name, weight in found.items()}


def _unwrapped(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Take from the names what a wrapper of the network put before each, where the network's own have it not."""
    for wrapper in WRAPPERS:
        if all(name.startswith(wrapper) for name in weights) and not any(name.startswith(wrapper) for name in own):
            weights = {name.removeprefix(wrapper): weight for name, weight in weights.items()}
    return weights


def _some(names: Mapping[str, Any]) -> str:
    shown = list(names)
    return ", ".join(shown[:5]) + (" and others" if len(shown) > 5 else "")
