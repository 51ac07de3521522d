"""The spaces of N unequal agents as one array each: padded observations, masks of what exists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from envs.base import EnvInfo, Observation
from utils.errors import ConfigError

SCALARISATIONS: dict[str, Callable[[Sequence[float]], float]] = {
    "sum": lambda rewards: float(sum(rewards)),
    "mean": lambda rewards: float(sum(rewards)) / len(rewards),
}
"""How the agents' rewards make the one that all of them get."""


class AgentSpaces:
    """Gymnasium spaces, one of observations and one `Discrete` of actions for each agent.

    Observations are flattened to float32 and padded with zeros to the longest; actions that an
    agent has not are unavailable. `name`: of the task, for messages.
    """

    def __init__(self, name: str, observations: Sequence[Any], actions: Sequence[Any]) -> None:
        from gymnasium import spaces

        self._flatten: Callable[[Any, Any], Any] = spaces.flatten
        for space in actions:
            if not isinstance(space, spaces.Discrete):
                found = " ".join(str(space).split())
                raise ConfigError(f"{name}: its agents act in {found}; Discrete is needed")
        self._observations, self._starts = observations, [int(space.start) for space in actions]
        self._counts = [int(space.n) for space in actions]
        self._width = max(spaces.flatdim(space) for space in observations)

    def info(self, episode_limit: int, state_shape: int | None = None) -> EnvInfo:
        """The numbers; the state is all observations unless it has a shape of its own."""
        n = len(self._counts)
        state_shape = n * self._width if state_shape is None else state_shape
        return EnvInfo(n, max(self._counts), self._width, state_shape, episode_limit)

    def actions(self, indices: np.ndarray) -> list[int]:
        """Indices (N,) from 0 -> what the agents' spaces call them."""
        return [int(i) + start for i, start in zip(indices, self._starts, strict=True)]

    def observation(
        self, obs: Sequence[Any], masks: Sequence[Any] = (), state: Any = None
    ) -> Observation:
        """obs: each agent's, None of one that has left, which can only take action 0.

        masks: of each agent's available actions, None or nothing where all are. An agent whose mask
        has nothing, as when an episode is over, can take action 0.
        """
        shown = np.zeros((len(obs), self._width), dtype=np.float32)
        avail = np.zeros((len(obs), max(self._counts)), dtype=bool)
        for i, own in enumerate(obs):
            if own is None:
                avail[i, 0] = True
                continue
            flat = self._flatten(self._observations[i], own)
            shown[i, : len(flat)] = flat
            mask = masks[i] if len(masks) else None
            avail[i, : self._counts[i]] = True if mask is None else mask[: self._counts[i]]
        avail[~avail.any(1), 0] = True  # as at the end of many tasks: something must be chosen
        everything = shown.reshape(-1) if state is None else np.asarray(state, dtype=np.float32)
        return Observation(shown, everything.reshape(-1), avail)


def scalarisation(name: str) -> Callable[[Sequence[float]], float]:
    """The function of that name; ConfigError where there is none."""
    if name not in SCALARISATIONS:
        raise ConfigError(f"env_args.reward_scalarisation={name} must be sum or mean")
    return SCALARISATIONS[name]
