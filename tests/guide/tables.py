"""The tables of the guide that are made from declarations: `python -m tests.guide.tables` writes them into its pages.

A made table is the first one under its heading.
"""

from __future__ import annotations

import inspect
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import typer

import lrbench
from lrbench.cli import app
from lrbench.cli.keys import REQUIRED, REQUIRED_WITHOUT_BASE, TASK, as_toml, keys
from lrbench.display.curve import sparkline
from lrbench.display.docstring import first_sentence
from lrbench.metrics import METRICS, MetricDeclaration
from lrbench.modifiers import description, modifiers, settings_named
from lrbench.policy import catalog, catalogs, functions
from lrbench.policy.curve import sketch
from lrbench.policy.explain import example_of
from lrbench.policy.function import Named
from lrbench.report.plot import plots
from lrbench.tasks.augment import AUGMENTATIONS
from lrbench.tasks.mixtures import MIXTURES
from lrbench.tasks.optimizers import OPTIMIZERS
from lrbench.tasks.registry import Registration, datasets, models, tasks

GUIDE = Path(lrbench.__file__).parent / "guide"

SPARKS = 20
"""Characters of a curve in the gallery."""

SHARED_BY = 3
"""An option of so many commands is described once for all of them."""

ERROR_RATES = Path(__file__).parents[1] / "benchmarks" / "error_rates.json"

BREAKING = ("shapes that differ", "rare collapses")
"""The noises with which more than 5% of studies err."""

Cells = Sequence[str]


@dataclass(frozen=True)
class Table:
    """One table of a page."""

    page: str
    heading: str
    columns: Cells
    rows: Sequence[Cells]

    @property
    def lines(self) -> list[str]:
        """The table in Markdown."""
        return [_line(self.columns), _line("---" for _ in self.columns).replace(" ", ""), *map(_line, self.rows)]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def place_of(table: Table, lines: Sequence[str]) -> tuple[int, int]:
    """The lines of the first table under a heading, from the first to behind the last."""
    heading = next(i for i, line in enumerate(lines) if re.fullmatch(rf"#+ {re.escape(table.heading)}", line))
    start = next(i for i in range(heading + 1, len(lines)) if lines[i].startswith("|") or lines[i].startswith("#"))
    if lines[start].startswith("#"):
        raise LookupError(f"{table.page}: there is no table under '{table.heading}'")
    stop = next((i for i in range(start, len(lines)) if not lines[i].startswith("|")), len(lines))
    return start, stop


def _code(text: object) -> str:
    return f"`{str(text).replace('|', chr(92) + '|')}`" if str(text) else ""


def _plain(text: object) -> str:
    """Text that means nothing to Markdown but what stands in backticks."""
    return re.sub(r"[|*<]", r"\\\g<0>", str(text))


# Study and search files -----------------------------------------------------------------------------------------------


def _options(declared: Mapping[str, Any]) -> str:
    """Options as a study file writes them, each with its default."""
    return ", ".join(_code(name) + _whether_required(value) for name, value in declared.items())


def _default(text: str) -> str:
    return text if text in (REQUIRED, REQUIRED_WITHOUT_BASE) else _code(text)


def _whether_required(default: Any) -> str:
    if default is inspect.Parameter.empty:
        return " (required)"
    return "" if default is None else f" ({_code(as_toml(default))})"


def _specifications(known: Mapping[str, type]) -> Iterator[Cells]:
    for name, kind in known.items():
        options = {option: parameter.default for option, parameter in inspect.signature(kind).parameters.items()}
        yield _code(name), _options(options), _plain(first_sentence(kind))


def _registered(known: Mapping[str, Registration[Any]]) -> Iterator[Cells]:
    for name, entry in sorted(known.items()):  # datasets are registered in the order of their imports
        yield _code(name), _options(entry.options), _plain(entry.description)


STUDY_FILES = "study-files"
KEYS = ("key", "must be", "default", "what it says")
KINDS = ("kind", "options", "what it is")


def _study_file_tables() -> Iterator[Table]:
    for heading, declared in groupby(keys(), key=lambda key: key.table):
        rows = [(_code(key.name), _plain(key.allowed), _default(key.default), _plain(key.help)) for key in declared]
        if heading == TASK:
            yield Table(STUDY_FILES, heading, (KEYS[0], *KEYS[2:]), [(row[0], *row[2:]) for row in rows])
        else:
            yield Table(STUDY_FILES, heading, KEYS, rows)
    named = ("task", "what it is")
    yield Table(STUDY_FILES, "Tasks", named, [(_code(n), _plain(e.description)) for n, e in tasks.items()])
    yield Table(STUDY_FILES, "Data sets", KINDS, list(_registered(datasets)))
    yield Table(STUDY_FILES, "Models", KINDS, list(_registered(models)))
    yield Table(STUDY_FILES, "Optimizers", KINDS, list(_specifications(OPTIMIZERS)))
    yield Table(STUDY_FILES, "Augmentations", KINDS, list(_specifications(AUGMENTATIONS)))
    yield Table(STUDY_FILES, "Mixtures", KINDS, list(_specifications(MIXTURES)))


# Policies and modifiers -----------------------------------------------------------------------------------------------


def _drawn(name: str) -> str:
    """The curve of a function's example."""
    example = example_of(functions()[name])
    drawn = None if example is None else sketch(example)
    return "as training goes" if drawn is None else sparkline(drawn.lrs, SPARKS)


def _gallery(names: Iterable[str]) -> Iterator[Cells]:
    for name in names:
        function = functions()[name]
        yield _code(_signature(function)), _code(function.formula), _plain(first_sentence(function)), _drawn(name)


def _signature(function: type[Named]) -> str:
    given = (p.name if p.required else f"{p.name}={p.kind.text(p.default)}" for p in function.parameters)
    return f"{function.__name__}({', '.join(given)})"


def _policy_tables() -> Iterator[Table]:
    paper, family = (
        [type(e.policy).__name__ for e in catalog(name).values()] for name in ("lrbench13", "lrbench_family")
    )
    reactive = [name for name, function in functions().items() if function.group == "reactive"]
    tables = [name for name, function in functions().items() if function.group == "table"]
    modern = [name for name in functions() if name not in (*paper, *family, *reactive, *tables)]
    groups = {
        "The 13 of the paper": paper,
        "The 21 others of LRBench": family,
        "Modern schedules": modern,
        "Policies that react": reactive,
        "Tables of learning rates": tables,
    }
    for heading, names in groups.items():
        yield Table("policies", heading, ("function", "formula", "what it does", "looks like"), list(_gallery(names)))
    rows = [(_code(name), _plain(catalog(name).title), f"{len(catalog(name))}") for name in catalogs()]
    yield Table("policies", "Catalogs", ("catalog", "what it is", "policies"), rows)


def _modifier_tables() -> Iterator[Table]:
    what = [(_code(name), _plain(description(name))) for name in modifiers()]
    yield Table("modifiers", "The modifiers", ("modifier", "what it does"), what)
    rows = [
        (
            _code(name),
            _code(one.name),
            _plain(one.allowed),
            _plain("required" if one.required else one.default),
            _unit(one),
        )
        for name in modifiers()
        for one in settings_named(name)
    ]
    yield Table("modifiers", "Settings", ("modifier", "setting", "must be", "default", "what it means"), rows)


def _unit(setting: Any) -> str:
    return _plain(f"{setting.doc} [{setting.unit}]" if setting.unit else setting.doc)


# Metrics, plots and the command line ----------------------------------------------------------------------------------


def _plot_tables() -> Iterator[Table]:
    rows = [(_code(plot.name), _plain(plot.title), plot.of, _plain(plot.needs)) for plot in plots()]
    yield Table("plots", "The kinds", ("kind", "what it shows", "drawn of a", "what it takes"), rows)


def _margin(metric: MetricDeclaration) -> str:
    units = {"": "", "steps": " of the budget", "best": " of the best"}
    return f"{metric.default_margin:g}{units[metric.margin_of]}"


def _metric_tables() -> Iterator[Table]:
    rows = [(_code(name), _plain(one.help), one.better or "", _margin(one)) for name, one in METRICS.items()]
    yield Table("verdicts", "The metrics", ("metric", "what it is", "better", "margin"), rows)


def _rate_tables() -> Iterator[Table]:
    """Tabulate wrong `good` / wrong `avoid` in percent of studies, at the worst of the cells that share a place."""
    answer = json.loads(ERROR_RATES.read_text(encoding="utf-8"))
    cells = {tuple(name.split(" | ")): found for name, found in answer.items() if name.count(" | ") == 3}
    designs, sizes, _, noises = (list(dict.fromkeys(part)) for part in zip(*cells, strict=True))

    def found(design: str, **wanted: Sequence[str]) -> list[dict[str, float]]:
        size, noise = wanted.get("size", sizes), wanted.get("noise", noises)
        return [rates for (who, k, _, kind), rates in cells.items() if who == design and k in size and kind in noise]

    def worst(rates: Sequence[dict[str, float]]) -> str:
        if not rates:
            return ""
        return " / ".join(f"{100 * max(one[wrong] for one in rates):.1f}" for wrong in ("wrong_good", "wrong_avoid"))

    def error(rates: Sequence[dict[str, float]]) -> str:
        errors = sorted(math.sqrt(5 * 95 / one["studies"]) for one in rates)
        return " to ".join(dict.fromkeys(f"{one:.1f}" for one in (errors[0], errors[-1])))

    sound = [noise for noise in noises if noise not in BREAKING]
    rows = [
        (who, *(worst(found(who, size=[k], noise=sound)) for k in sizes), error(found(who, noise=sound)))
        for who in designs
    ]
    yield Table("verdicts", "By who looks", ("who looks", *sizes, "standard error"), rows)
    rows = [(noise, *(worst(found(who, noise=[noise])) for who in designs)) for noise in (*sound, *BREAKING)]
    yield Table("verdicts", "By the noise", ("noise", *designs), rows)


def commands() -> dict[str, Any]:
    """The commands of `lrbench` by name, as typer's own objects."""
    group: Any = typer.main.get_command(app)
    return dict(group.commands)


def _option(parameter: Any) -> Cells:
    default = parameter.default
    if parameter.required:
        default = "required"
    elif isinstance(parameter.show_default, str):
        default = parameter.show_default
    elif default is None or default is False or not parameter.show_default:
        default = ""
    return _code(_name(parameter)), _plain(default), _plain(parameter.help or "")


def _name(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar)
    return " ".join([", ".join(parameter.opts), *([] if parameter.is_flag else [str(parameter.metavar)])])


def _command_tables() -> Iterator[Table]:
    declared = {name: [_option(p) for p in command.params if not p.hidden] for name, command in commands().items()}
    times = Counter(option for options in declared.values() for option in options)
    shared = [option for option, count in times.items() if count >= SHARED_BY]
    columns = ("option", "default", "what it says")
    yield Table("command-line", "Shared options", columns, shared)
    for name, options in declared.items():
        own = [option for option in options if option not in shared]
        rest = ", ".join(option[0] for option in options if option in shared)
        yield Table("command-line", f"lrbench {name}", columns, [*own, ("shared options", "", rest)])


def tables() -> list[Table]:
    """Every made table of the guide."""
    of_metrics = (_rate_tables, _metric_tables)
    made = (_study_file_tables, _policy_tables, _modifier_tables, *of_metrics, _plot_tables, _command_tables)
    return [table for make in made for table in make()]


def rewrite() -> None:
    """Bring every made table of the guide up to date."""
    for table in tables():
        file = GUIDE / f"{table.page}.md"
        lines = file.read_text(encoding="utf-8").split("\n")
        start, stop = place_of(table, lines)
        lines[start:stop] = table.lines
        file.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    rewrite()
