"""Permissions that bind: root passes over the modes of files, and so would a test of what may not be written."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

# linux/capability.h: the version with 64 bits, and what lets root pass over the modes of files and folders.
_VERSION, _OVERRIDE = 0x20080522, (1 << 1) | (1 << 2)


@contextmanager
def permissions_bind() -> Iterator[None]:
    """Obey the modes of files in this thread, as everybody but root does.

    The user stays: another one could not read the package where its folder is root's alone.
    """
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION, 0)
    # For the low and the high 32 bits: effective, permitted, inheritable.
    sets = (ctypes.c_uint32 * 6)()

    def call(function: str) -> None:
        if getattr(libc, function)(header, sets) != 0:
            raise OSError(ctypes.get_errno(), f"{function} failed")

    call("capget")
    before = sets[0]
    sets[0] &= ~_OVERRIDE
    call("capset")
    try:
        yield
    finally:
        sets[0] = before
        call("capset")
