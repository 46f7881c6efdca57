"""A reader of arrays of numbers in MATLAB's MAT-files of level 5 (versions 6 and 7); it checks every size in them.

The format: MathWorks, "MAT-File Format", chapter 1, "Level 5 MAT-File Format".
"""

import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEADER = 128
INT8, INT32, UINT32, MATRIX, COMPRESSED = 1, 5, 6, 14, 15
STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""The stored type of numbers by miTYPE; MATLAB stores those of any class in the smallest type that holds them."""

CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
"""The type of numbers by mxCLASS; every other class holds no numbers."""

COMPLEX = 0x0800


def read_mat_arrays(content: bytes) -> dict[str, NDArray[Any]]:
    """Read the arrays of real numbers in a MAT-file, by name; other variables are passed over.

    Raises:
        ValueError: the file is cut short, malformed, or of another version.
    """
    order = {b"IM": "<", b"MI": ">"}.get(content[126:HEADER])
    if order is None or struct.unpack(f"{order}H", content[124:126])[0] != 0x0100:
        raise ValueError("it is no MAT-file of version 6 or 7")
    arrays = {}
    for kind, data in _elements(memoryview(content)[HEADER:], order):
        found = _array(*_inflated(data, order), order) if kind == COMPRESSED else _array(kind, data, order)
        if found is not None:
            arrays[found[0]] = found[1]
    return arrays


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Yield the elements in `data`, one after the other: type and content, without padding."""
    while data:
        kind, size, start = _tag(data, order)
        if start + size > len(data):
            raise ValueError(f"it promises {size} bytes where {len(data) - start} are left")
        yield kind, data[start : start + size]
        # An element of up to four bytes shares eight with its tag; compressed ones alone are not padded to eight.
        data = data[8:] if start == 4 else data[start + (size if kind == COMPRESSED else -(-size // 8) * 8) :]


def _tag(data: memoryview, order: str) -> tuple[int, int, int]:
    """Read the type and size of the first element, and the place where its content begins."""
    if len(data) < 8:
        raise ValueError("it is cut short")
    kind, size = struct.unpack_from(f"{order}2I", data)
    if kind >> 16:
        kind, size = kind & 0xFFFF, kind >> 16
        if size > 4:
            raise ValueError(f"it has a small element of {size} bytes")
        return kind, size, 4
    return kind, size, 8


def _inflated(data: memoryview, order: str) -> tuple[int, memoryview]:
    """Decompress an element, and no more than its tag promises."""
    stream = zlib.decompressobj()
    try:
        tag = stream.decompress(data, 8)
        kind, size, _ = _tag(memoryview(tag), order)
        body = stream.decompress(stream.unconsumed_tail, size) if size else b""
        more = stream.decompress(stream.unconsumed_tail, 1)
    except zlib.error as error:
        raise ValueError(f"it cannot be decompressed, {error}") from error
    if len(body) != size or more or not stream.eof:
        raise ValueError(f"it promises {size} bytes where more or fewer are compressed")
    return kind, memoryview(body)


def _array(kind: int, data: memoryview, order: str) -> tuple[str, NDArray[Any]] | None:
    """Read the name and the values of a matrix of real numbers; None for every other element."""
    if kind != MATRIX:
        return None
    (flags_kind, flags), (shape_kind, dimensions), (name_kind, name), *parts = _elements(data, order)
    if (flags_kind, len(flags), shape_kind, name_kind) != (UINT32, 8, INT32, INT8):
        raise ValueError("it has a matrix without flags, dimensions and a name")
    flag = struct.unpack_from(f"{order}I", flags)[0]
    if flag & 0xFF not in CLASSES or flag & COMPLEX:
        return None
    if len(parts) != 1 or parts[0][0] not in STORED:
        raise ValueError("it has a matrix without numbers")
    shape = [int(size) for size in np.frombuffer(dimensions, f"{order}i4")]
    values = np.frombuffer(parts[0][1], order + STORED[parts[0][0]])
    if min(shape, default=-1) < 0 or math.prod(shape) != len(values):
        raise ValueError(f"it has {len(values)} numbers for a matrix of the shape {shape}")
    return bytes(name).decode("latin1"), values.astype(CLASSES[flag & 0xFF], copy=False).reshape(shape, order="F")
