"""The files of a dataset: found, or fetched with `download`, or named as missing."""

import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path

from lrbench.errors import DataError, one_line


def required_files(
    dataset: str, folder: Path, names: Sequence[str], download: Callable[[], object] | None
) -> tuple[Path, ...]:
    """Find the files of `names` in `folder`, each as it is or with `.gz`; call `download` where one is missing.

    Raises:
        DataError: files are missing, or the download failed.
    """
    if download is not None and _missing(folder, names):
        try:
            with redirect_stdout(sys.stderr):
                download()
        except Exception as error:
            reason = one_line(error)
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
    """Make a function that fetches torchvision's dataset class `name`, verified by torchvision's checksums."""

    def fetch() -> object:
        from torchvision import datasets

        return getattr(datasets, name)(root, download=True)

    return fetch
