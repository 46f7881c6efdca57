"""Build the documentation site: `python .docs/build.py FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from sources import lay_out
from sphinx.cmd.build import main

HERE = Path(__file__).parent


def build(site: Path) -> int:
    """Build the site into a folder, with warnings as errors, and return Sphinx's exit code."""
    with TemporaryDirectory() as scratch:
        lay_out(Path(scratch) / "source")
        options = ("-W", "--keep-going", "-q", "-b", "html", "-c", str(HERE), "-d", f"{scratch}/doctrees")
        return main([*options, f"{scratch}/source", str(site)])


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1])))
