"""Plugins: a user's Python file, executed once so that its decorators register names."""

import importlib.util
import os
import sys
import traceback
from hashlib import blake2b
from pathlib import Path
from types import ModuleType

from lrbench.errors import LRBenchError, TaskError, one_line
from lrbench.files import user_path, working_directory_kept

PREFIX = "lrbench_plugin_"


def plugin_modules() -> list[ModuleType]:
    """List the plugins that are loaded."""
    return [module for name, module in sys.modules.items() if name.startswith(PREFIX)]


def load_plugin(path: Path | str) -> None:
    """Execute the file at `path`, unless it has been executed.

    Raises:
        TaskError: there is no such file, or it fails, with its line.
    """
    file = user_path(path).resolve()
    module_name = f"{PREFIX}{blake2b(os.fsencode(file), digest_size=8).hexdigest()}"
    if module_name in sys.modules:
        return
    if not os.path.isfile(file):
        raise TaskError(f"there is no plugin file {path}")
    if file.suffix != ".py":
        raise TaskError(f"the plugin {path} must be a Python file, *.py")
    spec = importlib.util.spec_from_file_location(module_name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        with working_directory_kept():
            spec.loader.exec_module(module)
    except LRBenchError as error:
        del sys.modules[module_name]
        raise TaskError(f"the plugin {path}: {error}") from error
    except (Exception, SystemExit) as error:
        del sys.modules[module_name]
        reason = one_line(f"{type(error).__name__}: {error}")
        raise TaskError(f"the plugin {path} fails{_place(error, file)}: {reason}") from error


def _place(error: BaseException, file: Path) -> str:
    """Write ` at line N` for the last line of the file that was executed; nothing where none was."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    return f" at line {lines[-1]}" if lines else ""
