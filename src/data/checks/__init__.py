"""Every check of recorded episodes, in one pass over their rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from data.checks import ends, moves, rewards
from data.checks.content import Content, check_content
from data.checks.copies import Copies, check_copies, repeats
from data.checks.rows import check_rows
from data.checks.view import View, views
from data.findings import LIMIT, Finding, Findings
from data.read import Episodes

OF_ENDS = (
    ends.check_flags,
    ends.check_ends,
    ends.check_lengths,
    ends.check_cuts,
    ends.check_merged_limits,
    ends.check_fragments,
    ends.check_policies,
    ends.check_probabilities,
)
OF_REWARDS = (
    rewards.check_spare,
    rewards.check_returns,
    rewards.check_last_rewards,
    rewards.check_wins,
)
OF_MOVES = (moves.check_starts, moves.check_actions_seen, moves.check_stale)


def find(data: Episodes, limit: int = LIMIT) -> Findings:
    """Everything that the rows and the episodes' figures tell; `limit` are kept of each kind.

    Memory: a block of rows, and some 100 bytes for each episode.
    """
    found = Findings(limit)
    totals, changes, copies = rewards.Rewards(data), moves.Moves(data), Copies(data)
    content = Content(data)
    for view in views(data):
        _note_rows(view, found)
        for watcher in (totals, changes, copies, content):
            watcher.see(view)
    pairs = repeats(data, copies, changes)
    found.repeated = np.array([i for i, _ in pairs], dtype=np.int64)
    for finding in _of_the_whole(data, totals, changes, pairs):
        found.add(finding)
    for finding in check_content(content):
        found.add(finding)
    return found


def _note_rows(view: View, found: Findings) -> None:
    for check in check_rows(view):
        bad = np.flatnonzero(~check.good).tolist()
        told = min(len(bad), found.room(check.kind))
        for row in bad[:told]:
            text = f"{view.place(row)}: {check.problem(row)}"
            found.add(Finding(check.kind, text, check.meaning))
        if len(bad) > told:
            found.count(check.kind, len(bad) - told)


def _of_the_whole(
    data: Episodes, totals: rewards.Rewards, changes: moves.Moves, pairs: list[tuple[int, int]]
) -> Iterator[Finding]:
    for of_ends in OF_ENDS:
        yield from of_ends(data)
    for of_rewards in OF_REWARDS:
        yield from of_rewards(data, totals)
    for of_moves in OF_MOVES:
        yield from of_moves(data, changes)
    yield from check_copies(data, pairs)
