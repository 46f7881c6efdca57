"""A reader of pickles of plain values and integer arrays, without `pickle`.

`pickle` calls any function that a file names, and even NumPy's own classes trust a file about memory. This reader knows
the opcodes that Python 2 and Python 3 write for a batch of CIFAR, and refuses every other one.
"""

from __future__ import annotations

import pickletools
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
VALUES = frozenset(
    {"BININT", "BININT1", "BININT2", "LONG1", "BINSTRING", "SHORT_BINSTRING", "BINUNICODE", "SHORT_BINUNICODE"}
    | {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
)
GLOBALS = frozenset(
    {"numpy.ndarray", "numpy.dtype", "_codecs.encode"}
    | {f"numpy.{core}.multiarray._reconstruct" for core in ("core", "_core")}
    | {f"numpy.{core}.numeric._frombuffer" for core in ("core", "_core")}
)
INTEGERS = re.compile(r"[iu][1248]")

MOST_CALLS = 100
"""A batch has under ten; each could copy all of the file."""


class PlainPickleError(ValueError):
    """A pickle asks for more than plain values and integer arrays."""


@dataclass
class Array:
    """An array, and until a file has given its content an empty one."""

    values: NDArray[Any] = field(default_factory=lambda: np.empty(0, np.uint8))


@dataclass
class _Type:
    """A NumPy type of integers by its name, and its byte order."""

    name: str
    order: str = "|"


@dataclass(frozen=True)
class _Global:
    """The name of a member of a module, which is not imported."""

    path: str


def read_plain_pickle(content: bytes) -> Any:
    """Read a pickle of dicts, lists, tuples, texts, bytes, integers, and `Array`s of integers.

    Texts of Python 2 are read as Latin-1.

    Raises:
        PlainPickleError: it asks for something else.
        ValueError, LookupError, TypeError: it is cut short or malformed.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}
    calls = 0
    argument: Any

    def above_mark() -> list[Any]:
        start = marks.pop()
        items = stack[start:]
        del stack[start:]
        return items

    for opcode, argument, _ in pickletools.genops(content):
        calls += opcode.name in ("REDUCE", "BUILD")
        if calls > MOST_CALLS:
            raise PlainPickleError(f"it has over {MOST_CALLS} calls")
        match opcode.name:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case name if name in VALUES:
                stack.append(argument)
            case name if name in CONSTANTS:
                stack.append(CONSTANTS[name])
            case "MARK":
                marks.append(len(stack))
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3" as name:
                count = int(name[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "TUPLE":
                stack.append(tuple(above_mark()))
            case "APPEND":
                _extend(stack, [stack.pop()])
            case "APPENDS":
                _extend(stack, above_mark())
            case "SETITEM":
                _update(stack, [stack.pop(-2), stack.pop()])
            case "SETITEMS":
                _update(stack, above_mark())
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "GLOBAL":
                stack.append(_named(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                stack.append(_named(stack.pop(-2), stack.pop()))
            case "REDUCE":
                stack.append(_made(stack.pop(-2), stack.pop()))
            case "BUILD":
                state = stack.pop()
                _complete(stack[-1], state)
            case name:
                raise PlainPickleError(f"it has the opcode {name}")
    return stack.pop()


def _extend(stack: list[Any], items: list[Any]) -> None:
    if not isinstance(stack[-1], list):
        raise PlainPickleError("it appends to what is no list")
    stack[-1].extend(items)


def _update(stack: list[Any], items: list[Any]) -> None:
    # The hash of a key from deeply nested tuples would overflow the stack of C.
    if not isinstance(stack[-1], dict) or not all(isinstance(key, str | bytes) for key in items[::2]):
        raise PlainPickleError("it has a dict whose keys are no texts")
    stack[-1].update(zip(items[::2], items[1::2], strict=True))


def _named(module: object, name: object) -> _Global:
    if not isinstance(module, str) or not isinstance(name, str):
        raise PlainPickleError("it asks for something whose name is no text")
    if f"{module}.{name}" not in GLOBALS:
        raise PlainPickleError(f"it asks for {module}.{name}")
    return _Global(f"{module}.{name}")


def _made(function: object, arguments: Any) -> Array | _Type | bytes:
    """Make the result of a call in the file, without calling anything of the file."""
    match function.path.rpartition(".")[2] if isinstance(function, _Global) else None:
        case "_reconstruct":
            return Array()
        case "dtype" if isinstance(arguments[0], str) and INTEGERS.fullmatch(arguments[0]):
            return _Type(arguments[0])
        case "encode" if isinstance(arguments[0], str):
            return arguments[0].encode("latin1")
        case "_frombuffer":
            content, kind, shape, order = arguments
            return Array(_array(content, kind, shape, order))
    raise PlainPickleError("it calls something, or has an array of other values than integers")


def _complete(made: object, state: Any) -> None:
    """Set the state that the file gives an array or a type after its call."""
    if isinstance(made, _Type) and state[1] in ("|", "<", ">", "="):
        made.order = state[1]
    elif isinstance(made, Array):
        _, shape, kind, by_column, content = state
        made.values = _array(content, kind, shape, "F" if by_column else "C")
    else:
        raise PlainPickleError("it sets the state of something else than an array")


def _array(content: Any, kind: object, shape: Any, order: Any) -> NDArray[Any]:
    if not isinstance(kind, _Type) or not all(isinstance(size, int) and size >= 0 for size in shape):
        raise PlainPickleError("it has an array without a type or a shape")
    buffer = content.encode("latin1") if isinstance(content, str) else content
    return np.frombuffer(buffer, np.dtype(kind.order + kind.name)).reshape(shape, order=order)
