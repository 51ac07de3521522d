"""SMAClite, StarCraft's micromanagement in Python (extra `smaclite`), one game in a process.

Its only chance is the order of the units within a tick: the same actions make nearly the same
battle, on 2s3z often the very same, so that a greedy policy's returns hardly spread.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
from typing import Any

import numpy as np

from envs.base import EnvInfo, Observation
from envs.gymma import GymmaGame
from envs.processes import ProcessEnv
from envs.spaces import AgentSpaces
from utils.config import nearest
from utils.errors import ConfigError, MissingExtraError, NotInstalledError
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
        """NotInstalledError where SMAClite, or the C library of its Rtree, is not here."""
        _maps()

    @staticmethod
    def env_info(env_args: dict[str, Any]) -> EnvInfo:
        """The map's numbers."""
        return SMACliteGame(env_args, 0).info

    @staticmethod
    def versions(env_args: dict[str, Any]) -> dict[str, str]:
        """SMAClite's."""
        return package_versions("smaclite")


class SMACliteGame(GymmaGame):
    """One battle of SMAClite, which is a Gymnasium task with a state and masks of its own."""

    def __init__(self, env_args: dict[str, Any], _: int) -> None:
        name, kwargs = env_args["map_name"], {"use_cpp_rvo2": env_args["use_cpp_rvo2"]}
        if name not in _maps():
            raise ConfigError(
                f"env_args.map_name={name} is not a map of SMAClite{nearest(name, _maps())}; "
                f"there are: {', '.join(_maps())}"
            )
        with contextlib.redirect_stdout(None):  # it tells which collision avoidance it uses
            super().__init__(f"smaclite:smaclite/{name}-v0", env_args["time_limit"], "sum", kwargs)
        self._spaces = self._spaces_of_all_actions(name)
        attacks = tuple(f"attack_{j}" for j in range(self.info.n_actions - len(MOVES)))
        self.info = dataclasses.replace(self.info, action_names=MOVES + attacks)

    def reset(self, seed: int) -> Observation:
        """Begin a battle; SMAClite leaves the last one's actions in the state."""
        self.raw.last_actions = np.zeros_like(self.raw.last_actions)
        return super().reset(seed)

    def _spaces_of_all_actions(self, name: str) -> AgentSpaces:
        """A healer's own space is too small for the last ally, whom its mask lets it heal."""
        from gymnasium.spaces import Discrete

        actions = [Discrete(self.raw.n_actions)] * self.raw.n_agents
        return AgentSpaces(name, list(self.raw.observation_space), actions)


def _maps() -> list[str]:
    """The maps' names; NotInstalledError where SMAClite cannot be imported."""
    try:
        importlib.import_module("smaclite.env")  # `smaclite` alone succeeds after it has failed
        module: Any = importlib.import_module("smaclite")
    except ImportError as error:
        raise MissingExtraError("env=smaclite", "smaclite") from error
    except OSError as error:
        raise NotInstalledError(
            f"env=smaclite: {error}; SMAClite's Rtree 1.0.0 brings it up to Python 3.10 only: "
            "pip install 'Rtree>=1.0.1', whatever pip says of SMAClite"
        ) from error
    return [preset.value.name for preset in module.MapPreset]
