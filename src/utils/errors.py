"""Mistakes that a user can mend: each ends the program with one line and no traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable


class UserError(Exception):
    """The message says what is wrong, where, and what to do."""

    exit_code = 2


class ConfigError(UserError):
    """A key, value or file name in the configuration."""


class DataError(UserError):
    """A recorded data set that cannot be trusted or does not fit."""


class CheckpointError(UserError):
    """A checkpoint that is missing or does not fit."""


class MissingExtraError(UserError):
    """A part of the project whose packages are not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f"{what} needs packages that are not installed here; "
            f"install them with: pip install -c constraints.txt -e '.[{extra}]'"
        )


def exit_code_of(program: Callable[[], int]) -> int:
    """Run a command; a user's mistake, a full disk or Ctrl-C is one line on stderr and a code."""
    try:
        return program()
    except UserError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return error.exit_code
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        sys.stderr.write(f"{type(error).__name__}:{where}: {error.strerror or error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        return 130
