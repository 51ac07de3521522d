"""What an environment tells about itself, and what a batch of environments must do."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np


@dataclass(frozen=True)
class EnvInfo:
    """The numbers that networks and data need; PyMARL's `get_env_info`."""

    n_agents: int
    n_actions: int
    obs_shape: int
    state_shape: int
    episode_limit: int
    action_names: tuple[str, ...] = ()

    def numbers(self) -> str:
        """The numbers in one line, for messages and cards."""
        return (
            f"{self.n_agents} agents, {self.n_actions} actions, obs {self.obs_shape}, "
            f"state {self.state_shape}, limit {self.episode_limit}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> EnvInfo:
        """The inverse of `to_dict`."""
        names = tuple(values["action_names"])
        return replace(EnvInfo(**values), action_names=names)


class Observation(NamedTuple):
    """What E environments show: obs (E,N,O) float32, state (E,S) float32, avail (E,N,A) bool."""

    obs: np.ndarray
    state: np.ndarray
    avail_actions: np.ndarray


class Step(NamedTuple):
    """One step of E environments; every array but the observation has shape (E,)."""

    observation: Observation
    rewards: np.ndarray  # float32
    terminated: np.ndarray  # bool, true at the step that ends the battle
    truncated: np.ndarray  # bool, true at the step that meets the time limit
    battle_won: np.ndarray  # bool, meaningful where terminated or truncated


class VectorEnv(Protocol):
    """E environments stepped together, one episode each between two resets.

    It is built as `Env(env_args, batch_size)`.

    An environment whose episode is over idles: it repeats its last observation with reward 0
    and neither flag set, so that the true final observation is never overwritten.
    """

    info: EnvInfo
    batch_size: int

    @staticmethod
    def env_info(env_args: dict[str, Any]) -> EnvInfo:
        """The numbers, cheaply: no game is started, no heavy library imported."""
        ...

    @staticmethod
    def check_installed() -> None:
        """MissingExtraError where what the environment needs is not here."""
        ...

    def reset(self, seed: int) -> Observation:
        """Begin E episodes; the same seed gives the same E episodes for the same actions."""
        ...

    def step(self, actions: np.ndarray) -> Step:
        """Take the joint actions (E, N)."""
        ...

    def close(self) -> None:
        """Let go of whatever the environment holds."""
        ...
