"""The dataset cache: decoded arrays as .npy files and one JSON that names them, with a checksum of each.

An entry is used only if it was made from the same sources and every array still has its checksum; otherwise it is
decoded again. The JSON is replaced last and atomically, and array files are named by their content. So no reader sees
half an entry, whatever writers race or are killed.
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
from lrbench.tasks.fingerprint import text_digest
from lrbench.tasks.raw_data import RawData
from lrbench.tasks.split import Split

FORMAT = 1


def cache_folder() -> Path:
    """Return the folder of the cache: `LRBENCH_CACHE`, or `~/.cache/lrbench`.

    Raises:
        LRBenchError: it names the home folder of a user that the system does not know.
        OSError: the caller's own home folder is unknown.
    """
    chosen = os.environ.get("LRBENCH_CACHE") or "~/.cache/lrbench"
    try:
        return user_path(chosen)
    except LRBenchError as error:
        if not chosen.startswith("~/"):
            raise
        reason = f"nobody knows where {chosen} is: there is no HOME, and the system does not know the user"
        raise OSError(None, reason) from error


def load_cached(
    name: str, identity: Mapping[str, Any], sources: tuple[Path, ...], decode: Callable[[], RawData]
) -> RawData:
    """Read the data of `decode()` from the cache where it is there, whole, and as new as its sources.

    There is one entry for each `identity`: dataset, options, folder. A source counts as changed when its size or
    modification time does. A cache that cannot be written costs a warning, not the run. Data of datasets is not cached.
    """
    try:
        folder = cache_folder() / f"{name}-{text_digest(json.dumps(identity, sort_keys=True, default=str))[:16]}"
    except OSError as error:
        _warn(name, str(error.strerror))
        return decode()
    signature = text_digest(str(FORMAT), *map(_file_signature, sources))
    cached = _read(folder, signature)
    if cached is not None:
        return cached
    raw = decode()
    if not raw.arrays:
        return raw
    try:
        _write(folder, signature, raw)
    except OSError as error:
        _warn(name, f"the cache {folder} cannot be written ({error.strerror or error})")
    return raw


def _warn(name: str, reason: str) -> None:
    text = f"dataset '{name}' is decoded anew each time because {reason}; LRBENCH_CACHE can name another folder"
    warnings.warn(text, stacklevel=3)


def _file_signature(path: Path) -> str:
    status = path.stat()
    return f"{path}|{status.st_size}|{status.st_mtime_ns}"


def _read(folder: Path, signature: str) -> RawData | None:
    """Read the entry in `folder`; None where it is absent, stale, torn or altered."""
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
