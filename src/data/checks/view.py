"""View: a block of rows as the checks see it, with the episode of every row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from data.read import Episodes


@dataclass(frozen=True)
class View:
    """Rows of all fields from row `start`; `own`: those of an episode; `episode`: which (M,)."""

    data: Episodes
    start: int
    columns: dict[str, np.ndarray]
    own: np.ndarray
    episode: np.ndarray

    @property
    def stop(self) -> int:
        """The first row behind it."""
        return self.start + len(self.own)

    def place(self, row: int) -> str:
        """`episode E, step S` of the block's row."""
        episode = int(self.episode[row])
        return f"episode {episode}, step {self.start + row - int(self.data.first_rows[episode])}"

    def inside(self, rows: np.ndarray) -> slice:
        """Which of ascending file rows, one for each episode, are in the block."""
        return slice(*np.searchsorted(rows, [self.start, self.stop]).tolist())


def views(data: Episodes) -> Iterator[View]:
    """All rows, a block at a time."""
    for start, columns, own in data.blocks():
        rows = np.arange(start, start + len(own))
        episode = np.searchsorted(data.first_rows, rows, side="right") - 1
        yield View(data, start, columns, own, episode.clip(0))
