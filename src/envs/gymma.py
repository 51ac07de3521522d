"""Any Gymnasium task of many agents with Tuple spaces, as EPyMARL's gymma (extra `gymma`).

Level-based foraging and the multi-robot warehouse, say. A task may mask actions by `action_mask`
or `avail_actions` in its info or by `get_avail_actions()`, have a `get_state()` of `state_size`
numbers, and say `battle_won`. A time limit is a truncation: some tasks call their own an end, so a
limit among a task's registered arguments is moved behind `time_limit`.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from envs.base import EnvInfo, Observation
from envs.games import Game, Outcome, SerialEnv
from envs.pymarl import read_facts
from envs.spaces import AgentSpaces, scalarisation
from envs.tasks import OWN_LIMITS, check_limits, import_task, make_task
from utils.config import nearest
from utils.errors import ConfigError
from utils.provenance import package_versions


class GymmaEnv(SerialEnv):
    """E tasks, stepped one after the other; see `envs.base.VectorEnv` for the promises."""

    def __init__(self, env_args: dict[str, Any], batch_size: int) -> None:
        games = [GymmaGame(**env_args) for _ in range(batch_size)]
        super().__init__(games[0].info, games)

    @staticmethod
    def check_installed(env_args: dict[str, Any]) -> None:
        """NotInstalledError where Gymnasium or the task's package cannot be imported."""
        _import(env_args["key"])

    @staticmethod
    def env_info(env_args: dict[str, Any]) -> EnvInfo:
        """The numbers of the task, which is made once and closed for it."""
        game = GymmaGame(**env_args)
        game.close()
        return game.info

    @staticmethod
    def versions(env_args: dict[str, Any]) -> dict[str, str]:
        """Gymnasium's, and that of the package that brings the task."""
        module = env_args["key"].rpartition(":")[0]
        return package_versions("gymnasium", *([module] if module else []))


class GymmaGame(Game):
    """One task."""

    def __init__(
        self, key: str, time_limit: int, reward_scalarisation: str, kwargs: dict[str, Any]
    ) -> None:
        self._task = _make(key, time_limit, kwargs)
        self._time_limit, self._time = time_limit, 0
        self._scalar = scalarisation(reward_scalarisation)
        observations, actions = self._task.observation_space, self._task.action_space
        if not isinstance(observations, Iterable) or not isinstance(actions, Iterable):
            raise ConfigError(
                f"env_args.key={key} has no Tuple spaces: it is a task of one agent; use "
                "--env-config=d4rl"
            )
        self._spaces = AgentSpaces(f"env_args.key={key}", list(observations), list(actions))
        self.raw = self._task.unwrapped
        self._own_state = hasattr(self.raw, "get_state") and hasattr(self.raw, "state_size")
        self._own_masks = hasattr(self.raw, "get_avail_actions")
        shape = self.raw.state_size if self._own_state else None
        self.info = self._spaces.info(time_limit, shape)

    def reset(self, seed: int) -> Observation:
        """Begin an episode."""
        self._time = 0
        return self._observation(*self._task.reset(seed=seed))

    def step(self, actions: np.ndarray) -> Outcome:
        """Actions (N,) int."""
        obs, reward, terminated, truncated, info = self._task.step(self._spaces.actions(actions))
        self._time += 1
        ended = bool(np.all(terminated))
        over = bool(np.all(np.logical_or(terminated, truncated)))  # each agent in its own way
        cut = over or self._time >= self._time_limit
        common = self._scalar(np.atleast_1d(reward).tolist())
        won, shown = bool(info.get("battle_won", False)), self._observation(obs, info)
        return Outcome(shown, common, ended, cut and not ended, won, read_facts(info))

    def close(self) -> None:
        """Close the task."""
        self._task.close()

    def _observation(self, obs: Any, info: Mapping[str, Any]) -> Observation:
        masks = info.get("action_mask", info.get("avail_actions", ()))
        if self._own_masks:
            masks = self.raw.get_avail_actions()
        state = self.raw.get_state() if self._own_state else None
        return self._spaces.observation(obs, masks, state)


def _make(key: str, time_limit: int, kwargs: dict[str, Any]) -> Any:
    check_limits(time_limit, kwargs)
    gymnasium = _import(key)
    name = key.rpartition(":")[2]
    if name not in gymnasium.registry:
        raise ConfigError(
            f"env_args.key={key}: Gymnasium has no {name}{nearest(name, gymnasium.registry)}; a "
            "task of another package is written package:name"
        )
    spec = copy.deepcopy(gymnasium.registry[name])
    spec.kwargs |= {limit: time_limit + 1 for limit in OWN_LIMITS if limit in spec.kwargs}
    spec.kwargs |= kwargs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old versions
        return make_task(key, lambda: gymnasium.make(spec, disable_env_checker=True))


def _import(key: str) -> Any:
    """Gymnasium, after the module that brings the task."""
    gymnasium = import_task(key, "gymnasium", "gymma")
    if ":" in key:
        import_task(key, key.rpartition(":")[0], "gymma")
    return gymnasium
