"""How a command ends: its exit code, and one sentence on stderr for everything that can go wrong."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from typing import Any, cast

import typer
from typer.core import TyperGroup

from lrbench.cli.help import without_types
from lrbench.cli.standard_streams import STDOUT
from lrbench.cli.stdout import part_file, stream_parted_at_most_here
from lrbench.display.printable import printable_streams
from lrbench.errors import LRBenchError, brief

RUNS_FAILED = 1
CLAIM_FAILED = 1
USER_ERROR = 2
BUG = 70
INTERRUPTED = 130
BROKEN_PIPE = 141

UsageError = cast("type[Exception]", typer.BadParameter.__base__)
"""What typer raises for a command line that it cannot parse; the class has no public name."""


@dataclass
class Session:
    """What the options that every command takes say; the object of typer's root context.

    Attributes:
        debug: show the traceback of an error.
        color: colours and live progress are welcome where a stream is a terminal.
    """

    debug: bool = False
    color: bool = True


def session_of(context: typer.Context) -> Session:
    """Return the session of the running command."""
    session = context.find_root().obj
    return session if isinstance(session, Session) else Session()


class OneSentenceGroup(TyperGroup):
    """A command group whose errors, typer's own included, are one line on stderr and an exit code."""

    def get_params(self, ctx: Any) -> list[Any]:
        """List the options of all commands together, `--help` with them."""
        return without_types(super().get_params(ctx))

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Parse the arguments, run the command and exit the process with the command's code."""
        session = Session()
        part_file()
        _print_whatever_the_encoding()
        with printable_streams(), _errors_as_exits(session):
            code = super().main(args, "lrbench", complete_var, False, windows_expand_args, obj=session, **extra)
            sys.stdout.flush()
            sys.exit(code or 0)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the arguments name; typer's own handling of errors is further out and is not reached."""
        with _errors_as_exits(session_of(ctx)), stream_parted_at_most_here():
            try:
                return super().invoke(ctx)
            except SystemExit as error:
                if isinstance(error.__context__, BrokenPipeError):  # rich exits where nobody reads what it prints
                    raise error.__context__ from None
                raise LRBenchError(f"code that lrbench was given called sys.exit({error.code!r})") from error


@contextmanager
def _errors_as_exits(session: Session) -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        _explain(_usage_sentence(error), session)
        sys.exit(USER_ERROR)
    except LRBenchError as error:
        _explain(str(error), session)
        sys.exit(USER_ERROR)
    except BrokenPipeError:
        _discard_stdout()
        sys.exit(BROKEN_PIPE)
    except OSError as error:
        if error.filename == STDOUT:
            _discard_stdout()
        _explain(_system_sentence(error), session)
        sys.exit(USER_ERROR)
    except (KeyboardInterrupt, typer.Abort):
        say_error("Interrupted.")
        sys.exit(INTERRUPTED)
    except typer.Exit:
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        again = "" if session.debug else "; run again with --debug for the traceback"
        _explain(f"lrbench has failed in a way it should not ({what}){again}", session)
        sys.exit(BUG)


def _print_whatever_the_encoding() -> None:
    """Print a question mark for each character that the terminal's encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def say_error(sentence: str) -> None:
    """Print a sentence on stderr as one line, shortened where it is too long."""
    print(brief(" ".join(sentence.split())), file=sys.stderr, flush=True)


def _explain(sentence: str, session: Session) -> None:
    if session.debug:
        traceback.print_exc()
    say_error(f"Error: {sentence}")


def _system_sentence(error: OSError) -> str:
    """Name what the operating system does not let the command use: a file, or stdout."""
    what = "a file" if error.filename is None else error.filename
    return f"{what} cannot be used: {error.strerror or error}"


def _discard_stdout() -> None:
    """Send what is still to be written to stdout nowhere, so that Python does not try again as it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _usage_sentence(error: Any) -> str:
    command = error.ctx.command_path if error.ctx else "lrbench"
    sentence = error.format_message().replace("Value error, ", "").rstrip(".")
    return f"{sentence} (see '{command} --help')"
