"""OfflineBuffer: whole recorded episodes, drawn with a seed."""

from __future__ import annotations

from typing import Any

import numpy as np

from components.episode_batch import EpisodeBatch
from data.read import RecordedEpisodes
from utils.errors import DataError


class OfflineBuffer:
    """Draws batches of different episodes; the cost does not depend on how many there are."""

    def __init__(self, data: RecordedEpisodes, batch_size: int, seed: int) -> None:
        if batch_size > len(data):
            raise DataError(
                f"{data.path} has {len(data)} episodes, fewer than batch_size={batch_size}"
            )
        self._data, self._batch_size = data, batch_size
        self._rng = np.random.default_rng(seed)

    def sample(self) -> EpisodeBatch:
        """`batch_size` different episodes, padded to the longest drawn."""
        return self._data.read(self._rng.choice(len(self._data), self._batch_size, replace=False))

    def state_dict(self) -> dict[str, Any]:
        """The generator's state."""
        return {"rng": self._rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self._rng.bit_generator.state = state["rng"]
