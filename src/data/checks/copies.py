"""The check for repeated episodes, by a hash of each one's observations, actions and rewards."""

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
HASHED = ("obs", "actions", "rewards")


class Copies:
    """A hash of every episode: all observations, actions and rewards of the transitions."""

    def __init__(self, data: Episodes) -> None:
        self.hashes: list[bytes] = []
        self._open = _fresh()
        self._steps = data.first_rows + data.episodes["length"].astype(np.int64)
        self._first, self._last = data.first_rows, data.last_rows

    def see(self, view: View) -> None:
        """The next block, which may begin and end within an episode."""
        fields = [np.ascontiguousarray(view.columns[name]) for name in HASHED]
        for i in range(len(self.hashes), int(np.searchsorted(self._first, view.stop))):
            begin = max(int(self._first[i]), view.start) - view.start
            last = int(self._last[i]) + 1 - view.start
            if begin < last:
                steps = max(begin, int(self._steps[i]) - view.start)
                for field, values in zip(self._open, fields, strict=True):
                    field.update(values[begin : last if field is self._open[0] else steps].data)
            if last <= len(view.own):
                self.hashes.append(b"".join(field.digest() for field in self._open))
                self._open = _fresh()


def _fresh() -> list[Any]:
    return [hashlib.blake2b(digest_size=SIZE) for _ in HASHED]


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
