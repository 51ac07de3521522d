"""Any task of PettingZoo's parallel API with discrete actions (extra `pettingzoo`), MPE's say.

Agents may be unequal and may leave: one that has left shows zeros and can only take action 0,
which is not played. A task may mask actions by `action_mask` in an agent's info or observation.
Its `state()` is the state; a task without one has all observations as its state.
"""

from __future__ import annotations

import importlib.util
import pkgutil
from collections.abc import Mapping
from typing import Any

import numpy as np

from envs.base import Observation
from envs.games import Outcome
from envs.spaces import AgentSpaces, scalarisation
from envs.tasks import TaskEnv, TaskGame, check_limits, import_task, make_task
from utils.errors import ConfigError, NotInstalledError, nearest
from utils.provenance import package_versions


class PettingZooGame(TaskGame):
    """One task; `key` is its module, such as mpe2.simple_spread_v3."""

    def __init__(
        self, key: str, time_limit: int, reward_scalarisation: str, kwargs: dict[str, Any]
    ) -> None:
        self._task = _make(key, time_limit, kwargs)
        self._agents: list[str] = list(self._task.possible_agents)
        self._time_limit, self._time = time_limit, 0
        self._scalar = scalarisation(reward_scalarisation)
        observations = [self._task.observation_space(agent) for agent in self._agents]
        self._masked = [_is_masked(space) for space in observations]
        self._spaces = AgentSpaces(
            f"env_args.key={key}",
            [s["observation"] if m else s for s, m in zip(observations, self._masked, strict=True)],
            [self._task.action_space(agent) for agent in self._agents],
        )
        state_shape = self._state_shape()
        self._has_state = state_shape is not None
        self.info = self._spaces.info(time_limit, state_shape)

    def reset(self, seed: int) -> Observation:
        """Begin an episode."""
        self._time = 0
        return self._observation(*self._task.reset(seed=seed))

    def step(self, actions: np.ndarray) -> Outcome:
        """Actions (N,) int; those of agents that have left are not played."""
        playing = list(self._task.agents)
        joint = dict(zip(self._agents, self._spaces.actions(actions), strict=True))
        obs, rewards, _, truncated, infos = self._task.step({a: joint[a] for a in playing})
        self._time += 1
        over, in_time = not self._task.agents, self._time < self._time_limit
        ended = over and not any(truncated.get(a, False) for a in playing)
        cut = not ended and (over or not in_time)
        reward = self._scalar([float(rewards.get(a, 0.0)) for a in playing])
        won = any(info.get("battle_won", False) for info in infos.values())
        return Outcome(self._observation(obs, infos), reward, ended, cut, won)

    def close(self) -> None:
        """Close the task."""
        self._task.close()

    def _observation(self, obs: Mapping[str, Any], infos: Mapping[str, Any]) -> Observation:
        shown, masks = [], []
        for agent, masked in zip(self._agents, self._masked, strict=True):
            own = obs.get(agent)
            mask = infos.get(agent, {}).get("action_mask")
            if masked and own is not None:
                own, mask = own["observation"], own["action_mask"]
            shown.append(own)
            masks.append(mask)
        return self._spaces.observation(
            shown, masks, self._task.state() if self._has_state else None
        )

    def _state_shape(self) -> int | None:
        """Numbers in the task's own state; None of one that has none, which PettingZoo says so."""
        self._task.reset(seed=0)  # before that there is no state
        try:
            return int(np.size(self._task.state()))
        except NotImplementedError:
            return None


class PettingZooEnv(TaskEnv):
    """E tasks of PettingZoo."""

    GAME = PettingZooGame

    @staticmethod
    def check_installed(env_args: dict[str, Any]) -> None:
        """NotInstalledError where the task's module cannot be imported."""
        _import(env_args["key"])

    @staticmethod
    def versions(env_args: dict[str, Any]) -> dict[str, str]:
        """PettingZoo's, and that of the package that brings the task."""
        return package_versions("pettingzoo", env_args["key"].partition(".")[0])


def _is_masked(space: Any) -> bool:
    """Whether an observation is a dictionary that has the mask beside what is seen."""
    from gymnasium import spaces

    return isinstance(space, spaces.Dict) and {"observation", "action_mask"} <= set(space)


def _make(key: str, time_limit: int, kwargs: dict[str, Any]) -> Any:
    check_limits(time_limit, kwargs)
    module = _import(key)
    if not hasattr(module, "parallel_env"):
        raise ConfigError(
            f"env_args.key={key} is none of PettingZoo's parallel tasks (parallel_env)"
        )

    def make() -> Any:
        try:
            return module.parallel_env(max_cycles=time_limit, **kwargs)
        except TypeError:  # it has no limit of its own
            return module.parallel_env(**kwargs)

    return make_task(key, make)


def _import(key: str) -> Any:
    try:
        return import_task(key, key, "pettingzoo")
    except NotInstalledError as error:
        package, cause = key.rpartition(".")[0], error.__cause__
        if not (package and isinstance(cause, ModuleNotFoundError) and cause.name == key):
            raise
        close = nearest(key, [f"{package}.{name}" for name in _modules(package)])
        raise ConfigError(f"env_args.key={key}: {package} has no such task{close}") from error


def _modules(package: str) -> list[str]:
    spec = importlib.util.find_spec(package)
    places = spec.submodule_search_locations if spec else None
    return [module.name for module in pkgutil.iter_modules(places or [])]
