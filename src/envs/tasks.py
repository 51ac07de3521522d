"""What gymma and pettingzoo ask of a task that is named by its module."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import Any

from utils.errors import ConfigError, NotInstalledError, UserError

OWN_LIMITS = ("max_episode_steps", "max_steps", "max_cycles")
"""What tasks call their own time limit; here `time_limit` is the one that counts."""


def import_task(key: str, module: str, extra: str) -> Any:
    """The module that brings env_args.key; NotInstalledError names the one that is missing."""
    if not re.fullmatch(r"[A-Za-z_]\w*(\.\w+)*", module):
        raise ConfigError(f"env_args.key={key} names no module")
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise NotInstalledError(
            f"env_args.key={key}: there is no module {error.name} here; the extra {extra} brings "
            f"some (pip install -c constraints.txt -e '.[{extra}]'), others are packages of "
            "their own"
        ) from error
    except ImportError as error:  # a package's way to say where a task has gone, what it needs
        raise NotInstalledError(f"env_args.key={key}: {_flat(error)}") from error


def check_limits(time_limit: int, kwargs: dict[str, Any]) -> None:
    """ConfigError for a time limit below 1, or one that is given as the task's own."""
    if time_limit < 1:
        raise ConfigError(f"env_args.time_limit={time_limit} must be 1 or more")
    for name in OWN_LIMITS:
        if name in kwargs:
            raise ConfigError(f"env_args.kwargs: {name} is given as env_args.time_limit")


def make_task(key: str, make: Callable[[], Any]) -> Any:
    """What `make` builds; whatever goes wrong in the task's own code is one line."""
    try:
        return make()
    except UserError:
        raise
    except Exception as error:
        raise ConfigError(
            f"env_args.key={key} cannot be made: {type(error).__name__}: {_flat(error)}; see "
            "env_args.kwargs"
        ) from error


def _flat(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
