"""The files that a dataset is read from: found, or fetched when asked for, or named as missing."""

import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path

from lrbench.errors import DataError


def required_files(
    dataset: str, folder: Path, names: Sequence[str], download: Callable[[], object] | None
) -> tuple[Path, ...]:
    """The paths of `names` in `folder`, each as it is or with `.gz`, calling `download` where one is missing.

    Raises DataError naming what is missing and where, or why the download failed.
    """
    if download is not None and _missing(folder, names):
        try:
            with redirect_stdout(sys.stderr):
                download()
        except Exception as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise DataError(f"dataset '{dataset}' could not be downloaded to {folder}: {reason}") from error
    missing = _missing(folder, names)
    if missing:
        raise DataError(
            f"dataset '{dataset}' needs {', '.join(missing)} in {folder}; "
            "put them there, choose another --data-root, or pass --download to fetch them"
        )
    return tuple(path for name in names if (path := _find(folder, name)) is not None)


def _find(folder: Path, name: str) -> Path | None:
    candidates = (folder / name, folder / f"{name}.gz")
    return next((path for path in candidates if path.is_file()), None)


def _missing(folder: Path, names: Sequence[str]) -> list[str]:
    return [name for name in names if _find(folder, name) is None]


def torchvision_download(root: Path, name: str) -> Callable[[], object]:
    """A function that makes torchvision fetch its dataset class `name`, verified by its own checksums."""

    def fetch() -> object:
        from torchvision import datasets

        return getattr(datasets, name)(root, download=True)

    return fetch
