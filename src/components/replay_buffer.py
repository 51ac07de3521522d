"""ReplayBuffer: the latest episodes of a live run, sampled whole."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from components.episode_batch import EpisodeBatch


class ReplayBuffer:
    """At most `buffer_size` episodes, the oldest dropped first.

    Each episode is stored without padding, so memory follows the number of transitions.
    """

    def __init__(self, buffer_size: int, seed: int) -> None:
        self._buffer_size = buffer_size
        self._episodes: list[dict[str, Tensor]] = []
        self._next = 0
        self._rng = np.random.default_rng(seed)

    def __len__(self) -> int:
        return len(self._episodes)

    def insert(self, batch: EpisodeBatch) -> None:
        """Take in every episode of `batch`."""
        for i in range(batch.batch_size):
            episode = {k: v.clone() for k, v in batch.episodes([i]).trim().tensors().items()}
            if len(self._episodes) < self._buffer_size:
                self._episodes.append(episode)
            else:
                self._episodes[self._next] = episode
            self._next = (self._next + 1) % self._buffer_size

    def sample(self, batch_size: int) -> EpisodeBatch:
        """`batch_size` different episodes, padded to the longest drawn."""
        chosen = self._rng.choice(len(self._episodes), batch_size, replace=False)
        return EpisodeBatch.concatenate([EpisodeBatch(**self._episodes[i]) for i in chosen])

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs to draw the same samples."""
        return {
            "episodes": self._episodes,
            "next": self._next,
            "rng": self._rng.bit_generator.state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self._episodes, self._next = state["episodes"], state["next"]
        self._rng.bit_generator.state = state["rng"]
