"""Mistakes that a user can mend: each ends the program with one line and no traceback."""

from __future__ import annotations


class UserError(Exception):
    """The message says what is wrong, where, and what to do."""

    exit_code = 1


class ConfigError(UserError):
    """A key, value or file name in the configuration."""

    exit_code = 2


class DataError(UserError):
    """A recorded data set that cannot be trusted or does not fit."""

    exit_code = 3


class CheckpointError(UserError):
    """A checkpoint that is missing or does not fit."""

    exit_code = 4


class MissingExtraError(UserError):
    """A part of the project whose packages are not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f"{what} needs packages that are not installed here; "
            f"install them with: pip install -c constraints.txt -e '.[{extra}]'"
        )
