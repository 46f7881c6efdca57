"""Catalogs: named policies with their provenance, as data in TOML.

A catalog file:

    title = "What it is"

    [[policy]]
    name = "step"
    policy = "STEP(k0=0.1, gamma=0.1, l=0.25dur)"
    source = "where its parameters come from"
    note = "anything else worth knowing"            # may be left out
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lrbench.display.readable import LINE_WIDTH, Block, Readable
from lrbench.errors import PolicyError, did_you_mean, unknown_name
from lrbench.files import read_toml, shipped
from lrbench.policy.kind import short_repr
from lrbench.policy.notation import parse
from lrbench.policy.policy import Policy

_REQUIRED = ("name", "policy", "source")
_ENTRY_KEYS = (*_REQUIRED, "note")
_FILE_KEYS = ("title", "policy")


@dataclass(frozen=True)
class CatalogEntry:
    """A policy of a catalog: its name, the policy, its source, and a note."""

    name: str
    policy: Policy
    source: str
    note: str = ""


@dataclass(frozen=True, repr=False)
class Catalog(Readable, Mapping[str, CatalogEntry]):
    """The entries of a catalog by name, in the order of its file."""

    name: str
    title: str
    entries: tuple[CatalogEntry, ...]

    def __getitem__(self, name: str) -> CatalogEntry:
        for entry in self.entries:
            if entry.name == name:
                return entry
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (entry.name for entry in self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def display(self, width: int = LINE_WIDTH, *, drawn: bool = False) -> Iterator[Block]:
        from lrbench.policy.curve import policies_table

        title = f"{self.name}: {self.title}" if self.title else self.name
        yield policies_table({entry.name: entry.policy for entry in self.entries}, title, width, drawn=drawn)


def catalogs() -> tuple[str, ...]:
    """Return the names of the catalogs that ship with lrbench."""
    return tuple(shipped("policies"))


def catalog(name: str) -> Catalog:
    """Read a catalog that ships with lrbench.

    Raises:
        PolicyError: there is none of that name.
    """
    known = shipped("policies")
    if name not in known:
        raise PolicyError(unknown_name("catalog", name, known))
    return _read(known[name], f"catalog {name}")


def load_catalog(path: str | Path) -> Catalog:
    """Read a catalog from your own TOML file; its name is the file's.

    Raises:
        PolicyError: the file cannot be read, is no catalog, or an entry of it is no policy.
    """
    path = Path(path)
    return _read(path, f"catalog {path}")


def _read(file: Path, where: str) -> Catalog:
    try:
        document = read_toml(file)
    except ValueError as error:
        raise PolicyError(f"{where} {error}") from None
    _check_keys(document, _FILE_KEYS, ("policy",), where)
    rows, title = document["policy"], document.get("title", file.stem)
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise PolicyError(f"{where}: policy must be a list of tables, each under [[policy]]")
    if not isinstance(title, str):
        raise PolicyError(f"{where}: title must be text, not {short_repr(title)}")
    entries = tuple(_entry(row, f"{where}, entry {number}") for number, row in enumerate(rows, start=1))
    names = [entry.name for entry in entries]
    for twice in (entry for number, entry in enumerate(names) if entry in names[:number]):
        raise PolicyError(f"{where}: the name {twice!r} is given to two policies")
    return Catalog(file.stem, title, entries)


def _entry(row: dict[str, Any], where: str) -> CatalogEntry:
    _check_keys(row, _ENTRY_KEYS, _REQUIRED, where)
    for key, value in row.items():
        if not isinstance(value, str) or not value.strip():
            raise PolicyError(f"{where}: {key} must be text that is not empty, not {short_repr(value)}")
    try:
        policy = parse(row["policy"])
    except PolicyError as error:
        raise PolicyError(f"{where} ({row['name']}): {error}") from None
    return CatalogEntry(row["name"], policy, row["source"], row.get("note", ""))


def _check_keys(table: dict[str, Any], known: tuple[str, ...], required: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in known:
            raise PolicyError(f"{where}: unknown key {key!r}{did_you_mean(key, known)}: it takes {', '.join(known)}")
    for key in required:
        if key not in table:
            raise PolicyError(f"{where}: {key} is missing: it takes {', '.join(known)}")
