"""Tasks and orders as bytes, the user's own functions and classes included."""

from __future__ import annotations

import io
import mmap
from collections import ChainMap
from typing import TYPE_CHECKING, Any

from lrbench.errors import StudyError

if TYPE_CHECKING:
    import numpy as np

    from lrbench.training.messages import Setup


def pickled(value: Any) -> bytes:
    """Pickle a value for another process with lrbench.

    Definitions of a plugin or of the main module go along by value, for the other process has neither.
    """
    import cloudpickle
    import numpy as np

    from lrbench.tasks.plugins import plugin_modules

    for module in plugin_modules():
        cloudpickle.register_pickle_by_value(module)
    content = io.BytesIO()
    known = {"dispatch_table": ChainMap({np.memmap: _by_its_file}, cloudpickle.CloudPickler.dispatch_table)}
    type("Pickler", (cloudpickle.CloudPickler,), known)(content).dump(value)
    return content.getvalue()


def _by_its_file(array: np.memmap[Any, Any]) -> Any:
    """Reduce a memory map to its file, which the other process maps anew; a part of one to its content."""
    import numpy as np

    if not isinstance(array.base, mmap.mmap):
        return array.__reduce__()
    mode = "c" if array.mode == "c" else "r"
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    return np.memmap, (array.filename, array.dtype, mode, array.offset, array.shape, order)


def pickled_setup(setup: Setup) -> bytes:
    """Pickle the setup of workers.

    Raises:
        StudyError: a task cannot be sent to another process.
    """
    try:
        return pickled(setup)
    except Exception as error:
        names = ", ".join(sorted({task.name for task in setup.tasks.values()}))
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise StudyError(f"{names} cannot be sent to other processes, train with workers=1: {reason}") from error
