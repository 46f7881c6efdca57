"""Short names for the rows of tables and pictures, and text folded into lines."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

DIFFERS = "…"
MOST_LINES = 2
"""The most lines of a fitted name."""

UNBREAKABLE = "\N{NO-BREAK SPACE}"
ARGUMENT = re.compile(r"(\w+)=('[^']*'|\[[^][]*]|[^][,()']+)")
"""A name and its value in the text of a policy or of a modifier."""


@dataclass(frozen=True)
class ShortNames:
    """Short names of rows.

    Attributes:
        shown: the short name by each full name; no two are the same.
        patterns: for each shape of shortened names, the whole text with "…" for the values that differ, such as
            `STEP(k0=…, gamma=0.1, l=…)`.
    """

    shown: Mapping[str, str]
    patterns: tuple[str, ...] = ()


class Place(NamedTuple):
    """The place of an argument: the number of opening brackets before it, and its name."""

    call: int
    argument: str


def short_names(names: Iterable[str], longest: int) -> ShortNames:
    """Leave out the arguments that names of one shape share, for every shape with a name of over `longest` characters.

    Names have the same shape if they differ in the values of arguments alone, such as the policies of a grid. A name
    that is alone of its shape is left whole, and so is one whose short name another name has.
    """
    names = list(dict.fromkeys(names))
    shapes: dict[tuple[str, bool], list[str]] = {}
    for name in names:
        arguments = _arguments(name).keys()
        shapes.setdefault((_without(name, arguments), bool(arguments)), []).append(name)
    shown, patterns = dict(zip(names, names, strict=True)), []
    for alike in shapes.values():
        shared = _shared(alike) if len(alike) > 1 and max(map(len, alike)) > longest else None
        if shared:
            shown |= {name: _without(name, shared) for name in alike}
            patterns.append(_pattern(alike, shared))
    called = Counter(shown.values())
    return ShortNames({name: short if called[short] == 1 else name for name, short in shown.items()}, tuple(patterns))


def shortened(name: str, longest: int) -> str:
    """Cut a name to `longest` characters, with an ellipsis where it has more."""
    return name if len(name) <= longest else name[: longest - 1] + DIFFERS


def wrapped(name: str, width: int) -> str:
    """Fold a whole name into lines of `width` characters, at spaces where possible."""
    if len(name) <= width:
        return name
    return "\n".join(textwrap.wrap(name, max(width, 4), subsequent_indent="  ", break_on_hyphens=False))


def fitted(name: str, width: int, lines: int = MOST_LINES) -> str:
    """Fold a name into at most `lines` lines of `width` characters, without its middle where it is longer."""
    kept = min(len(name), lines * width)
    while (text := wrapped(_without_middle(name, kept), width)).count("\n") >= lines:
        kept -= 2
    return text


def many(count: int, noun: str) -> str:
    """Write a number and its noun: `1 policy`, `1,200 policies`."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun[:-1]}ies" if noun.endswith("y") else f"{count:,} {noun}s"


def unbroken(phrase: str) -> str:
    """Mark a phrase so that `paragraph` breaks it only where it is longer than a line."""
    return phrase.replace(" ", UNBREAKABLE)


def paragraph(text: str, width: int) -> str:
    """Fold text into lines of `width` characters, all but the first indented."""
    lines = textwrap.wrap(text, width, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)
    spaced = (line.replace(UNBREAKABLE, " ") for line in lines)
    return "\n".join(textwrap.fill(line, width, subsequent_indent="    ") for line in spaced)


def _arguments(name: str) -> dict[Place, str]:
    return {place: value for place, value, _ in _matches(name)}


def _matches(name: str) -> Iterable[tuple[Place, str, re.Match[str]]]:
    """Find the arguments inside brackets, each with its place."""
    for match in ARGUMENT.finditer(name):
        call = name.count("(", 0, match.start())
        if call:
            yield Place(call, match[1]), match[2], match


def _shared(names: Sequence[str]) -> frozenset[Place]:
    """Return the places at which all names have the same value."""
    first, *others = map(_arguments, names)
    return frozenset(place for place, value in first.items() if all(other.get(place) == value for other in others))


def _without(name: str, left_out: Collection[Place]) -> str:
    """Remove arguments from a name, with the brackets and commas that are left over."""
    kept, end = [], 0
    for place, _, match in _matches(name):
        if place in left_out:
            kept.append(name[end : match.start()])
            end = match.end()
    if not kept:
        return name
    text = "".join([*kept, name[end:]])
    for surplus, rest in ((r"(, ){2,}", ", "), (r"\((, )+", "("), (r"(, )+\)", ")"), (r"\(\)", "")):
        text = re.sub(surplus, rest, text)
    return text


def _pattern(names: Sequence[str], shared: frozenset[Place]) -> str:
    """Write the name with the most arguments, with an ellipsis for every value that is not shared."""
    fullest = max(names, key=lambda name: len(_arguments(name)))
    pieces, end = [], 0
    for place, _, match in _matches(fullest):
        if place not in shared:
            pieces += [fullest[end : match.start(2)], DIFFERS]
            end = match.end()
    return "".join([*pieces, fullest[end:]])


def _without_middle(name: str, kept: int) -> str:
    return name if kept >= len(name) else f"{name[: kept // 2]}{DIFFERS}{name[-(kept // 2) :]}"
