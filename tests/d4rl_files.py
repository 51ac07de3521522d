"""HDF5 files of D4RL's layout: a small one to check by hand, random ones, a large one, bad ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from data.formats import open_dataset
from data.read import Episodes
from utils.config import load_settings

Arrays = dict[str, np.ndarray]
TERMINALS, TIMEOUTS = (2, 8, 10), (6, 7, 10)


def pendulum_arrays() -> Arrays:
    """Fourteen rows for Pendulum-v1; row i shows (i, i + 0.25, i + 0.5), acts i / 8, pays 2^i.

    Rows 0-2 end in a terminal, 3-6 in a time-out, 7 is timed out at once, 8 is a terminal at once,
    9-10 end in both, which is a true end, and the file ends after 11-13.
    """
    row = np.arange(14)
    return {
        "observations": (row[:, None] + np.array([0, 0.25, 0.5])).astype(np.float32),
        "actions": (row[:, None] / 8).astype(np.float32),
        "rewards": (2.0**row).astype(np.float32),
        "terminals": np.isin(row, TERMINALS),
        "timeouts": np.isin(row, TIMEOUTS),
    }


def random_arrays(rows: int, seed: int) -> Arrays:
    """Rows for Pendulum-v1 that end anywhere; some are terminal and timed out, some alone."""
    rng = np.random.default_rng(seed)
    arrays = {
        "observations": rng.normal(size=(rows, 3)).astype(np.float32),
        "actions": rng.uniform(-2, 2, (rows, 1)).astype(np.float32),
        "rewards": rng.normal(size=rows).astype(np.float32),
        "terminals": rng.random(rows) < 0.15,
        "timeouts": rng.random(rows) < 0.25,
    }
    arrays["terminals"][rows // 2] = True
    return arrays


def write_d4rl(
    path: Path,
    arrays: Mapping[str, Any] | None = None,
    *,
    drop: Iterable[str] = (),
    replace: Mapping[str, Any] | None = None,
    spoil: Mapping[str, tuple[int, Any]] | None = None,
    **storage: Any,
) -> Path:
    """A file of `arrays` (the fourteen rows), contiguous unless `storage` tells h5py otherwise.

    Then what is wrong with it: keys to `drop`, whole arrays to `replace`, and (row, value) pairs of
    single rows to `spoil`.
    """
    written = dict(pendulum_arrays() if arrays is None else arrays) | dict(replace or {})
    for name, (row, value) in (spoil or {}).items():
        written[name] = written[name].copy()
        written[name][row] = value
    for name in drop:
        del written[name]
    with h5py.File(path, "w") as file:
        for name, values in written.items():
            file.create_dataset(name, data=values, **storage)
    return path


def write_large(path: Path, rows: int, obs_shape: int, n_actions: int) -> Path:
    """A file of zeros with a time-out at every 1,000th row; it takes little room on the disk."""
    shapes = {
        "observations": ((rows, obs_shape), np.float32),
        "actions": ((rows, n_actions), np.float32),
        "rewards": ((rows,), np.float32),
        "terminals": ((rows,), np.bool_),
        "timeouts": ((rows,), np.bool_),
    }
    with h5py.File(path, "w") as file:
        for name, (shape, dtype) in shapes.items():
            values = file.create_dataset(name, shape, dtype, fill_time="never")
            values[-1] = 0  # the first value that is written lays the whole array out
        file["timeouts"][999::1000] = True
    return path


def cut_off(path: Path, share: float) -> None:
    """Keep only this share of the file's bytes, as a copy that was interrupted."""
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


def open_flat(path: Path, key: str = "Pendulum-v1", alg: str = "bc_continuous") -> Episodes:
    """The file as data of the Gymnasium task `key`; alg: one for its kind of actions."""
    updates = {"dataset": str(path), "env_args": {"key": key}}
    batch_of = {} if alg == "bc_continuous" else {"batch_of": "episodes"}
    return open_dataset(load_settings(alg, "d4rl", updates | batch_of).run)


def slow_transitions(arrays: Arrays) -> list[tuple[int, int, bool, bool]]:
    """(row, row that follows, terminated, truncated) of every step that can be learnt from."""
    terminals, timeouts = arrays["terminals"], arrays["timeouts"]
    rows = len(terminals)

    def cut(row: int) -> bool:
        return bool(not terminals[row] and (timeouts[row] or row == rows - 1))

    found = []
    for row in range(rows):
        if terminals[row]:
            found.append((row, row, True, False))
        elif not cut(row):
            found.append((row, row + 1, False, cut(row + 1)))
    return found
