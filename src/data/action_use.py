"""What agents do: each action's share over time, its entropy, or the spread of continuous ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from envs.base import EnvInfo

CELLS = 2**22
"""Counters of (time step, agent, action): where there were more, steps share theirs."""
TIME_BINS = 20
LONG_EPISODES = 0.95
"""Action use over time is told up to this quantile of the episodes' lengths."""
VALUE_BINS = 50


@dataclass(frozen=True)
class Choices:
    """Of discrete actions, over decisions: steps at which an agent has more than one action."""

    decisions: int
    shares: dict[str, float]
    """Action -> its share of all decisions."""
    available: float
    """Mean number of actions that an agent can choose from."""
    entropy: float
    """Nats: of the actions taken, given the agent and the time step; mean over decisions."""
    steps_per_bin: int
    over_time: dict[str, list[float]]
    """Action -> its share in each bin of time; 0 where a bin has no decision."""

    @property
    def entropy_share(self) -> float:
        """Of the log of the number of actions: 1 where all are equally frequent at every step."""
        return self.entropy / math.log(len(self.shares)) if self.decisions else 0.0


@dataclass(frozen=True)
class Dimension:
    """One number of continuous actions, over all agents' steps."""

    low: float
    high: float
    mean: float
    std: float
    histogram: list[float]
    """Share of the actions in each of equal parts of low to high."""


class ChoiceCounter:
    """Counts discrete actions by time step and agent, a block at a time.

    Memory is CELLS counters at most.
    """

    def __init__(self, info: EnvInfo, longest: int) -> None:
        self._names = info.action_names or tuple(str(i) for i in range(info.n_actions))
        self._stride = -(-longest * info.n_agents * info.n_actions // CELLS)
        steps = -(-longest // self._stride)
        self._counts = np.zeros((steps, info.n_agents, info.n_actions), np.int64)
        self._available = 0

    def add(self, actions: np.ndarray, avail: np.ndarray, time: np.ndarray) -> None:
        """Transitions: actions (M,N), available ones (M,N,A) bool, their time steps (M,)."""
        choice = avail.sum(-1)
        row, agent = np.nonzero(choice > 1)
        self._available += int(choice[row, agent].sum())
        steps, agents, n_actions = self._counts.shape
        cell = (time[row] // self._stride * agents + agent) * n_actions + actions[row, agent]
        counts = np.bincount(cell, minlength=self._counts.size)
        self._counts += counts.reshape(steps, agents, n_actions)

    def result(self, lengths: np.ndarray) -> Choices:
        """What was counted; lengths (E,): all episodes' ones."""
        decisions = int(self._counts.sum())
        shares = self._counts.sum((0, 1)) / max(decisions, 1)
        bins, width = self._binned(int(np.ceil(np.quantile(lengths, LONG_EPISODES))))
        over_time = bins / bins.sum(1, keepdims=True).clip(1)
        return Choices(
            decisions=decisions,
            shares=dict(zip(self._names, shares.tolist(), strict=True)),
            available=self._available / decisions if decisions else 1.0,
            entropy=_entropy(self._counts),
            steps_per_bin=width,
            over_time=dict(zip(self._names, over_time.T.tolist(), strict=True)),
        )

    def _binned(self, steps: int) -> tuple[np.ndarray, int]:
        """Counts (B,A) of the first steps, in at most TIME_BINS bins, and the steps of a bin."""
        cells = -(-steps // self._stride)
        group = -(-cells // TIME_BINS)
        counts = self._counts[: -(-cells // group) * group].sum(1)
        return np.add.reduceat(counts, np.arange(0, len(counts), group)), group * self._stride


class DimensionCounter:
    """Counts continuous actions by dimension and value, a block at a time."""

    def __init__(self, info: EnvInfo) -> None:
        self._low, self._high = np.array(info.action_low), np.array(info.action_high)
        self._counts = np.zeros((info.n_actions, VALUE_BINS), np.int64)
        self._sums = np.zeros((2, info.n_actions))

    def add(self, actions: np.ndarray) -> None:
        """Actions (M,N,A)."""
        values = actions.reshape(-1, actions.shape[-1]).astype(np.float64)
        place = (values - self._low) / (self._high - self._low)
        self._sums += [place.sum(0), (place**2).sum(0)]
        bins = (place * VALUE_BINS).astype(np.int64).clip(0, VALUE_BINS - 1)
        cell = bins + np.arange(len(self._low)) * VALUE_BINS
        counts = np.bincount(cell.ravel(), minlength=self._counts.size)
        self._counts += counts.reshape(self._counts.shape)

    def result(self) -> list[Dimension]:
        """What was counted."""
        count = max(int(self._counts[0].sum()), 1)
        mean, square = self._sums / count
        std = np.sqrt((square - mean**2).clip(0))
        width = self._high - self._low
        return [
            Dimension(
                float(self._low[i]), float(self._high[i]),
                mean=float(self._low[i] + mean[i] * width[i]),
                std=float(std[i] * width[i]),
                histogram=(self._counts[i] / count).tolist(),
            )
            for i in range(len(width))
        ]  # fmt: skip


def _entropy(counts: np.ndarray) -> float:
    """Nats, of the last axis of counts (T,N,A), each (t, n) weighed by its decisions."""
    decisions = counts.sum(-1, keepdims=True)
    shares = counts / decisions.clip(1)
    logs = np.log(shares, where=shares > 0, out=np.zeros(shares.shape))
    return float(-(counts * logs).sum() / max(decisions.sum(), 1)) + 0.0
