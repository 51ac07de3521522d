"""Writing PyMARL's padded arrays: a file at a time, piece by piece."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from data.formats.whole import new_hdf5
from data.read import Episodes
from envs.base import EnvInfo
from utils.logging import spans

PIECE, CHUNK = 32 * 2**20, 2**20
"""Bytes of the widest field that are padded at once, and in a chunk at most."""
MOST = 64  # episodes padded at once


class Layout(NamedTuple):
    """How a program of the family keeps its file: one-hot actions, and what h5py is told."""

    onehot: bool = True
    resizable: bool = False
    gzip: int = 0


def write_padded(
    data: Episodes, path: Path, layout: Layout, start: int = 0, stop: int | None = None
) -> None:
    """Write episodes `start` to `stop` to a new file; memory does not grow with their number."""
    stop = len(data) if stop is None else stop
    columns = _columns(data.info, layout.onehot)
    with new_hdf5(path) as (file, check):
        for name, (shape, dtype) in columns.items():
            _create(file, name, (stop - start, *shape), dtype, layout)
        size = _power_of_2(PIECE // max(_sizes(columns)))
        for first, behind in spans(f"writing {path.name}", stop - start, size, " episodes"):
            index = np.arange(start + first, start + behind)
            for name, values in _padded(data, index, columns).items():
                dataset: Any = file[name]
                dataset[first:behind] = values
            check()


def padded_bytes(data: Episodes, layout: Layout) -> int:
    """Of all episodes as they are written without compression."""
    return len(data) * sum(_sizes(_columns(data.info, layout.onehot)))


def _sizes(columns: dict[str, tuple[tuple[int, ...], Any]]) -> list[int]:
    return [math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in columns.values()]


def _columns(info: EnvInfo, onehot: bool) -> dict[str, tuple[tuple[int, ...], Any]]:
    """Name -> (shape of an episode, type), as PyMARL's EpisodeBatch has them."""
    time, agents, actions = info.episode_limit + 1, info.n_agents, info.n_actions
    columns: dict[str, tuple[tuple[int, ...], Any]] = {
        "state": ((time, info.state_shape), np.float32),
        "obs": ((time, agents, info.obs_shape), np.float32),
        "actions": ((time, agents, 1), np.int64),
        "avail_actions": ((time, agents, actions), np.int32),
        "reward": ((time, 1), np.float32),
        "terminated": ((time, 1), np.uint8),
        "filled": ((time, 1), np.int64),
    }
    if onehot:
        columns["actions_onehot"] = (time, agents, actions), np.float32
    return columns


def _create(file: h5py.File, name: str, shape: tuple[int, ...], dtype: Any, layout: Layout) -> None:
    told: dict[str, Any] = {}
    if layout.resizable or layout.gzip:
        item = math.prod(shape[1:]) * np.dtype(dtype).itemsize
        told["chunks"] = (min(_power_of_2(CHUNK // item), shape[0]), *shape[1:])
    if layout.resizable:
        told["maxshape"] = (None, *shape[1:])
    if layout.gzip:
        told |= {"compression": "gzip", "compression_opts": layout.gzip, "shuffle": True}
    file.create_dataset(name, shape, dtype, **told)


def _power_of_2(most: int) -> int:
    """The largest up to `most` and MOST, so that pieces end where chunks do; at least 1."""
    return 2 ** (max(1, min(most, MOST)).bit_length() - 1)


def _padded(
    data: Episodes, index: np.ndarray, columns: dict[str, tuple[tuple[int, ...], Any]]
) -> dict[str, np.ndarray]:
    """The episodes' columns, with zeros behind their ends as PyMARL pads."""
    batch = data.read(index)
    read = {name: tensor.numpy() for name, tensor in batch.tensors().items()}
    mask = read["mask"]
    rows = np.arange(mask.shape[1] + 1) <= mask.sum(1)[:, None]
    steps = {
        "state": read["state"], "obs": read["obs"], "avail_actions": read["avail_actions"],
        "actions": read["actions"][..., None],
        "actions_onehot": np.eye(data.info.n_actions, dtype=np.float32)[read["actions"]],
        "reward": _with_last(read["rewards"] * mask),
        "terminated": _with_last(read["terminated"] & mask), "filled": rows[..., None],
    }  # fmt: skip
    padded = {k: np.zeros((len(index), *shape), dtype) for k, (shape, dtype) in columns.items()}
    for name, values in padded.items():
        values[:, : rows.shape[1]][rows] = steps[name][rows]
    return padded


def _with_last(values: np.ndarray) -> np.ndarray:
    """(B,T) -> (B,T+1,1), the last row 0."""
    return np.pad(values, ((0, 0), (0, 1)))[..., None]
