"""The paper's multi-agent MDP (Section 3.2): two states, two actions, any number of agents.

All begin in s2. While they are there, a step pays 1 if every agent chooses A(1), else 0; when no
more than half of them choose A(1), they fall into s1, where nothing is paid and which is never
left. Best is A(1) for ever: 100 in the 100 steps of an episode.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from envs.base import EnvInfo, Observation, Step, VectorEnv
from utils.errors import ConfigError

EPISODE_LIMIT = 100
A1 = 1  # the action A(1); A(2) is 0
S1, S2 = 0, 1


def falls(actions: np.ndarray) -> np.ndarray:
    """Whether joint actions (...,N) lead from s2 to s1 -> (...)."""
    return 2 * actions.sum(-1) <= actions.shape[-1]


class MMDPEnv(VectorEnv):
    """E episodes side by side; every agent sees the state."""

    def __init__(self, env_args: dict[str, Any], batch_size: int) -> None:
        self.info = self.env_info(env_args)
        self.batch_size = batch_size
        self._state = np.full(batch_size, S2)
        self._time = 0

    @classmethod
    def env_info(cls, env_args: dict[str, Any]) -> EnvInfo:
        """The numbers; ConfigError for fewer than one agent."""
        n = env_args["n_agents"]
        if n < 1:
            raise ConfigError(f"env_args.n_agents={n} must be 1 or more")
        return EnvInfo(n, 2, 2, 2, EPISODE_LIMIT, action_names=("A(2)", "A(1)"))

    def reset(self, seed: int) -> Observation:
        """Everyone in s2."""
        self._state = np.full(self.batch_size, S2)
        self._time = 0
        return self._observe()

    def step(self, actions: np.ndarray) -> Step:
        """Actions (E,N); the time limit is a truncation. Won: it ends in s2."""
        self._time += 1
        running = self._time <= EPISODE_LIMIT
        together = (actions == A1).all(-1)
        rewards = (running & (self._state == S2) & together).astype(np.float32)
        if running:
            self._state = np.where(falls(actions), S1, self._state)
        never = np.zeros(self.batch_size, dtype=bool)
        return Step(
            self._observe(), rewards, never, never | (self._time == EPISODE_LIMIT),
            self._state == S2,
        )  # fmt: skip

    def _observe(self) -> Observation:
        n = self.info.n_agents
        state = np.eye(2, dtype=np.float32)[self._state]
        obs = np.repeat(state[:, None], n, axis=1)
        return Observation(obs, state, np.ones((self.batch_size, n, 2), dtype=bool))
