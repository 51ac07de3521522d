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

from envs.base import Observation
from envs.games import Outcome
from envs.pymarl import read_facts, read_step
from envs.spaces import AgentSpaces, scalarisation
from envs.tasks import OWN_LIMITS, TaskEnv, TaskGame, check_limits, import_task, make_task
from utils.errors import ConfigError, nearest
from utils.provenance import package_versions


class GymmaGame(TaskGame):
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
        result = self._task.step(self._spaces.actions(actions))
        _, terminated, truncated, info = read_step(result)
        self._time += 1
        truncated |= self._time >= self._time_limit and not terminated
        reward = self._scalar(np.atleast_1d(result[1]).tolist())
        won, shown = bool(info.get("battle_won", False)), self._observation(result[0], info)
        return Outcome(shown, reward, terminated, truncated, won, read_facts(info))

    def close(self) -> None:
        """Close the task."""
        self._task.close()

    def _observation(self, obs: Any, info: Mapping[str, Any]) -> Observation:
        masks = info.get("action_mask", info.get("avail_actions", ()))
        if self._own_masks:
            masks = self.raw.get_avail_actions()
        state = self.raw.get_state() if self._own_state else None
        return self._spaces.observation(obs, masks, state)


class GymmaEnv(TaskEnv):
    """E tasks of Gymnasium."""

    GAME = GymmaGame

    @staticmethod
    def check_installed(env_args: dict[str, Any]) -> None:
        """NotInstalledError where Gymnasium or the task's package cannot be imported."""
        _import(env_args["key"])

    @staticmethod
    def versions(env_args: dict[str, Any]) -> dict[str, str]:
        """Gymnasium's, and that of the package that brings the task."""
        module = env_args["key"].rpartition(":")[0]
        return package_versions("gymnasium", *([module] if module else []))


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
