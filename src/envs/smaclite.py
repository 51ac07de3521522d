"""SMAClite, StarCraft's micromanagement in Python (extra `smaclite`), one game in a process."""

from __future__ import annotations

import functools
import importlib.util
from typing import Any

import numpy as np

from envs.base import EnvInfo, Observation
from envs.gymma import GymmaGame
from envs.processes import ProcessEnv
from utils.errors import MissingExtraError
from utils.provenance import package_versions

TIMEOUT, RESTARTS = 60.0, 0  # seconds; it is Python, what breaks it once breaks it again
MOVES = ("no_op", "stop", "north", "south", "east", "west")


class SMACliteEnv(ProcessEnv):
    """`batch_size` battles; see `envs.base.VectorEnv` for the promises."""

    def __init__(self, env_args: dict[str, Any], batch_size: int) -> None:
        make = functools.partial(SMACliteGame, env_args)
        super().__init__(self.env_info(env_args), make, batch_size, TIMEOUT, RESTARTS)

    @staticmethod
    def check_installed(env_args: dict[str, Any]) -> None:
        """MissingExtraError where SMAClite is not installed."""
        if importlib.util.find_spec("smaclite") is None:
            raise MissingExtraError("env=smaclite", "smaclite")

    @staticmethod
    def env_info(env_args: dict[str, Any]) -> EnvInfo:
        """The map's numbers."""
        SMACliteEnv.check_installed(env_args)
        return SMACliteGame(env_args, 0).info

    @staticmethod
    def versions(env_args: dict[str, Any]) -> dict[str, str]:
        """SMAClite's."""
        return package_versions("smaclite")


class SMACliteGame(GymmaGame):
    """One battle of SMAClite, which is a Gymnasium task with a state and masks of its own."""

    def __init__(self, env_args: dict[str, Any], _: int) -> None:
        kwargs = {"use_cpp_rvo2": env_args["use_cpp_rvo2"]}
        key = f"smaclite:smaclite/{env_args['map_name']}-v0"
        super().__init__(key, env_args["time_limit"], "sum", kwargs)

    def reset(self, seed: int) -> Observation:
        """Begin a battle; SMAClite leaves the last one's actions in the state."""
        self.raw.last_actions = np.zeros_like(self.raw.last_actions)
        return super().reset(seed)
