"""The examples of the pages, run, each in a process and a folder of its own.

They are the blocks that `tests/test_examples.py` runs: every program, and of the commands the first block of a page, so
that the site is built in two minutes. No notebook machinery is needed for that.
"""

from __future__ import annotations

import io
import os
import re
import shlex
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"# (\S+\.(?:py|toml|csv))\n")


class Example(NamedTuple):
    """A fenced block of a page that is run, its content, and the files of the page that it may name.

    Attributes:
        is_program: whether it is Python and no commands.
    """

    page: Path
    block: str
    content: str
    is_program: bool
    files: tuple[tuple[str, str], ...]


def examples(page: Path) -> Iterator[Example]:
    """List the examples of a page that are run."""
    blocks = [(found[0], found[1], found[2]) for found in BLOCK.finditer(page.read_text(encoding="utf-8"))]
    named = [(FILE.match(content), content) for _, info, content in blocks if info in ("python", "toml", "csv")]
    files = tuple((name[1], content) for name, content in named if name)
    yield from (
        Example(page, block, content, True, files)
        for block, info, content in blocks
        if info == "python" and not FILE.match(content)
    )
    commands = [(block, content) for block, info, content in blocks if info == "sh run"]
    yield from (Example(page, block, content, False, files) for block, content in commands[:1])


def output(example: Example) -> str:
    """Run an example, and return what it prints.

    Raises:
        RuntimeError: it fails.
    """
    printed = io.StringIO()
    os.environ.pop("LRBENCH_STORE", None)
    os.environ["COLUMNS"] = "100"
    with TemporaryDirectory() as folder, chdir(folder), redirect_stdout(printed), redirect_stderr(io.StringIO()):
        for name, content in example.files:
            Path(name).write_text(content, encoding="utf-8")
        try:
            if example.is_program:
                code = compile(example.content, example.page.name, "exec", dont_inherit=True)
                exec(code, {"__name__": "example"})
            else:
                _run_commands(example.content.splitlines())
        except Exception as error:
            raise RuntimeError(f"an example of {example.page.name} fails:\n{example.content}") from error
    return printed.getvalue()


def _run_commands(lines: list[str]) -> None:
    from typer.testing import CliRunner

    from lrbench.cli import app

    for line in lines:
        result = CliRunner().invoke(app, shlex.split(line)[1:], catch_exceptions=False)
        if result.exit_code:
            raise RuntimeError(f"{line}: {result.stderr}")
        print(*([f"$ {line}"] if len(lines) > 1 else []), result.stdout.strip("\n"), sep="\n")


def with_output(text: str, example: Example, printed: str) -> str:
    """Show below an example what it prints."""
    shown = f"{example.block}\n\n````{{code-block}} text\n:class: output\n\n{printed.strip(chr(10))}\n````"
    return text.replace(example.block, shown, 1) if printed.strip() else text
