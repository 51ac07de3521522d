"""REGISTRY of offline buffers: recorded episodes, or single transitions, drawn with a seed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol

import numpy as np

from components.episode_batch import EpisodeBatch
from data.read import Episodes
from utils.errors import DataError


class Batches(Protocol):
    """What batches are read from; see `data.read.Episodes`."""

    def read(self, index: np.ndarray) -> EpisodeBatch: ...

    def read_transitions(self, index: np.ndarray) -> EpisodeBatch: ...


class OfflineBuffer(ABC):
    """Draws batches of recorded data; the cost does not depend on how much there is."""

    def __init__(
        self, data: Episodes, batch_size: int, seed: int, source: Batches | None = None
    ) -> None:
        """source: what the data's batches are read from, where that is not the file."""
        self._data, self._source, self._batch_size = data, source or data, batch_size
        self._rng = np.random.default_rng(seed)

    @abstractmethod
    def sample(self) -> EpisodeBatch:
        """The next batch."""

    def state_dict(self) -> dict[str, Any]:
        """The generator's state."""
        return {"rng": self._rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self._rng.bit_generator.state = state["rng"]


class OfflineEpisodes(OfflineBuffer):
    """`batch_size` different episodes, padded to the longest drawn."""

    def __init__(
        self, data: Episodes, batch_size: int, seed: int, source: Batches | None = None
    ) -> None:
        if batch_size > len(data):
            raise DataError(
                f"{data.path} has {len(data)} episodes, fewer than batch_size={batch_size}"
            )
        super().__init__(data, batch_size, seed, source)

    def sample(self) -> EpisodeBatch:
        """B episodes, each at most once."""
        return self._source.read(self._rng.choice(len(self._data), self._batch_size, replace=False))


class OfflineTransitions(OfflineBuffer):
    """`batch_size` transitions from anywhere, one by chance twice: B episodes of T = 1."""

    def sample(self) -> EpisodeBatch:
        """B transitions, each with the observation and action that follow it."""
        index = self._rng.integers(self._data.n_transitions, size=self._batch_size)
        return self._source.read_transitions(index)


REGISTRY: dict[str, type[OfflineBuffer]] = {
    "episodes": OfflineEpisodes,
    "transitions": OfflineTransitions,
}
