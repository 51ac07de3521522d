"""PyMARLGame: an environment with PyMARL's or EPyMARL's `MultiAgentEnv` interface as a `Game`.

PyMARL's `step` gives (reward, terminated, info), EPyMARL's (obs, reward, terminated, truncated,
info). What is shown is asked of get_obs, get_state and get_avail_actions, which both have.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from envs.base import EnvInfo, Observation
from envs.games import Game, Outcome


class PyMARLGame(Game):
    """env: the environment, built. Its info may say `battle_won` and `episode_limit`."""

    def __init__(self, env: Any) -> None:
        self.env = env
        self._takes_seed = "seed" in inspect.signature(env.reset).parameters

    def reset(self, seed: int) -> Observation:
        """Begin an episode; the seed is used by EPyMARL's, PyMARL's take theirs when built."""
        self.env.reset(**{"seed": seed} if self._takes_seed else {})
        return self.observe()

    def step(self, actions: np.ndarray) -> Outcome:
        """Actions (N,) int."""
        reward, terminated, truncated, info = read_step(self.env.step(actions.tolist()))
        won = bool(info.get("battle_won", False))
        return Outcome(self.observe(), reward, terminated, truncated, won, read_facts(info))

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def observe(self) -> Observation:
        """What the environment shows now."""
        return Observation(
            np.asarray(self.env.get_obs(), dtype=np.float32),
            np.asarray(self.env.get_state(), dtype=np.float32),
            np.asarray(self.env.get_avail_actions(), dtype=bool),
        )


def read_step(result: tuple[Any, ...]) -> tuple[float, bool, bool, Mapping[str, Any]]:
    """What a `step` of either signature gave -> reward, terminated, truncated, info.

    An end with `episode_limit` in the info is the time limit's: truncated, not terminated. Of
    rewards for each agent the sum is taken, and an episode ends when all agents' have.
    """
    if len(result) == 3:
        (reward, terminated, info), truncated = result, False
    else:
        _, reward, terminated, truncated, info = result
    over = bool(np.all(np.logical_or(terminated, truncated)))  # each agent in its own way
    terminated = bool(np.all(terminated))
    truncated = over and not terminated
    if info.get("episode_limit", False):
        terminated, truncated = False, True
    return float(np.sum(reward)), terminated, truncated, info


def read_facts(info: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of an info, but for battle_won; PyMARL logs their means over the episodes."""
    numbers = (bool, int, float, np.number, np.bool_)
    return {
        name: float(value)
        for name, value in info.items()
        if isinstance(name, str) and name != "battle_won" and isinstance(value, numbers)
    }


def read_env_info(values: Mapping[str, Any], action_names: tuple[str, ...] = ()) -> EnvInfo:
    """PyMARL's `get_env_info()` -> ours."""
    names = ("n_agents", "n_actions", "obs_shape", "state_shape", "episode_limit")
    return EnvInfo(*(int(values[name]) for name in names), action_names=action_names)
