"""write_d4rl: one agent's episodes in D4RL's layout, block by block."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from data.disk import require_space
from data.formats.whole import new_hdf5, whole_or_nothing
from data.read import Episodes
from utils.errors import DataError
from utils.logging import spans

BLOCK = 32 * 2**20  # bytes of a field that are copied at once
LOST = ["which policy played what", "seeds", "wins"]


def write_d4rl(data: Episodes, path: Path) -> list[str]:
    """Write the episodes as `path` -> what is lost.

    An episode that is cut has a row more: its last observation and the action on it, with reward 0,
    where `timeouts` is set. D4RL's readers drop that row or take from it what follows, so every
    step is kept. Of one that truly ends the last observation is in `next_observations` alone. The
    metadata is in the attributes of the group `metadata`. A file of that name is replaced when all
    is written.
    """
    _check(data)
    with whole_or_nothing(path, replace=True) as work, new_hdf5(work) as (file, check):
        for name, value in data.metadata.to_attributes().items():
            file.require_group("metadata").attrs[name] = value
        _fill(file, data, path, check)
    return [*LOST, "the action on the observation behind a true end"]


def _check(data: Episodes) -> None:
    info = data.info
    if info.n_agents != 1:
        raise DataError(
            f"{data.path} is of {info.n_agents} agents, D4RL's layout is for one; convert it to "
            "another format"
        )
    if info.state_shape not in (0, info.obs_shape):
        raise DataError(
            f"{data.path}: its state ({info.state_shape}) is not its obs ({info.obs_shape}), and "
            "D4RL's layout has no place for it; convert it to another format"
        )


def _fill(file: h5py.File, data: Episodes, path: Path, check: Callable[[], None]) -> None:
    """Every array whole, one after the other, each contiguous; check: raises a write error."""
    lengths = data.episodes["length"].astype(np.int64)
    cut = data.episodes["truncated"]
    ends = np.cumsum(lengths + cut)
    rows = int(ends[-1])

    def place(row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(episode, step) of rows of the new file."""
        episode = np.searchsorted(ends, row, side="right")
        return episode, row - (ends - lengths - cut)[episode]

    def source(row: np.ndarray, after: int) -> np.ndarray:
        """Rows of the data, or of what follows them."""
        episode, step = place(row)
        at = data.first_rows[episode] + np.minimum(step + after, lengths[episode])
        return np.minimum(at, data.last_rows[episode])

    def rewards(row: np.ndarray) -> np.ndarray:
        episode, step = place(row)
        return np.where(step < lengths[episode], data.steps["rewards"][source(row, 0)], 0)

    info = data.info
    action, kind = ((info.n_actions,), np.float32) if info.continuous else ((), np.int32)
    obs = (info.obs_shape,)
    columns: dict[str, tuple[tuple[int, ...], Any, Callable[[np.ndarray], np.ndarray]]] = {
        "observations": (obs, np.float32, lambda row: _seen(data, source(row, 0))),
        "actions": (action, kind, lambda row: data.steps["actions"][source(row, 0)][:, 0]),
        "rewards": ((), np.float32, rewards),
        "terminals": ((), np.bool_, lambda row: np.isin(row, ends[~cut] - 1)),
        "timeouts": ((), np.bool_, lambda row: np.isin(row, ends[cut] - 1)),
        "next_observations": (obs, np.float32, lambda row: _seen(data, source(row, 1))),
    }
    widths = {name: math.prod(c[0]) * np.dtype(c[1]).itemsize for name, c in columns.items()}
    require_space(path, rows * sum(widths.values()))
    for name, (shape, dtype, values) in columns.items():
        array = file.create_dataset(name, (rows, *shape), dtype)
        size = max(1, min(65_536, BLOCK // widths[name]))
        for start, stop in spans(f"writing {path.name}", rows, size, " rows"):
            array[start:stop] = values(np.arange(start, stop))
            check()
            data.note_read(1, stop - start)


def _seen(data: Episodes, rows: np.ndarray) -> np.ndarray:
    """(rows, O) of the one agent; DataError where state or availability say more than that."""
    obs = np.asarray(data.steps["obs"][rows])[:, 0]
    state, avail = data.steps["state"][rows], data.steps["avail_actions"][rows]
    if not np.array_equal(state, obs[:, : state.shape[1]]):
        raise DataError(
            f"{data.path}: its state is not its obs, and D4RL's layout has no place for it; "
            "convert it to another format"
        )
    if not avail.all():
        raise DataError(
            f"{data.path}: some actions are unavailable, which D4RL's layout cannot say; convert "
            "it to another format"
        )
    return obs
