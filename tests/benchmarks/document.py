"""What a run of the benchmarks leaves behind: one JSON document, and a Markdown table made of it."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from harness import ROOT, Comparison

PACKAGES = ("lrbench", "torch", "torchvision", "numpy", "optuna", "ray", "lightning", "SQLAlchemy")


def document(
    command: str, data: str, found: Mapping[str, Sequence[Comparison]], device: str | None = None
) -> dict[str, Any]:
    """All that was measured, and what made it; `device` describes that of the benchmark of GPUs."""
    return {
        "command": command,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "class": f"{platform.system()} {platform.machine()}, {_processor()}" + (f", {device}" if device else ""),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        },
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "commit": _commit(),
        "mnist": data,
        "ratio": "what the baseline needs over what lrbench's candidate needs, the median over rounds in turns",
        "benchmarks": [
            {"benchmark": name, **comparison.to_json()} for name, several in found.items() for comparison in several
        ],
    }


def table(document: Mapping[str, Any]) -> str:
    """The ratios as Markdown."""
    lines = [
        "| benchmark | lrbench | baseline | measure | lrbench's | baseline's | ratio | lowest..highest | n |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in document["benchmarks"]:
        note = f" ({row['note']})" if row["note"] else ""
        ratio, span = f"{row['ratio']:.3g}", f"{row['lowest']:.3g}..{row['highest']:.3g}"
        medians = [f"{median(each[row['measure']] for each in row[side]):.4g}" for side in ("ours", "theirs")]
        cells = (row["benchmark"], row["what"], row["baseline"] + note, row["measure"], *medians, ratio, span, row["n"])
        lines.append(f"| {' | '.join(map(str, cells))} |")
    machine, versions = document["machine"], document["versions"]
    about = (
        f"*Made by `{document['command']}` at commit {document['commit']} on {machine['class']}, "
        f"{machine['cores']} cores, Python {versions['python']}, torch {versions['torch']}; "
        f"MNIST: {document['mnist']}. A ratio is {document['ratio']}: over 1, lrbench needs less.*"
    )
    return "\n".join([*lines, "", about])


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*: (.*)", information.read_text()) if information.exists() else None
    return named[1] if named else platform.processor() or "processor unknown"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    command = ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return said.stdout.strip() or None
