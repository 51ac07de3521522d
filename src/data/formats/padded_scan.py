"""Sizes, lengths and ends of the episodes in a file of PyMARL's padded arrays, piece by piece.

An episode of T transitions fills T+1 rows; the last has the last observation, an action that is not
played, reward 0 and `terminated` 0. Some converters leave that row out: then `terminated` stands in
the last row that is filled.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from data.open import open_file
from data.rows import holds_numbers
from utils.errors import DataError
from utils.logging import spans

KEYS = ("obs", "state", "avail_actions", "actions", "reward", "terminated", "filled")
PIECE = 16 * 2**20  # bytes of avail_actions that are looked at together


class Sizes(NamedTuple):
    """L is the time axis as it is stored, usually the time limit and one more."""

    episodes: int
    time: int
    agents: int
    actions: int
    obs: int
    state: int


class Found(NamedTuple):
    """A file's episodes: arrays (episodes,), and what is told of the file as a whole."""

    sizes: Sizes
    filled: np.ndarray  # rows
    length: np.ndarray  # transitions: one less, or as many where the last row is left out
    returns: np.ndarray
    terminated: np.ndarray
    spare: np.ndarray  # the reward in the last row, where that belongs to no transition
    probs: str  # what the behaviour's probabilities are, "" where there are none
    corrected: bool  # whether offpymarl's corrected_terminated is there
    sha256: str  # of actions, rewards and ends, and of some obs and state


def scan(path: Path) -> Found:
    """Look at all episodes of a file; DataError where it cannot be read in one way alone."""
    with open_file(path) as file:
        sizes = _sizes(file, path)
        digest = hashlib.sha256(
            str({k: (v.shape, str(v.dtype)) for k, v in _arrays(file)}).encode()
        )
        pieces = []
        for start, stop in _pieces(file["avail_actions"], path):
            piece = {k: _read(file, k, start, stop) for k in KEYS if k not in ("obs", "state")}
            piece = {k: v.reshape(stop - start, sizes.time, -1) for k, v in piece.items()}
            pieces.append(_ends(piece, path, start))
            _check_choices(piece, path, start)
            for name in ("filled", "terminated", "reward", "actions"):
                digest.update(np.ascontiguousarray(piece[name]).tobytes())
        for name in ("obs", "state"):
            for i in (0, sizes.episodes - 1):
                digest.update(_read(file, name, i, i + 1).tobytes())
        filled, length, returns, terminated, spare = (
            np.concatenate(column) for column in zip(*pieces, strict=True)
        )
        probs = _probs(file, length, path) if "probs" in file else ""
        return Found(
            sizes, filled, length, returns, terminated, spare,
            probs, "corrected_terminated" in file, digest.hexdigest(),
        )  # fmt: skip


def _arrays(file: h5py.File) -> Iterator[tuple[str, Any]]:
    for name in KEYS:
        yield name, file[name]


def _sizes(file: h5py.File, path: Path) -> Sizes:
    missing = [name for name in KEYS if name not in file]
    if missing:
        raise DataError(
            f"{path} lacks {', '.join(missing)}; a file of PyMARL's episodes has {', '.join(KEYS)}"
        )
    for name, values in _arrays(file):
        if not isinstance(values, h5py.Dataset) or not holds_numbers(values.dtype):
            raise DataError(f"{path}: {name} is no array of numbers of up to 64 bits")
    shapes = {name: values.shape for name, values in _arrays(file)}
    for name, axes, letters in (
        ("avail_actions", 4, "(episodes, L, agents, actions)"),
        ("obs", 4, "(episodes, L, agents, numbers)"), ("state", 3, "(episodes, L, numbers)"),
    ):  # fmt: skip
        if len(shapes[name]) != axes:
            raise DataError(f"{path}: {name} has the shape {shapes[name]}, not {letters}")
    n, time, agents, actions = shapes["avail_actions"]
    _check_shapes(path, shapes, (n, time), agents)
    if 0 in (n, time):
        raise DataError(f"{path} holds no episodes: avail_actions has the shape {(n, time)}...")
    return Sizes(n, time, agents, actions, shapes["obs"][-1], shapes["state"][-1])


def _check_shapes(
    path: Path, shapes: dict[str, tuple[int, ...]], lead: tuple[int, int], agents: int
) -> None:
    allowed: dict[str, tuple[tuple[int, ...], ...]] = {
        name: ((*lead, 1), lead) for name in ("filled", "terminated", "reward")
    }
    allowed["actions"] = ((*lead, agents, 1), (*lead, agents))
    allowed["obs"] = ((*lead, agents, shapes["obs"][-1]),)
    allowed["state"] = ((*lead, shapes["state"][-1]),)
    for name, fitting in allowed.items():
        if shapes[name] not in fitting:
            raise DataError(
                f"{path}: {name} has the shape {shapes[name]}, with avail_actions "
                f"{shapes['avail_actions']} it should be {fitting[0]}"
            )


def _pieces(dataset: Any, path: Path) -> Iterator[tuple[int, int]]:
    """(first, one behind the last) episode of each piece: whole chunks, about PIECE bytes."""
    chunk = dataset.chunks[0] if dataset.chunks else 1
    item = max(1, math.prod(dataset.shape[1:]) * 8)
    size = max(1, PIECE // (item * chunk)) * chunk
    return spans(f"reading {path.name}", len(dataset), size, " episodes")


def _read(file: h5py.File, name: str, start: int, stop: int) -> np.ndarray:
    dataset: Any = file[name]
    return dataset[start:stop]


def _ends(piece: dict[str, np.ndarray], path: Path, start: int) -> tuple[np.ndarray, ...]:
    """(filled, length, return, terminated, spare reward) of each of a piece's episodes."""
    flags = {name: piece[name][..., 0] for name in ("filled", "terminated", "reward")}
    time = np.arange(flags["filled"].shape[1])
    _require(_is_flag(flags["filled"]), path, start, "filled is neither 0 nor 1")
    own = flags["filled"].astype(bool)
    filled = own.sum(1)
    _require(own | (time >= filled[:, None]), path, start, "filled is 0, and 1 later on")
    _require(_is_flag(flags["terminated"]) | ~own, path, start, "terminated is neither 0 nor 1")
    ends: Any = flags["terminated"].astype(bool) & own
    last = np.maximum(filled - 1, 0)
    each = np.arange(len(filled))
    without_last = ends[each, last]
    length = filled - 1 + without_last
    if (length < 1).any():
        i = int(np.argmax(length < 1))
        raise DataError(f"{path}: episode {start + i} has {filled[i]} rows and no transition")
    early = ends & (time != length[:, None] - 1)
    _require(~early, path, start, "terminated is 1, and the episode goes on")
    rewards = flags["reward"].astype(np.float64)
    returns = np.where(time < length[:, None], rewards, 0.0).sum(1)
    spare = np.where(without_last, 0.0, rewards[each, last])
    return filled, length, returns, ends.any(1), spare


def _check_choices(piece: dict[str, np.ndarray], path: Path, start: int) -> None:
    """Actions are whole numbers, and what is available is 0 or 1."""
    own = piece["filled"].astype(bool)
    actions, avail = piece["actions"], piece["avail_actions"]
    if actions.dtype.kind == "f":
        whole: Any = (np.isfinite(actions) & (actions == np.floor(actions))) | ~own
        _require(whole.all(-1), path, start, "an action is no whole number")
    if avail.dtype.kind != "b":
        flags: Any = _is_flag(avail) | ~own
        _require(flags.all(-1), path, start, "avail_actions has values other than 0 and 1")


def _is_flag(values: np.ndarray) -> np.ndarray:
    return (values == 0) | (values == 1)


def _require(good: np.ndarray, path: Path, start: int, problem: str) -> None:
    """good: (episodes of the piece, L)."""
    if not good.all():
        i, step = np.unravel_index(int(np.argmin(good)), good.shape)
        raise DataError(f"{path}: episode {start + i}, step {step}: {problem}")


def _probs(file: h5py.File, length: np.ndarray, path: Path) -> str:
    """Whether the behaviour's probabilities can be any: usually nobody has written them."""
    dataset: Any = file["probs"]
    if not isinstance(dataset, h5py.Dataset) or dataset.shape != _shape_of(file, "avail_actions"):
        return "of another shape than avail_actions"
    zero, one = True, True
    for start, stop in _pieces(dataset, path):
        probs = dataset[start:stop]
        played = np.arange(probs.shape[1]) < length[start:stop, None]
        sums = probs.sum(-1, dtype=np.float64)[played]
        zero &= not probs[played].any()
        one &= bool(np.isclose(sums, 1.0, atol=1e-3).all())
    return "all zero" if zero else "rows sum to 1" if one else "rows do not sum to 1"


def _shape_of(file: h5py.File, name: str) -> tuple[int, ...]:
    dataset: Any = file[name]
    return dataset.shape
