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
from envs.sc2 import action_names
from envs.spaces import AgentSpaces
from utils.errors import ConfigError, NotInstalledError, nearest
from utils.provenance import package_versions

TIMEOUT, RESTARTS = 60.0, 0  # seconds; it is Python, what breaks it once breaks it again
LIMITS = {
    "2s3z": 120, "3s5z": 150, "MMM": 150, "10m_vs_11m": 150, "3s5z_vs_3s6z": 170, "MMM2": 180,
    "27m_vs_30m": 180, "bane_vs_bane": 200, "3s_vs_5z": 250, "2s_vs_1sc": 300, "corridor": 400,
    "2c_vs_64zg": 400,
}  # fmt: skip
"""SMAC's time limits of the maps, in steps."""

INSTALL = (
    "pip install -c constraints.txt -e '.[smaclite]', then pip install --no-deps "
    "git+https://github.com/uoe-agents/smaclite.git@0d6abbea1334011984ae4704a0ef7a33c36057d6 "
    "(it asks for an Rtree that Python 3.11 has not)"
)


class SMACliteEnv(ProcessEnv):
    """`batch_size` battles; see `envs.base.VectorEnv` for the promises."""

    def __init__(self, env_args: dict[str, Any], batch_size: int) -> None:
        make = functools.partial(SMACliteGame, env_args)
        super().__init__(self.env_info(env_args), make, batch_size, TIMEOUT, RESTARTS)

    @staticmethod
    def check_installed(env_args: dict[str, Any]) -> None:
        """NotInstalledError where SMAClite is not here."""
        _maps()

    @classmethod
    def env_info(cls, env_args: dict[str, Any]) -> EnvInfo:
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
        limit = env_args["time_limit"] or LIMITS[name]
        with contextlib.redirect_stdout(None):  # it tells which collision avoidance it uses
            super().__init__(f"smaclite:smaclite/{name}-v0", limit, "sum", kwargs)
        self._spaces = self._spaces_of_all_actions(name)
        names = action_names(self.info.n_actions)
        self.info = dataclasses.replace(self.info, action_names=names)

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
    except (ImportError, OSError) as error:
        raise NotInstalledError(
            f"env=smaclite needs SMAClite ({error}); install it with: {INSTALL}"
        ) from error
    return [preset.value.name for preset in module.MapPreset]
