"""SACo: how many different (state, joint action) pairs recorded episodes hold."""

from __future__ import annotations

import numpy as np

from envs.base import EnvInfo

ACTION_STEPS = 100
"""A continuous action is rounded to this many parts of its range."""


class PairCounter:
    """Counts the different pairs among the transitions that it is shown, a block at a time.

    Two pairs are one where the state, as float32, and every agent's action are the same. Kept is a
    hash of 64 bits for each transition: 8 bytes of memory each. Of n pairs about n² / 2^64 are
    taken for another, 0.05 of a billion.
    """

    def __init__(self, info: EnvInfo, n_transitions: int) -> None:
        self._info = info
        self._hashes = np.empty(n_transitions, np.uint64)
        self._seen = 0
        words = (info.state_shape or info.n_agents * info.obs_shape) + info.n_agents * (
            info.n_actions if info.continuous else 1
        )
        chance = np.random.default_rng(0)
        self._weights = chance.integers(2**64, size=words, dtype=np.uint64) | np.uint64(1)

    def add(self, states: np.ndarray, actions: np.ndarray) -> None:
        """Transitions: states (M,...), where there is none all agents' obs; actions (M,N[,A])."""
        rows = len(states)
        words = np.concatenate(
            [
                # minus zero is zero
                (states.reshape(rows, -1).astype(np.float32) + np.float32(0)).view(np.uint32),
                self._whole(actions).reshape(rows, -1).astype(np.uint32),
            ],
            axis=1,
        )
        self._hashes[self._seen : self._seen + rows] = _hash(words, self._weights)
        self._seen += rows

    def count(self) -> int:
        """The number of different pairs so far."""
        seen = self._hashes[: self._seen]
        seen.sort()  # in place
        return int((seen[1:] != seen[:-1]).sum()) + min(self._seen, 1)

    def _whole(self, actions: np.ndarray) -> np.ndarray:
        if not self._info.continuous:
            return actions
        low, high = np.array(self._info.action_low), np.array(self._info.action_high)
        parts = np.round((actions - low) / (high - low) * ACTION_STEPS)
        return parts.clip(0, ACTION_STEPS)


def _hash(words: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """A hash (M,) of the rows of words (M,W): each word is mixed, then weighed by its place."""
    mixed = words.astype(np.uint64)
    mixed += np.uint64(1)
    mixed *= np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(32)
    mixed *= weights
    return mixed.sum(axis=1, dtype=np.uint64)
