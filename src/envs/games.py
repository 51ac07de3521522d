"""From environments of one game to one of E games: `Game`, `GamesEnv`, `SerialEnv`.

Whoever has an environment writes a `Game`; `SerialEnv` steps E of them one after the other in this
process, `envs.processes.ProcessEnv` each in a process of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from envs.base import EnvInfo, Observation, Step, VectorEnv


class Outcome(NamedTuple):
    """What one step of one game brought."""

    observation: Observation
    reward: float
    terminated: bool
    truncated: bool
    battle_won: bool
    facts: Mapping[str, float] | None = None
    """Other numbers of the step's info: dead_allies, say."""


class Game(ABC):
    """One game, one episode at a time."""

    @abstractmethod
    def reset(self, seed: int) -> Observation:
        """Begin an episode: obs (N,O), state (S,), avail_actions (N,A)."""

    @abstractmethod
    def step(self, actions: np.ndarray) -> Outcome:
        """Take the joint action (N,) int, or (N,A) float."""

    def save_replay(self, folder: Path) -> list[Path]:
        """Write what was played since the start into `folder` -> the files."""
        return []

    def close(self) -> None:  # noqa: B027 - nothing is held
        """Let go of whatever the game holds."""


class GamesEnv(VectorEnv):
    """E games; those whose episode is over, or that broke off, are left alone until the reset."""

    def __init__(self, info: EnvInfo, batch_size: int) -> None:
        self.info, self.batch_size = info, batch_size
        self._shown: Observation
        self._running: list[int] = []

    def reset(self, seed: int) -> Observation:
        """Begin E episodes of seeds drawn from `seed`."""
        seeds = np.random.SeedSequence(seed).generate_state(self.batch_size)
        begun = self._reset_games([int(s) for s in seeds])
        self._shown = Observation(*(np.stack(column) for column in zip(*begun, strict=True)))
        self._running = list(range(self.batch_size))
        return self._observe()

    def step(self, actions: np.ndarray) -> Step:
        """Actions (E,N) int, or (E,N,A) float."""
        rewards = np.zeros(self.batch_size, dtype=np.float32)
        terminated, truncated, won, lost = np.zeros((4, self.batch_size), dtype=bool)
        outcomes = self._step_games({i: actions[i] for i in self._running})
        for i, outcome in outcomes.items():
            if outcome is None:
                lost[i] = True
                continue
            for all_shown, shown in zip(self._shown, outcome.observation, strict=True):
                all_shown[i] = shown
            rewards[i], won[i] = outcome.reward, outcome.battle_won
            terminated[i], truncated[i] = outcome.terminated, outcome.truncated
        over = terminated | truncated | lost
        self._running = [i for i in self._running if not over[i]]
        ended = terminated | truncated
        facts = {i: o.facts for i, o in outcomes.items() if o and o.facts and ended[i]}
        return Step(self._observe(), rewards, terminated, truncated, won, lost, facts)

    @abstractmethod
    def _reset_games(self, seeds: Sequence[int]) -> list[Observation]:
        """Begin an episode in every game."""

    @abstractmethod
    def _step_games(self, actions: Mapping[int, np.ndarray]) -> dict[int, Outcome | None]:
        """Step the games named -> what came of it; None where the game broke off."""

    def _observe(self) -> Observation:
        obs, state, avail = self._shown
        return Observation(obs.copy(), state.copy(), avail.copy())


class SerialEnv(GamesEnv):
    """E games in this process, one after the other."""

    def __init__(self, info: EnvInfo, games: Sequence[Game]) -> None:
        super().__init__(info, len(games))
        self._games = games

    def save_replay(self, folder: Path) -> list[Path]:
        """Of every game."""
        return [path for game in self._games for path in game.save_replay(folder)]

    def close(self) -> None:
        """Close every game."""
        for game in self._games:
            game.close()

    def _reset_games(self, seeds: Sequence[int]) -> list[Observation]:
        return [game.reset(seed) for game, seed in zip(self._games, seeds, strict=True)]

    def _step_games(self, actions: Mapping[int, np.ndarray]) -> dict[int, Outcome | None]:
        return {i: self._games[i].step(joint) for i, joint in actions.items()}
