"""The fingerprint of datasets: what they hold, by its content."""

import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from torch.utils.data import Dataset

from lrbench.errors import DataError, TaskError
from lrbench.tasks.fingerprint import Walk, text_digest

_WHAT_THEY_HOLD = ("torch.utils.data", "torchvision.datasets", "torchvision.transforms", "lrbench.tasks")
"""Packages whose objects, datasets and transforms, are what their attributes are."""


def dataset_fingerprint(value: Any, version: str | None) -> str:
    """Digest datasets, and what makes batches of their samples, as 32 hex digits.

    Arrays are digested by their content, files by their names and sizes, Hugging Face's datasets by the digest that
    they have of themselves, code as in `fingerprint`. A `version` stands for all that datasets are and hold.

    Raises:
        DataError: there is no version, and a dataset holds something that has no identity beyond this process.
    """
    try:
        return text_digest(*_DatasetWalk(version).walk(value))
    except TaskError as error:
        raise DataError(str(error).replace("give the task version", "give the data a version")) from error


class _DatasetWalk(Walk):
    def __init__(self, version: str | None) -> None:
        super().__init__(version)
        self.root: str | None = None
        """The folder of the dataset that is walked, "" for one that names none, None outside of datasets."""

    def walk(self, value: Any) -> Iterator[str]:
        if self.root is not None and isinstance(value, str | pathlib.PurePath) and self._is_file(value):
            yield f"file:{os.path.relpath(value, self.root or None)} {os.path.getsize(value)}"
        else:
            yield from super().walk(value)

    def rules(self) -> tuple[tuple[Any, Callable[[Any], Iterator[str]]], ...]:
        return (*super().rules(), (Dataset, self.dataset))

    def dataset(self, value: Any) -> Iterator[str]:
        """Describe a dataset by its class and what it holds."""
        outer, root = self.root, vars(value).get("root")
        self.root = os.fspath(root).rstrip(os.sep) if isinstance(root, str | os.PathLike) else outer or ""
        held = {name: member for name, member in vars(value).items() if name != "root"}
        yield from self.walk_all("dataset", (type(value), held if self.version is None else None))
        self.root = outer

    def instance(self, value: Any) -> Iterator[str]:
        module = type(value).__module__
        if self.version is None and module.startswith("datasets.") and hasattr(value, "_fingerprint"):
            yield from self.walk_all("dataset", (type(value), value._fingerprint))
        elif self.version is None and module.startswith(_WHAT_THEY_HOLD) and hasattr(value, "__dict__"):
            yield from self.walk_all("instance", (type(value), vars(value)))
        else:
            yield from super().instance(value)

    def _is_file(self, path: str | pathlib.PurePath) -> bool:
        """Return whether a path, or a text that begins with the folder of the dataset, is that of a file."""
        inside = bool(self.root) and os.fspath(path).startswith(f"{self.root}{os.sep}")
        return (inside or not isinstance(path, str)) and os.path.isfile(path)
