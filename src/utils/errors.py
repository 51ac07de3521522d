"""Mistakes that a user can mend: each ends the program with one line and no traceback."""

from __future__ import annotations

import contextlib
import difflib
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from types import FrameType


class UserError(Exception):
    """The message says what is wrong, where, and what to do."""

    exit_code = 2


class ConfigError(UserError):
    """A key, value or file name in the configuration."""


class DataError(UserError):
    """A recorded data set that cannot be trusted or does not fit."""


class CheckpointError(UserError):
    """A checkpoint that is missing or does not fit."""


class NotInstalledError(UserError):
    """Something that an environment needs is not on this machine."""


class MissingExtraError(NotInstalledError):
    """A part of the project whose packages are not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f"{what} needs packages that are not installed here; "
            f"install them with: pip install -c constraints.txt -e '.[{extra}]'"
        )


class GameError(UserError):
    """An environment's process that keeps dying."""


class DatabaseError(UserError):
    """A database that does not answer or does not take what it is given."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, which then ends a program as Ctrl-C does: whatever it holds is let go of."""


def nearest(name: str, names: Iterable[str]) -> str:
    """What a message adds for a name that is none of those."""
    close = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def exit_code_of(program: Callable[[], int]) -> int:
    """Run a command -> its exit code.

    A user's mistake, a full disk, Ctrl-C or SIGTERM is one line on stderr and a code.
    """
    try:
        with _sigterm_as_interrupt():
            return program()
    except UserError as error:
        sys.stderr.write(f"{type(error).__name__}: {without_password(str(error))}\n")
        return error.exit_code
    except OSError as error:
        where = f" {error.filename}:" if error.filename else ""
        message = f"{type(error).__name__}:{where} {error.strerror or error}"
        sys.stderr.write(f"{without_password(message)}\n")
        return 1
    except Terminated:
        sys.stderr.write("Terminated.\n")
        return 143
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        return 130


def without_password(text: str) -> str:
    """A message that repeats a command line, without a database's user and password.

    Of a word with a colon before an @ all that stands before the @, but for a URL's `mongodb://`
    and a flag's name: a password may have any character.
    """
    return re.sub(r"(?i)(mongo[\w+]*://).*@|(--[\w-]+=)?\S*:\S*@", r"\1\2***@", text)


@contextlib.contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(_: int, __: FrameType | None) -> None:
    raise Terminated
