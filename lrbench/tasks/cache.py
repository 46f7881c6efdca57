"""The dataset cache: decoded arrays as .npy files and one JSON that names them, with a checksum of each.

An entry is used only if it was made from the same sources and every array still has its checksum; otherwise it is
decoded again. The JSON is replaced last and atomically, and array files are named by their content, so that readers,
writers that race and writers that are killed never see or leave half an entry that reads as a whole one.
"""

import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from lrbench.errors import LRBenchError
from lrbench.files import replace_file, user_path
from lrbench.tasks.data import RawData, Split
from lrbench.tasks.fingerprint import text_digest

FORMAT = 1


def cache_folder() -> Path:
    """`LRBENCH_CACHE`, or `~/.cache/lrbench`.

    Raises:
        LRBenchError: it names the home folder of a user that the system does not know.
        OSError: nobody knows where the caller's own home folder is.
    """
    chosen = os.environ.get("LRBENCH_CACHE") or "~/.cache/lrbench"
    try:
        return user_path(chosen)
    except LRBenchError as error:
        if not chosen.startswith("~/"):
            raise
        raise OSError(f"where {chosen} is: there is no HOME, and the system does not know the user") from error


def load_cached(
    name: str, identity: Mapping[str, Any], sources: tuple[Path, ...], decode: Callable[[], RawData]
) -> RawData:
    """The data of `decode()`, from the cache where it is there, whole, and as new as its sources.

    `identity` says what is decoded and how (dataset, options, folder): one entry is kept for each. A source counts as
    changed when its size or modification time does. A cache that cannot be written costs a warning, not the run.
    """
    try:
        cache = cache_folder()
    except OSError as error:
        warnings.warn(
            f"dataset '{name}' is decoded anew each time because nobody knows {error}; "
            "LRBENCH_CACHE can name another folder",
            stacklevel=2,
        )
        return decode()
    folder = cache / f"{name}-{text_digest(json.dumps(identity, sort_keys=True, default=str))[:16]}"
    signature = text_digest(str(FORMAT), *map(_file_signature, sources))
    cached = _read(folder, signature)
    if cached is not None:
        return cached
    raw = decode()
    try:
        _write(folder, signature, raw)
    except OSError as error:
        warnings.warn(
            f"dataset '{name}' is decoded anew each time because the cache {folder} cannot be written "
            f"({error.strerror or error}); LRBENCH_CACHE can name another folder",
            stacklevel=2,
        )
    return raw


def _file_signature(path: Path) -> str:
    status = path.stat()
    return f"{path}|{status.st_size}|{status.st_mtime_ns}"


def _read(folder: Path, signature: str) -> RawData | None:
    """The entry in `folder`, or None where it is absent, stale, torn or altered."""
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        if index["signature"] != signature:
            return None
        arrays = {name: np.load(folder / file, allow_pickle=False) for name, file in index["files"].items()}
        raw = _assemble(arrays, index["num_classes"], index["class_names"])
        return raw if raw.digests == index["digests"] else None
    except (OSError, ValueError, EOFError, KeyError, TypeError, AttributeError):
        return None


def _assemble(
    arrays: Mapping[str, NDArray[Any]], num_classes: int | None, class_names: Sequence[str] | None
) -> RawData:
    def split(name: str) -> Split:
        inputs, targets = (torch.from_numpy(arrays[f"{name}-{part}"]) for part in ("inputs", "targets"))
        return Split(inputs, targets)

    val = split("val") if "val-inputs" in arrays else None
    return RawData(split("train"), split("test"), num_classes, val, None if class_names is None else tuple(class_names))


def _write(folder: Path, signature: str, raw: RawData) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: f"{name}-{raw.digests[name][:16]}.npy" for name in raw.arrays}
    for name, array in raw.arrays.items():
        replace_file(folder / files[name], partial(_save_array, array))
    index = {
        "signature": signature,
        "num_classes": raw.num_classes,
        "class_names": raw.class_names,
        "files": files,
        "digests": dict(raw.digests),
    }
    text = json.dumps(index, indent=1).encode()
    replace_file(folder / "index.json", lambda file: file.write(text))
    for stale in set(folder.glob("*.npy")) - {folder / file for file in files.values()}:
        stale.unlink(missing_ok=True)


def _save_array(array: NDArray[Any], file: BinaryIO) -> None:
    np.save(file, array, allow_pickle=False)
