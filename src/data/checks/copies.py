"""The check for repeated episodes, by a hash of each one's observations and actions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from data.checks.moves import Moves
from data.checks.view import View
from data.findings import Finding, Kind
from data.read import Episodes

SIZE = 16  # bytes of a hash


class Copies:
    """A hash of every episode's observations and actions, the last row's action left out."""

    def __init__(self, data: Episodes) -> None:
        self.hashes: list[bytes] = []
        self._open: tuple[Any, Any] = _fresh()
        self._steps = data.first_rows + data.episodes["length"].astype(np.int64)
        self._first, self._last = data.first_rows, data.last_rows

    def see(self, view: View) -> None:
        """The next block, which may begin and end within an episode."""
        obs = np.ascontiguousarray(view.columns["obs"])
        actions = np.ascontiguousarray(view.columns["actions"])
        for i in range(len(self.hashes), int(np.searchsorted(self._first, view.stop))):
            begin = max(int(self._first[i]), view.start) - view.start
            last = int(self._last[i]) + 1 - view.start
            if begin < last:
                self._open[0].update(obs[begin:last].data)
                self._open[1].update(actions[begin : max(begin, self._steps[i] - view.start)].data)
            if last <= len(view.own):
                self.hashes.append(self._open[0].digest() + self._open[1].digest())
                self._open = _fresh()


def _fresh() -> tuple[Any, Any]:
    return hashlib.blake2b(digest_size=SIZE), hashlib.blake2b(digest_size=SIZE)


def repeats(data: Episodes, copies: Copies, moves: Moves) -> list[tuple[int, int]]:
    """(episode, the one before it that it equals).

    Two that were recorded from different seeds or slots are two, however equal: a small game
    repeats itself. Where seeds are not known, that is taken to be so if every episode begins alike.
    """
    seeds, slots = data.episodes["seed"].tolist(), data.episodes["slot"].tolist()
    known = any(seeds) or any(slots)
    if not (known or moves.starts_vary or data.info.continuous):
        return []
    seen: dict[tuple[bytes, int, int], int] = {}
    found = []
    for i, key in enumerate(zip(copies.hashes, seeds, slots, strict=True)):
        first = seen.setdefault(key, i)
        if first != i:
            found.append((i, first))
    return found


def check_copies(data: Episodes, pairs: list[tuple[int, int]]) -> Iterator[Finding]:
    """Each episode that was there before."""
    for i, first in pairs:
        yield Finding(
            Kind.REPEATED,
            f"episode {i} is episode {first} again ({data.episodes['length'][i]} steps)",
            "it counts twice in learning and in every mean",
        )
