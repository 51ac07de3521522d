"""Playing one episode in every slot of a batch of environments, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from components.episode_batch import EpisodeBatch
from envs.base import VectorEnv


class Controller(Protocol):
    """What picks actions; see `controllers.basic_controller.BasicMAC.select_actions`."""

    def select_actions(
        self,
        obs: Tensor,
        avail_actions: Tensor,
        last_actions: Tensor,
        hidden: Tensor | None,
        epsilon: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor | None]: ...


@dataclass(frozen=True)
class Evaluation:
    """What n episodes brought: arrays of shape (n,), and the task's reference scores if known."""

    returns: np.ndarray
    lengths: np.ndarray
    battle_won: np.ndarray
    reference_scores: tuple[float, float] | None = None
    facts: Sequence[Mapping[str, float]] = ()
    """Of each episode: further numbers that the environment tells at its end."""

    def statistics(self) -> dict[str, float]:
        """PyMARL's names; `_se` is the standard error of the mean over the episodes.

        The environment's own numbers are PyMARL's too: dead_allies_mean, say. One that an episode
        does not tell counts as 0.

        With reference scores D4RL's normalised score, 0 for random play and 100 for its expert.
        """
        n = len(self.returns)
        spread = float(self.returns.std(ddof=1)) if n > 1 else 0.0
        stats = {
            "return_mean": float(self.returns.mean()),
            "return_std": float(self.returns.std()),
            "return_se": spread / n**0.5,
            "battle_won_mean": float(self.battle_won.mean()),
            "ep_length_mean": float(self.lengths.mean()),
            "n_episodes": float(n),
        }
        for name in sorted(set().union(*self.facts)):
            told = sum(facts.get(name, 0.0) for facts in self.facts) / n
            stats.setdefault(f"{name}_mean", told)  # what is measured here stands
        if self.reference_scores:
            low, high = self.reference_scores
            stats["normalised_score_mean"] = 100 * (stats["return_mean"] - low) / (high - low)
        return stats


def rollout(
    env: VectorEnv,
    mac: Controller,
    seed: int,
    device: torch.device,
    epsilon: float = 0.0,
    generator: torch.Generator | None = None,
) -> tuple[EpisodeBatch, np.ndarray]:
    """One episode in each of the environment's E slots -> (episodes, battle_won (B,) bool).

    Every slot gives exactly one episode, so short episodes are not over-represented; B = E unless
    a game broke off, whose episode is left out. If all did, they begin again.
    """
    played = _play_until_kept(env, mac, seed, device, epsilon, generator)
    return played.batch, played.battle_won


class _Played(NamedTuple):
    batch: EpisodeBatch
    battle_won: np.ndarray  # (B,) bool
    facts: list[Mapping[str, float]]  # of each episode's last step


def _play_until_kept(
    env: VectorEnv, mac: Controller, seed: int, device: torch.device, epsilon: float,
    generator: torch.Generator | None,
) -> _Played:  # fmt: skip
    while True:
        played, lost = _play(env, mac, seed, device, epsilon, generator)
        if not lost.any():
            return played
        kept = np.flatnonzero(~lost)
        if len(kept):
            batch = played.batch.episodes(torch.from_numpy(kept)).trim()
            return _Played(batch, played.battle_won[kept], [played.facts[i] for i in kept])


def _play(
    env: VectorEnv, mac: Controller, seed: int, device: torch.device, epsilon: float,
    generator: torch.Generator | None,
) -> tuple[_Played, np.ndarray]:  # fmt: skip
    """(what was played, lost (E,) bool); those lost have no end, for their game broke off."""
    observation = env.reset(seed)
    lost = np.zeros(env.batch_size, dtype=bool)
    facts: dict[int, Mapping[str, float]] = {}
    over = np.zeros(env.batch_size, dtype=bool)
    battle_won = np.zeros(env.batch_size, dtype=bool)
    last_actions = torch.full((env.batch_size, env.info.n_agents), -1, device=device)
    hidden: Tensor | None = None
    rows: list[tuple[np.ndarray, ...]] = []
    transitions: list[tuple[np.ndarray, ...]] = []
    while True:
        obs = torch.tensor(observation.obs, device=device)
        avail = torch.tensor(observation.avail_actions, device=device)
        last_actions, hidden = mac.select_actions(
            obs, avail, last_actions, hidden, epsilon, generator
        )
        actions = last_actions.cpu().numpy()
        rows.append((*observation, actions))
        if over.all():
            break
        step = env.step(actions)
        transitions.append((step.rewards, step.terminated, step.truncated, ~over))
        ends = step.terminated | step.truncated
        battle_won |= ends & step.battle_won
        lost |= step.lost
        facts |= step.facts
        over = over | ends | lost
        observation = step.observation
    columns = [np.stack(c, axis=1) for part in (rows, transitions) for c in zip(*part, strict=True)]
    batch = EpisodeBatch(*(torch.from_numpy(column) for column in columns))
    return _Played(batch, battle_won, [facts.get(i, {}) for i in range(env.batch_size)]), lost


def evaluate(
    env: VectorEnv, mac: Controller, n: int, rng: np.random.Generator, device: torch.device,
    epsilon: float = 0.0, generator: torch.Generator | None = None,
) -> Evaluation:  # fmt: skip
    """At least `n` fresh episodes, the same number in every slot whose game does not break off."""
    parts, facts = [], []
    while len(facts) < n:
        seed = int(rng.integers(2**31))
        batch, won, told = _play_until_kept(env, mac, seed, device, epsilon, generator)
        parts.append((batch.returns.numpy(), batch.lengths.numpy(), won))
        facts += told
    columns = (np.concatenate(column) for column in zip(*parts, strict=True))
    returns, lengths, battle_won = columns
    return Evaluation(returns, lengths, battle_won, env.info.reference_scores, facts)
