"""The two-step cooperative matrix game of QMIX (Rashid et al. 2018, Section 5.1): numpy only.

Agent 1's first action chooses the game of the second step: in game A every joint action pays 7,
in game B the pay-off is [[0, 1], [1, 8]]. The best return is 8, the safe one 7.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from envs.base import EnvInfo, Observation, Step, VectorEnv

PAYOFF = np.array([[[7, 7], [7, 7]], [[0, 1], [1, 8]]], dtype=np.float32)
START = 0


class TwoStepEnv(VectorEnv):
    """E games side by side. Both agents see which of the three situations they are in."""

    def __init__(self, env_args: dict[str, Any], batch_size: int) -> None:
        self.info = self.env_info(env_args)
        self.batch_size = batch_size
        self._situation = np.full(batch_size, START)
        self._time = 0

    @classmethod
    def env_info(cls, env_args: dict[str, Any]) -> EnvInfo:
        """The game's numbers."""
        return EnvInfo(2, 2, obs_shape=3, state_shape=3, episode_limit=2, action_names=("0", "1"))

    def reset(self, seed: int) -> Observation:
        """Every game at its first step."""
        self._situation = np.full(self.batch_size, START)
        self._time = 0
        return self._observe()

    def step(self, actions: np.ndarray) -> Step:
        """Choose the game, then play it."""
        self._time += 1
        nothing = np.zeros(self.batch_size, dtype=bool)
        rewards, over = np.zeros(self.batch_size, dtype=np.float32), nothing
        if self._time == 1:
            self._situation = 1 + actions[:, 0]
        elif self._time == 2:
            rewards = PAYOFF[self._situation - 1, actions[:, 0], actions[:, 1]]
            over = ~nothing
        return Step(self._observe(), rewards, over, nothing, rewards == PAYOFF.max())

    def _observe(self) -> Observation:
        state = np.eye(3, dtype=np.float32)[self._situation]
        obs = np.repeat(state[:, None], 2, axis=1)
        return Observation(obs, state, np.ones((self.batch_size, 2, 2), dtype=bool))
