"""Build the documentation site: `python .docs/build.py FOLDER`."""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from examples import examples, output
from reports import report, tables
from sources import GUIDE, README, REPORTS, STUDIES, lay_out
from sphinx.cmd.build import main

HERE = Path(__file__).parent


def build(site: Path) -> int:
    """Build the site into a folder, with warnings as errors, and return Sphinx's exit code."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["torch", "pandas", "lrbench.cli"])  # so that a process of an example begins at once
    runs = [example for page in (README, *sorted(GUIDE.glob("*.md"))) for example in examples(page)]
    with ProcessPoolExecutor(mp_context=context, max_tasks_per_child=1) as pool, TemporaryDirectory() as scratch:
        printed = pool.map(output, runs)
        written = pool.map(report, tables(STUDIES))
        lay_out(Path(scratch) / "source", dict(zip(runs, printed, strict=True)))
        options = ("-W", "--keep-going", "-q", "-b", "html", "-c", str(HERE), "-d", f"{scratch}/doctrees")
        failed = main([*options, f"{scratch}/source", str(site)])
        (site / REPORTS).mkdir(exist_ok=True)
        for table, page in zip(tables(STUDIES), written, strict=True):
            (site / REPORTS / f"{table.stem}.html").write_text(page, encoding="utf-8")
    return failed


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1])))
