"""Tasks named by the module that brings them, for gymma and pettingzoo: TaskEnv and its checks."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import Any, ClassVar

from envs.base import EnvInfo
from envs.games import Game, SerialEnv
from utils.errors import ConfigError, NotInstalledError, UserError

OWN_LIMITS = ("max_episode_steps", "max_steps", "max_cycles")
"""What tasks call their own time limit; here `time_limit` is the one that counts."""


class TaskGame(Game):
    """One task, built of env_args as keywords, which knows its numbers."""

    info: EnvInfo


class TaskEnv(SerialEnv):
    """E tasks, stepped one after the other; see `envs.base.VectorEnv` for the promises."""

    GAME: ClassVar[Callable[..., TaskGame]]

    def __init__(self, env_args: dict[str, Any], batch_size: int) -> None:
        games = [type(self).GAME(**env_args) for _ in range(batch_size)]
        super().__init__(games[0].info, games)

    @classmethod
    def env_info(cls, env_args: dict[str, Any]) -> EnvInfo:
        """The numbers of the task, which is made once and closed for it."""
        game = cls.GAME(**env_args)
        game.close()
        return game.info


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
