"""Files that are read within bounds and written whole or not at all; paths and the working directory."""

from __future__ import annotations

import errno
import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from lrbench.errors import LRBenchError

MOST_TOML = 16 * 2**20
"""The largest TOML file that is read, in bytes: enough for a study of 100,000 policies."""

_DEEP_KEY = re.compile(r"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){64}""", re.ASCII)


def read_regular(path: str | Path, most: int) -> bytes:
    """Read a regular file of at most `most` bytes.

    Raises:
        OSError: there is none, it cannot be read, it is a folder, a pipe or a device, or it is larger.
    """
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        with open(path, "rb") as file:
            content = file.read(most + 1)
    except ValueError as error:
        raise OSError(errno.EINVAL, f"it has no possible name ({error})", str(path)) from None
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
    return content


def shipped(folder: str, suffix: str = ".toml") -> dict[str, Path]:
    """List the files that ship with lrbench in a folder of the package, or of its repository, by their names."""
    package = Path(__file__).parent
    place = next((place for place in (package / folder, package.parent / folder) if place.is_dir()), None)
    return {} if place is None else {file.stem: file for file in sorted(place.glob(f"*{suffix}"))}


def read_toml(file: str | Path) -> dict[str, Any]:
    """Read the tables of a TOML file.

    Raises:
        ValueError: it cannot be read, or is no TOML in UTF-8; the message follows the name of the file.
    """
    try:
        content = read_regular(file, MOST_TOML)
    except OSError as error:
        reason = "it is a folder" if isinstance(error, IsADirectoryError) else error.strerror or error
        raise ValueError(f"cannot be read as a TOML file: {reason}") from None
    return toml_tables(content)


def toml_tables(content: bytes) -> dict[str, Any]:
    """Parse the tables of a TOML file in UTF-8.

    Raises:
        ValueError: it is not; the message follows the name of the file.
    """
    try:
        text = content.decode("utf-8-sig")
        if _DEEP_KEY.search(text):  # tomllib takes memory by the square of a key's depth
            raise RecursionError
        tables = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"is not UTF-8 text: line {line} has the byte 0x{content[error.start]:02x}") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"is not valid TOML: {error}") from None
    except RecursionError:
        raise ValueError("is not valid TOML: its keys, arrays or tables are nested too deeply") from None
    except ValueError:  # Python's own limit to the digits of an integer
        raise ValueError(f"is not valid TOML: an integer is {_INTEGERS}") from None
    _check_integers(tables)
    return tables


_INTEGERS = "from -2^63 to 2^63 - 1"


def _check_integers(tables: dict[str, Any]) -> None:
    """Refuse integers of more than 64 bits, as TOML does, so that each is finite as a float too."""
    pending: list[tuple[str, Any]] = list(tables.items())
    while pending:
        key, value = pending.pop()
        if isinstance(value, dict):
            pending.extend(value.items())
        elif isinstance(value, list):
            pending.extend((key, item) for item in value)
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ValueError(f"is not valid TOML: {key} has an integer that is not {_INTEGERS}")


def user_path(path: str | Path) -> Path:
    """Replace a leading `~` or `~user` of a path by that user's home folder.

    Raises:
        LRBenchError: the system knows no such user, or the path has a NUL character.
    """
    if "\0" in str(path):
        raise LRBenchError(f"the path {str(path)!r} has a NUL character, which no file's name has")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise LRBenchError(f"{path} begins with the home folder of a user that the system does not know") from None


def utf8_text(name: str) -> str:
    """Read a file's name or an argument of the command line as UTF-8, whatever encoding the system's settings have.

    Raises:
        LRBenchError: its bytes are not UTF-8.
    """
    if is_utf8(name):
        return name
    try:
        return os.fsencode(name).decode()
    except UnicodeError:
        raise LRBenchError(f"the name {name!a} is not UTF-8") from None


def is_utf8(text: str) -> bool:
    """Return whether a text can be written in UTF-8: it has no bytes that the system could not decode."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def write_atomically(path: Path, content: bytes) -> None:
    """Put `content` into a file, as `replace_file` does."""
    replace_file(path, lambda file: file.write(content))


def replace_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a file so that a reader always sees the old one or the whole new one.

    The new file has the permissions of an old one.

    Raises:
        OSError: the file cannot be written; an old one is unchanged.
    """
    temporary = path.with_name(f"{path.name[:40]}.{uuid4().hex}.tmp")  # a name has at most 255 bytes
    try:
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            temporary.chmod(stat.S_IMODE(path.stat().st_mode))
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


@contextmanager
def working_directory_kept() -> Iterator[None]:
    """Return to the working directory after a user's code, unless it was deleted before."""
    try:
        before = os.getcwd()
    except OSError:
        yield
        return
    try:
        yield
    finally:
        os.chdir(before)
