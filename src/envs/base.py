"""What an environment tells about itself, and what a batch of environments must do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import numpy as np


@dataclass(frozen=True)
class EnvInfo:
    """The numbers that networks and data need; PyMARL's `get_env_info`.

    Continuous actions have bounds, one for each of the `n_actions` numbers that an agent gives.
    """

    n_agents: int
    n_actions: int
    obs_shape: int
    state_shape: int
    episode_limit: int
    action_names: tuple[str, ...] = ()
    action_low: tuple[float, ...] = ()
    action_high: tuple[float, ...] = ()
    reference_scores: tuple[float, float] | None = field(default=None, compare=False)
    """Mean return of random play and of an expert: normalised scores 0 and 100."""

    @property
    def continuous(self) -> bool:
        """Whether an action is a vector within bounds, not one of a few."""
        return bool(self.action_low)

    def numbers(self) -> str:
        """The numbers in one line, for messages and cards."""
        return (
            f"{self.n_agents} agent{'s' * (self.n_agents != 1)}, {self._actions()}, "
            f"obs {self.obs_shape}, state {self.state_shape}, limit {self.episode_limit}"
        )

    def _actions(self) -> str:
        if not self.continuous:
            return f"{self.n_actions} actions"
        low, high = set(self.action_low), set(self.action_high)
        one = len(low) == len(high) == 1
        bounds = (min(low), max(high)) if one else (self.action_low, self.action_high)
        dimensions = f"{self.n_actions} action dimension{'s' * (self.n_actions != 1)}"
        return f"{dimensions} in [{bounds[0]}, {bounds[1]}]"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> EnvInfo:
        """The inverse of `to_dict`."""
        info = EnvInfo(**values)
        scores = info.reference_scores
        return replace(
            info,
            action_names=tuple(info.action_names),
            action_low=tuple(info.action_low),
            action_high=tuple(info.action_high),
            reference_scores=None if scores is None else (scores[0], scores[1]),
        )


class Observation(NamedTuple):
    """What E environments show: obs (E,N,O) float32, state (E,S) float32, avail (E,N,A) bool.

    With continuous actions avail is (E,N,0). Of one environment it has the same without E.
    """

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
    lost: np.ndarray | bool = False  # bool, true at the step at which the game itself broke off
    facts: Mapping[int, Mapping[str, float]] = MappingProxyType({})  # of slots that end: their info


class VectorEnv(ABC):
    """E environments stepped together, one episode each between two resets.

    It is built as `Env(env_args, batch_size)`.

    An environment whose episode is over idles: it repeats its last observation with reward 0
    and no flag set, so that the true final observation is never overwritten.
    """

    FREE_ARGS: ClassVar[frozenset[str]] = frozenset()
    """The env_args that change nothing of the game: data and runs may differ in them."""

    CONTINUOUS: ClassVar[bool | None] = False
    """Whether its actions are continuous; None where that depends on env_args."""

    HAS_REPLAYS: ClassVar[bool] = False
    """Whether `save_replay` writes anything."""

    info: EnvInfo
    batch_size: int

    @classmethod
    @abstractmethod
    def env_info(cls, env_args: dict[str, Any]) -> EnvInfo:
        """The numbers, cheaply: no game is started; configuration and data are checked with it."""

    @staticmethod  # noqa: B027 - nothing is needed, unless a subclass says so
    def check_installed(env_args: dict[str, Any]) -> None:
        """NotInstalledError where something that the environment needs is not here."""

    @staticmethod
    def versions(env_args: dict[str, Any]) -> dict[str, str]:
        """Of what results depend on beside env_args; it goes into run records and data files."""
        return {}

    @abstractmethod
    def reset(self, seed: int) -> Observation:
        """Begin E episodes; the same seed gives the same E episodes for the same actions."""

    @abstractmethod
    def step(self, actions: np.ndarray) -> Step:
        """Take the joint actions (E,N), or (E,N,A) where they are continuous."""

    def save_replay(self, folder: Path) -> list[Path]:
        """Write what was played since the start into `folder` -> the files."""
        return []

    def close(self) -> None:  # noqa: B027 - nothing is held
        """Let go of whatever the environment holds."""
