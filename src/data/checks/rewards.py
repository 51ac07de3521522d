"""Checks of rewards: against returns, at row T, of last transitions and of wins."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from data.checks.view import View
from data.findings import Finding, Kind
from data.read import Episodes

ENOUGH = 8  # episodes from which a pattern is told from chance
MOST = 0.9


class Rewards:
    """Of each episode the rewards' sum, that of the last transition and that of row T."""

    def __init__(self, data: Episodes) -> None:
        n = len(data)
        self.sums, self.last, self.spare = np.zeros(n), np.zeros(n), np.zeros(n)
        self.paid = False  # any transition but the last ones has a positive reward
        self._last_steps = data.first_rows + data.episodes["length"].astype(np.int64) - 1
        self._has_spare = self._last_steps < data.last_rows

    def see(self, view: View) -> None:
        """The next block."""
        with np.errstate(invalid="ignore"):  # a NaN of any kind is found elsewhere
            rewards = view.columns["rewards"].astype(np.float64)
        rows = np.arange(view.start, view.stop)
        step = view.own & (rows <= self._last_steps[view.episode])
        first = int(view.episode[0])
        with np.errstate(invalid="ignore"):  # and infinite ones
            sums = np.bincount(view.episode[step] - first, rewards[step])
        self.sums[first : first + len(sums)] += sums
        ending = view.inside(self._last_steps)
        ends = self._last_steps[ending] - view.start
        self.last[ending] = rewards[ends]
        step[ends] = False
        self.paid |= bool((rewards[step] > 0).any())
        spare = view.inside(self._last_steps + 1)
        episodes = np.arange(spare.start, spare.stop)[self._has_spare[spare]]
        self.spare[episodes] = rewards[self._last_steps[episodes] + 1 - view.start]


def check_spare(data: Episodes, rewards: Rewards) -> Iterator[Finding]:
    """Row T, the last observation's, is no transition and pays nothing."""
    if data.derived:
        return
    for i in np.flatnonzero((rewards.spare != 0) & np.isfinite(rewards.spare)).tolist():
        yield Finding(
            Kind.SPARE_REWARD, f"episode {i}: row T must have reward 0",
            "a reward behind the last transition is never learnt: are rewards off by one?",
        )  # fmt: skip


def check_returns(data: Episodes, rewards: Rewards) -> Iterator[Finding]:
    """The recorded return is the sum of the recorded rewards."""
    if data.derived:
        return
    told, sums = data.episodes["return"], rewards.sums
    wrong = ~np.isclose(sums, told, rtol=1e-4, atol=1e-4) & np.isfinite(sums)
    for i in np.flatnonzero(wrong).tolist():
        yield Finding(
            Kind.RETURN,
            f"episode {i}'s rewards sum to {sums[i]:.4f}, its return says {told[i]:.4f}",
            "rewards were changed or lost, or only the card is wrong",
        )


def check_last_rewards(data: Episodes, rewards: Rewards) -> Iterator[Finding]:
    """The sign of a converter that drops the last transition's reward.

    Not of a task that charges for every step until the end, whose last reward is rightly 0.
    """
    true_ends = data.episodes["terminated"]
    if true_ends.sum() >= ENOUGH and rewards.paid and not rewards.last[true_ends].any():
        yield Finding(
            Kind.LAST_REWARD,
            f"all {int(true_ends.sum()):,} terminated episodes have the last reward 0, other steps "
            "are paid",
            "was the last reward dropped? then what wins or loses is never learnt",
        )


def check_wins(data: Episodes, rewards: Rewards) -> Iterator[Finding]:
    """Where nearly every win is paid by its last reward, so are all."""
    won = data.episodes["battle_won"].astype(bool)
    paid = won & (rewards.last != 0)
    if won.sum() < ENOUGH or paid.sum() < MOST * won.sum():
        return
    for i in np.flatnonzero(won & ~paid).tolist():
        yield Finding(
            Kind.UNPAID_WIN, f"episode {i} is won, but its last reward is 0",
            "other wins are paid there: its end was cut off, or it was not won",
        )  # fmt: skip
