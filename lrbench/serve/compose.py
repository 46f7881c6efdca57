"""Compose: a policy from rows of functions, as text, curve and code; and named policies."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrbench.display.docstring import first_sentence
from lrbench.errors import LRBenchError, PolicyError
from lrbench.files import write_atomically
from lrbench.policy import catalog, catalogs, functions, parse
from lrbench.policy.composition import Piecewise, Repeated, Scaled, Warmup
from lrbench.policy.explain import example_of
from lrbench.policy.toml_catalog import load_catalog
from lrbench.policy.torch_code import torch_code

if TYPE_CHECKING:
    from lrbench.policy import Parameter, Policy

MOST_STEPS = 1_000_000
"""The most iterations that a curve is drawn over."""

NAME = re.compile(r"\w[\w .,+=-]{0,99}")
"""The name of a study or a policy that is saved: also that of a file, so that it has no slash."""


def described() -> dict[str, Any]:
    """Describe all that policies can be composed of, from the declarations of the functions."""
    return {
        "functions": [
            {
                "name": name,
                "group": function.group,
                "about": first_sentence(function),
                "formula": function.formula,
                "parameters": list(map(declared, function.parameters)),
                "example": None if (example := example_of(function)) is None else rows_of(example)[0]["arguments"],
            }
            for name, function in functions().items()
        ]
    }


def declared(parameter: Parameter) -> dict[str, Any]:
    """Describe a parameter of a function or of a modifier."""
    one = parameter
    default = "" if one.required else one.kind.text(one.default)
    described = {"name": one.name, "unit": one.unit, "doc": one.doc, "allowed": one.allowed}
    return {**described, "required": one.required, "default": default}


def composed(text: str, steps: int, steps_per_epoch: int) -> dict[str, Any]:
    """Parse a policy, and return its canonical text, its rows, its code and its curve over a budget.

    Raises:
        PolicyError: the text is no policy, or does not fit the budget.
    """
    from lrbench.report.plots.lr_curves import simplified, stairs

    if not (1 <= steps <= MOST_STEPS and 1 <= steps_per_epoch <= MOST_STEPS):
        raise PolicyError(f"the budget and the length of an epoch must be from 1 to {MOST_STEPS:,} iterations")
    policy = parse(text)
    bound = policy.bind(steps, steps_per_epoch)
    answer: dict[str, Any] = {"text": policy.text, "rows": rows_of(policy), "code": torch_code(policy)}
    if bound.reacts:
        return answer | {"note": "This policy reacts to the validation score: it has no curve before training."}
    lrs = bound.lrs(0, steps)
    x, y = simplified(stairs(lrs), float(steps), float(lrs.max()) or 1.0)
    return answer | {"x": x.tolist(), "y": [float(f"{rate:.6g}") for rate in y.tolist()]}


def rows_of(policy: Policy) -> list[dict[str, Any]]:
    """Split a policy into rows that are applied one after another: a function first, then what is done with it."""
    match policy:
        case Piecewise():
            first, *others = policy.policies
            rows = rows_of(first)
            for part, at in zip(others, policy.at, strict=True):
                (row, *more) = rows_of(part)
                rows.append({"at": str(at), **(row if not more else {"text": part.text})})
            return rows
        case Warmup():
            given = {"length": str(policy.length), "start": repr(policy.start)}
            return [*rows_of(policy.policy), {"method": "warmup", "arguments": given}]
        case Scaled():
            return [*rows_of(policy.policy), {"method": "scaled", "arguments": {"factor": repr(policy.factor)}}]
        case Repeated():
            return [*rows_of(policy.policy), {"method": "repeated", "arguments": {"every": str(policy.every)}}]
    given = {one.name: one.kind.text(getattr(policy, one.name)) for one in policy.parameters}
    return [{"function": policy.label, "arguments": given}]


class NamedPolicies:
    """The policies that were saved, in a catalog beside the store.

    Attributes:
        file: the catalog, which `lrbench show` and study files read too.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    def listed(self) -> list[dict[str, str]]:
        """List the saved policies, and after them those of the catalogs that ship."""
        shipped = ((f"{name}/{key}", entry) for name in catalogs() for key, entry in catalog(name).items())
        return [*({"name": name, "text": text, "own": "yes"} for name, text in self._own().items())] + [
            {"name": name, "text": entry.policy.text} for name, entry in shipped
        ]

    def save(self, name: str, text: str) -> None:
        """Save a policy under a name, in place of one that had it.

        Raises:
            LRBenchError: the name cannot be used, or the text is no policy.
        """
        self._write({**self._own(), checked_name(name): parse(text).text})

    def forget(self, name: str) -> None:
        """Drop a saved policy, if there is one of the name."""
        self._write({known: text for known, text in self._own().items() if known != name})

    def _own(self) -> dict[str, str]:
        if not self.file.is_file():
            return {}
        return {name: entry.policy.text for name, entry in load_catalog(self.file).items()}

    def _write(self, policies: Mapping[str, str]) -> None:
        lines = ['title = "Policies saved on the page"\n']
        for name, text in policies.items():
            lines.append(f'\n[[policy]]\nname = {toml(name)}\npolicy = {toml(text)}\nsource = "composed on the page"\n')
        write_atomically(self.file, "".join(lines).encode())


MOST_OF_A_POLICY = 2000
"""The most characters of a policy's name in a study."""


def checked_name(name: object, most: int = 0) -> str:
    """Return a name that can be used: of `most` characters of any kind, or, for 0, one that a file can have too.

    Raises:
        LRBenchError: it cannot be used.
    """
    given = name.strip() if isinstance(name, str) else ""
    if 0 < len(given) <= most or (not most and NAME.fullmatch(given)):
        return given
    allowed = f"a text of at most {most} characters" if most else "letters, digits and . , + = - _, at most 100"
    raise LRBenchError(f"the name {toml(str(name))[:200]} must be {allowed}")


def toml(text: str) -> str:
    """Write a text as a string of TOML."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
