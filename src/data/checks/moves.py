"""Checks of what changes from row to row: stale states and availability, starts off by one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from data.checks.view import View
from data.findings import Finding, Kind
from data.read import Episodes

ENOUGH = 8  # episodes from which a pattern is told from chance
SEEN = 32  # episodes after which every action should have been available once
IDLE = {"noop", "no_op", "no-op"}  # what only the dead may do: a set in which none dies lacks it


class Moves:
    """Whether fields ever change within an episode, and how each episode begins."""

    def __init__(self, data: Episodes) -> None:
        n = data.info.n_actions
        self.changes = {"obs": False, "state": False, "avail_actions": False}
        self.available = np.zeros(n, dtype=bool)
        self.masked = False  # anything was ever unavailable
        self.followed = self.same_start = 0  # episodes behind another; those that begin as it ends
        self.starts_vary = False
        self._before: dict[str, np.ndarray] = {}  # the last row, and the latest start
        self._episode = -1

    def see(self, view: View) -> None:
        """The next block."""
        if not view.own.any():
            return
        columns = {name: view.columns[name] for name in self.changes}
        episode = view.episode
        if not view.own.all():
            columns = {name: values[view.own] for name, values in columns.items()}
            episode = episode[view.own]
        if columns["avail_actions"].size:
            self.available |= columns["avail_actions"].any((0, 1))
            self.masked |= not columns["avail_actions"].all()
        self._begin(columns["obs"], episode)
        within = np.diff(episode, prepend=self._episode) == 0
        for name, values in columns.items():
            if not self.changes[name]:
                self.changes[name] = _any_change(values, within, self._before.get(name))
            self._before[name] = values[-1]
        self._episode = int(episode[-1])

    def _begin(self, obs: np.ndarray, episode: np.ndarray) -> None:
        """Compare each start with the row before it and with the start before it."""
        starts = np.flatnonzero(np.diff(episode, prepend=self._episode))
        if len(starts) == 0:
            return
        ends, first = obs[np.maximum(starts - 1, 0)], obs[starts]
        before = np.roll(first, 1, axis=0)
        before[0] = self._before.get("start", first[0])
        if starts[0] == 0 and "obs" in self._before:
            ends[0] = self._before["obs"]
        self.starts_vary |= bool((first != before).any())
        real = slice(int(self._episode < 0), None)  # the very first follows none
        self.followed += len(starts[real])
        self.same_start += int((first[real] == ends[real]).all((1, 2)).sum())
        self._before["start"] = first[-1]


def _any_change(values: np.ndarray, within: np.ndarray, before: np.ndarray | None) -> bool:
    """Whether any row differs from the one before it in the same episode."""
    flat = values.reshape(len(values), -1)
    changed = (flat[1:] != flat[:-1]).any(1) & within[1:]
    first = before is not None and bool(within[0]) and not np.array_equal(values[0], before)
    return first or bool(changed.any())


def check_starts(data: Episodes, moves: Moves) -> Iterator[Finding]:
    """An episode does not begin with the last observation of the one before, unless all do."""
    many = moves.followed >= ENOUGH and moves.same_start > moves.followed / 2
    if many and moves.starts_vary and moves.changes["obs"]:
        yield Finding(
            Kind.SHIFTED_STARTS,
            f"{moves.same_start:,} of {len(data):,} episodes begin with the last observation of "
            "the one before: are starts off by one?",
            "their first transition leads from one episode into the next",
        )


def check_actions_seen(data: Episodes, moves: Moves) -> Iterator[Finding]:
    """Every action is available to someone at some time, but idling."""
    info = data.info
    if info.continuous or len(data) < SEEN:
        return
    names = dict(enumerate(info.action_names))
    for i in np.flatnonzero(~moves.available).tolist():
        if names.get(i, "") in IDLE or (not names and i == 0):
            continue
        name = f" ({names[i]})" if names else ""
        yield Finding(
            Kind.NEVER_AVAILABLE,
            f"action {i}{name} is never available to any agent: is availability stale, or n_actions"
            " too large?",
            "a policy learns nothing of it",
        )


def check_stale(data: Episodes, moves: Moves) -> Iterator[Finding]:
    """State, and with it availability, stay what they were on reset while observations change."""
    stale = data.info.state_shape and moves.changes["obs"] and not moves.changes["state"]
    if not stale:
        return
    yield Finding(
        Kind.STALE_STATE,
        "the state never changes within an episode, observations do: is it that of the reset?",
        "critic and mixer learn from a state that is not the step's",
    )
    if moves.masked and not moves.changes["avail_actions"]:
        yield Finding(
            Kind.STALE_AVAILABILITY,
            "availability never changes within an episode, observations do: is it that of the "
            "reset?",
            "the policy is masked by what was possible at the start",
        )
