"""HDF5 files of PyMARL's padded arrays, as the family's programs write them: small, by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Arrays = dict[str, np.ndarray]
LENGTHS = (2, 3, 1, 2)
TERMINATED = (True, False, True, False)
"""Episode 1 meets the limit of 3 steps, episode 3 is cut before it."""


def by_hand(onehot: bool = True) -> Arrays:
    """Four episodes of two agents with three actions, L = 4; every number is another.

    Row t of episode i shows 100 i + 10 t + agent and so on; step t pays 2^t + i / 4.
    """
    episode, time = np.arange(4)[:, None], np.arange(4)
    filled = time <= np.array(LENGTHS)[:, None]
    played = time < np.array(LENGTHS)[:, None]
    at = 100.0 * episode + 10.0 * time
    obs = at[..., None, None] + np.array([[0.0, 0.5], [1.0, 1.5]])
    state = at[..., None] + np.array([0.25, 0.5, 0.75])
    actions = (episode + time)[..., None] % 3 - np.array([0, 1])
    actions %= 3
    one_hot = np.eye(3, dtype=np.float32)[actions]
    avail = np.ones((4, 4, 2, 3), dtype=np.int32)
    avail[..., 0] = one_hot[..., 0]
    last = time == np.array(LENGTHS)[:, None] - 1
    arrays = {
        "obs": (obs * filled[..., None, None]).astype(np.float32),
        "state": (state * filled[..., None]).astype(np.float32),
        "actions": (actions * filled[..., None])[..., None].astype(np.int64),
        "avail_actions": avail * filled[..., None, None].astype(np.int32),
        "reward": ((2.0**time + episode / 4) * played)[..., None].astype(np.float32),
        "terminated": (last & np.array(TERMINATED)[:, None])[..., None].astype(np.uint8),
        "filled": filled[..., None].astype(np.int64),
    }
    if onehot:
        arrays["actions_onehot"] = one_hot * filled[..., None, None].astype(np.float32)
    return arrays


def two_step_arrays(episodes: int) -> Arrays:
    """QMIX's two-step game as PyMARL records it: both agents try everything in turn."""
    ways = np.arange(episodes)
    joint = np.stack([ways & 1, ways >> 1 & 1, ways >> 2 & 1, ways >> 3 & 1], 1).reshape(-1, 2, 2)
    joint = np.concatenate([joint, np.zeros_like(joint[:, :1])], 1)
    payoff = np.array([[[7, 7], [7, 7]], [[0, 1], [1, 8]]], dtype=np.float32)
    situation = np.stack([ways * 0, 1 + joint[:, 0, 0], 1 + joint[:, 0, 0]], 1)
    state = np.eye(3, dtype=np.float32)[situation]
    reward = np.zeros((episodes, 3, 1), dtype=np.float32)
    reward[:, 1, 0] = payoff[joint[:, 0, 0], joint[:, 1, 0], joint[:, 1, 1]]
    return {
        "obs": np.repeat(state[:, :, None], 2, axis=2),
        "state": state,
        "actions": joint[..., None].astype(np.int64),
        "actions_onehot": np.eye(2, dtype=np.float32)[joint],
        "avail_actions": np.ones((episodes, 3, 2, 2), dtype=np.int32),
        "reward": reward,
        "terminated": np.tile(np.array([0, 1, 0], dtype=np.uint8)[:, None], (episodes, 1, 1)),
        "filled": np.ones((episodes, 3, 1), dtype=np.int64),
    }


def write_arrays(
    path: Path,
    arrays: Mapping[str, np.ndarray] | None = None,
    *,
    drop: Iterable[str] = (),
    replace: Mapping[str, Any] | None = None,
    spoil: Mapping[str, tuple[Any, Any]] | None = None,
    **storage: Any,
) -> Path:
    """A file of `arrays` (those by hand), contiguous unless `storage` tells h5py otherwise.

    Then what is wrong with it: keys to `drop`, whole arrays to `replace`, and (place, value) pairs
    of single elements to `spoil`.
    """
    written = dict(by_hand() if arrays is None else arrays) | dict(replace or {})
    for name, (place, value) in (spoil or {}).items():
        written[name] = written[name].copy()
        written[name][place] = value
    for name in drop:
        del written[name]
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, values in written.items():
            file.create_dataset(name, data=values, **storage)
    return path


def write_cfcql(path: Path, probs: np.ndarray | None = None) -> Path:
    """As CFCQL collects: `probs` and no one-hot actions, episode after episode appended."""
    arrays = by_hand(onehot=False)
    arrays["probs"] = np.zeros((4, 4, 2, 3), np.float32) if probs is None else probs
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            first = {"maxshape": (None, *values.shape[1:]), "chunks": True}
            dataset = file.create_dataset(name, data=values[:1], **first)
            for i in range(1, len(values)):
                dataset.resize(i + 1, axis=0)
                dataset[i:] = values[i : i + 1]
    return path
