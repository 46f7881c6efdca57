"""Fingerprints: a digest of everything that determines a number, the same in every process.

Values are digested by their content. A user's function is digested by its bytecode, its constants, defaults, closure
and the values of the globals it reads; a user's class by its methods and its bases. A part of an installed library is
digested by its name: each run records the versions of libraries.
"""

import dis
import enum
import functools
import inspect
import logging
import pathlib
import re
import sys
import sysconfig
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, fields, is_dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lrbench.errors import TaskError

_PLAIN = (bool, int, float, complex, str, bytes, types.NoneType, types.EllipsisType)
_WITHOUT_CYCLES = (tuple, frozenset, types.CodeType, Tensor, np.ndarray)
_REPRESENTED = (torch.dtype, torch.device, np.dtype, pathlib.PurePath, range, slice, re.Pattern, types.GenericAlias)
_STANDARD_LIBRARY = pathlib.Path(sysconfig.get_path("stdlib")).resolve()
_INSTALLED = frozenset({"site-packages", "dist-packages"})
OF_TORCH_OR_OURS = frozenset({"torch", "lrbench"})
"""Packages whose code draws from torch's generators only, and keeps nothing outside of modules and optimizers."""
_IGNORED_MEMBERS = frozenset(
    {"__dict__", "__weakref__", "__doc__", "__module__", "__annotations__", "__annotate__", "__annotate_func__"}
    | {"__annotations_cache__", "__firstlineno__", "__static_attributes__", "__qualname__", "__abstractmethods__"}
    | {"_abc_impl", "__dataclass_params__", "__dataclass_fields__", "__match_args__", "__parameters__"}
)

OF_EVERY_MODULE = frozenset(vars(nn.Module()))
"""The attributes with which torch keeps the parts of a module."""

ADDED_LATER: Mapping[str, bool] = types.MappingProxyType({"lrbench: added later": True})
"""The metadata of a dataclass's field that was added later: while it has its default, it is left out of the digest, so
that older values keep their fingerprint."""

NO_IDENTITY: Mapping[str, bool] = types.MappingProxyType({"lrbench: no identity": True})
"""The metadata of a dataclass's field that changes no number, and so is left out of the digest."""


def text_digest(*parts: str) -> str:
    """Digest the parts, each delimited by its length, as 32 hex digits."""
    digest = blake2b(digest_size=16)
    for part in parts:
        encoded = part.encode()
        digest.update(f"{len(encoded)}:".encode())
        digest.update(encoded)
    return digest.hexdigest()


def array_digest(array: NDArray[Any]) -> str:
    """Digest an array's type, shape and bytes as 32 hex digits."""
    digest = blake2b(f"{array.dtype.str}{array.shape}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def fingerprint(value: Any, version: str | None = None) -> str:
    """Digest a value as 32 hex digits, which change when it, or the code of a function or class in it, changes.

    A `version` stands for the user's functions, classes and objects, whatever they hold. An object's own
    `__fingerprint__()` returns the value to digest in its place.

    Raises:
        TaskError: there is no version, and the value holds something that has no identity beyond this process.
    """
    return text_digest(*Walk(version).walk(value))


def from_library(module_name: str | None) -> bool:
    """Return whether a module belongs to the standard library, an installed package or lrbench itself."""
    name = module_name or ""
    package = name.partition(".")[0]
    if package == "lrbench" or (package in sys.stdlib_module_names and package != "__main__"):
        return True
    files = [getattr(sys.modules.get(each), "__file__", None) for each in (name, package)]
    folders = [pathlib.Path(file).resolve().parents for file in files if file is not None]
    return any(_STANDARD_LIBRARY in parents or any(p.name in _INSTALLED for p in parents) for parents in folders)


def module_of(part: Any) -> str:
    """Name the module that a function, or the class of an object, is written in."""
    named = part if isinstance(part, types.FunctionType | types.BuiltinFunctionType) else type(part)
    return str(named.__module__)


def package_of(part: Any) -> str:
    """Name the package that a function, or the class of an object, is written in."""
    return module_of(part).partition(".")[0]


class Walk:
    """A traversal of a value that yields text tokens.

    An object that was visited before is yielded as the number of its first visit, which ends cycles. Immutable values
    are described each time, since equal constants are one object in one process and several in another.
    """

    def __init__(self, version: str | None) -> None:
        self.version = version
        self.visited: dict[int, int] = {}
        self.alive: list[Any] = []

    def walk(self, value: Any) -> Iterator[str]:
        if isinstance(value, _PLAIN) and not isinstance(value, enum.Enum):
            yield f"{type(value).__name__}:{value!r}"
            return
        if not isinstance(value, _WITHOUT_CYCLES):
            if id(value) in self.visited:
                yield f"again:{self.visited[id(value)]}"
                return
            self.visited[id(value)] = len(self.visited)
            self.alive.append(value)
        yield from self.describe(value)

    def walk_all(self, tag: str, values: Any) -> Iterator[str]:
        yield f"({tag}"
        for value in values:
            yield from self.walk(value)
        yield ")"

    def describe(self, value: Any) -> Iterator[str]:
        """Yield the tokens of a value that is neither plain nor visited before."""
        if hasattr(type(value), "__fingerprint__"):
            yield from self.walk_all(type(value).__qualname__, value.__fingerprint__())
            return
        for kinds, tokens in self.rules():
            if isinstance(value, kinds):
                yield from tokens(value)
                return
        yield from self.instance(value)

    def rules(self) -> tuple[tuple[Any, Callable[[Any], Iterator[str]]], ...]:
        return (
            ((list, tuple), lambda v: self.walk_all(type(v).__name__, v)),
            ((set, frozenset), self.unordered),
            ((dict, types.MappingProxyType), self.mapping),
            (Tensor, lambda v: iter((f"tensor:{v.dtype}", array_digest(_as_array(v))))),
            ((np.ndarray, np.generic), self.array),
            (_REPRESENTED, lambda v: iter((repr(v),))),
            (logging.Logger, lambda v: iter(("logger",))),
            (types.ModuleType, self.module),
            (types.CodeType, self.code),
            (types.FunctionType, self.function),
            (types.MethodType, lambda v: self.walk_all("method", (v.__func__, v.__self__))),
            (types.BuiltinFunctionType, self.builtin),
            ((types.MethodDescriptorType, types.WrapperDescriptorType), self.named),
            (type, self.cls),
            (functools.partial, lambda v: self.walk_all("partial", (v.func, v.args, v.keywords))),
            (property, lambda v: self.walk_all("property", (v.fget, v.fset, v.fdel))),
            ((staticmethod, classmethod), lambda v: self.walk_all(type(v).__name__, (v.__func__,))),
            (functools.cached_property, lambda v: self.walk_all("cached_property", (v.func,))),
            (enum.Enum, lambda v: self.walk_all("enum", (type(v).__qualname__, v.name, v.value))),
            (types.MemberDescriptorType, lambda v: iter((f"slot:{v.__name__}",))),
            (types.CellType, self.cell),
            (nn.Module, self.network),
        )

    def unordered(self, value: Any) -> Iterator[str]:
        yield type(value).__name__
        yield from sorted(text_digest(*Walk(self.version).walk(member)) for member in value)

    def mapping(self, value: Any) -> Iterator[str]:
        return self.walk_all("dict", (part for item in value.items() for part in item))

    def array(self, value: Any) -> Iterator[str]:
        array = np.asarray(value)
        if array.dtype.hasobject:
            yield from self.walk_all("objects", array.ravel().tolist())
        else:
            yield array_digest(array)

    def module(self, value: types.ModuleType) -> Iterator[str]:
        """Describe an installed module by its name, a user's by its file and the user's modules that it uses."""
        yield f"module:{value.__name__}"
        file = getattr(value, "__file__", None)
        if file is None or from_library(value.__name__):
            return
        if self.version is not None:
            yield f"version:{self.version}"
            return
        yield blake2b(pathlib.Path(file).read_bytes(), digest_size=16).hexdigest()
        names = {str(getattr(member, "__module__", None) or member.__name__) for member in _members(value)}
        used = (sys.modules[name] for name in sorted(names) if name in sys.modules and not from_library(name))
        yield from self.walk_all("uses", used)

    def code(self, value: types.CodeType) -> Iterator[str]:
        yield value.co_code.hex()
        yield value.co_exceptiontable.hex()
        yield " ".join((*value.co_names, "|", *value.co_varnames, "|", *value.co_freevars, "|", *value.co_cellvars))
        yield f"{value.co_argcount} {value.co_posonlyargcount} {value.co_kwonlyargcount} {value.co_flags}"
        yield from self.walk_all("constants", value.co_consts)

    def function(self, value: types.FunctionType) -> Iterator[str]:
        if from_library(value.__module__):
            yield from self.named(value)
            return
        if self.version is not None:
            yield f"version:{self.version}"
            return
        globals_read = {name: value.__globals__[name] for name in _global_names(value) if name in value.__globals__}
        cells = value.__closure__ or ()
        yield from self.walk_all("function", (value.__code__, value.__defaults__, value.__kwdefaults__))
        yield from self.walk_all("closure", cells)
        yield from self.walk_all("globals", (globals_read,))

    def cell(self, value: types.CellType) -> Iterator[str]:
        try:
            contents = value.cell_contents
        except ValueError:
            return iter(("empty cell",))
        return self.walk(contents)

    def cls(self, value: type) -> Iterator[str]:
        if from_library(value.__module__):
            yield from self.named(value)
            return
        if self.version is not None:
            yield f"version:{self.version}"
            return
        members = {name: member for name, member in vars(value).items() if name not in _IGNORED_MEMBERS}
        yield from self.walk_all("class", (value.__bases__, members))

    def named(self, value: Any) -> Iterator[str]:
        name = getattr(value, "__qualname__", value.__name__)
        yield f"named:{getattr(value, '__module__', '')}.{name}"

    def builtin(self, value: types.BuiltinFunctionType) -> Iterator[str]:
        yield f"builtin:{value.__qualname__}"
        yield from self.walk(value.__self__)

    def network(self, value: nn.Module) -> Iterator[str]:
        """Describe a network by its class, its tensors and its other attributes, and its parts alike.

        The private ones of a module of torch follow from the public ones.
        """
        tensors = {**dict(value.named_parameters(recurse=False)), **dict(value.named_buffers(recurse=False))}
        attributes = {name: attribute for name, attribute in vars(value).items() if not name.startswith("_")}
        yield from self.walk_all("network", (type(value), tensors, attributes, dict(value.named_children())))
        private = {name: attribute for name, attribute in vars(value).items() if name.startswith("_")}
        own = private.keys() - OF_EVERY_MODULE
        if own and self.version is None and not from_library(type(value).__module__):
            yield from self.walk_all("private", ({name: private[name] for name in sorted(own)},))

    def instance(self, value: Any) -> Iterator[str]:
        """Describe an object of any other class: a dataclass by its fields, a user's object by its attributes."""
        kind = type(value)
        if is_dataclass(value):
            known = {field.name: (getattr(value, field.name), field) for field in fields(value)}
            state: Any = {name: held for name, (held, field) in known.items() if not _is_as_before(field, held)}
        elif self.version is not None:
            state = None
        elif not from_library(kind.__module__) and hasattr(value, "__dict__"):
            state = vars(value)
        elif hasattr(value, "__wrapped__"):
            state = value.__wrapped__
        elif callable(value) and hasattr(value, "__name__"):
            yield from self.named(value)
            return
        elif kind.__module__ == "typing":
            state = repr(value)
        else:
            raise TaskError(
                f"a {kind.__module__}.{kind.__qualname__} cannot be fingerprinted, so lrbench cannot tell whether two "
                'runs are the same; give the task version="..." and change it whenever its code or data changes'
            )
        yield from self.walk_all("instance", (kind, state))


def _is_as_before(field: Field[Any], held: Any) -> bool:
    """Return whether a field has no identity, or was added later and has its default."""
    if NO_IDENTITY.keys() <= field.metadata.keys():
        return True
    added = ADDED_LATER.keys() <= field.metadata.keys()
    return added and type(held) is type(field.default) and held == field.default


def _members(module: types.ModuleType) -> list[Any]:
    kinds = (types.ModuleType, types.FunctionType, type)
    return [member for member in vars(module).values() if isinstance(member, kinds)]


def _as_array(tensor: Tensor) -> NDArray[Any]:
    plain = tensor.detach().cpu().contiguous()
    return plain.view(torch.uint8).numpy() if plain.dtype == torch.bfloat16 and plain.ndim else plain.numpy()


def _global_names(function: types.FunctionType) -> list[str]:
    """Return the names of the globals that a function, or a function written inside it, reads; sorted."""
    pending, names = [function.__code__], set()
    while pending:
        code = pending.pop()
        names |= {i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
        pending += [constant for constant in code.co_consts if inspect.iscode(constant)]
    return sorted(names)
