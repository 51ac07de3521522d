"""Episodes: recorded ones, read by episode or transition; RecordedEpisodes: those of our format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from components.episode_batch import EpisodeBatch
from data.open import find, open_file, read_metadata
from data.schema import EPISODES, STEPS, Metadata, step_shapes
from envs.base import EnvInfo
from utils.errors import DataError


class Episodes:
    """Recorded episodes as rows, whatever file they are in.

    Episode i begins at row `first_rows[i]`; no row behind `last_rows[i]` is its own. `derived`:
    the figures of `episodes` were computed from the rows on opening.
    """

    path: Path
    metadata: Metadata
    sha256: str  # of the content
    steps: dict[str, np.ndarray]
    episodes: dict[str, np.ndarray]
    first_rows: np.ndarray
    last_rows: np.ndarray
    derived = False
    _starts: np.ndarray  # the first transition of each episode, of all transitions end to end

    def __len__(self) -> int:
        return len(self.episodes["length"])

    @property
    def info(self) -> EnvInfo:
        """The numbers that the episodes were recorded with."""
        return self.metadata.info

    @property
    def n_transitions(self) -> int:
        """Transitions in all episodes together."""
        return int(self.episodes["length"].sum(dtype=np.int64))

    def read(self, index: np.ndarray) -> EpisodeBatch:
        """The episodes of `index` (B,), padded to the longest of them by their last row."""
        lengths = self.episodes["length"][index].astype(np.int64)
        time = np.arange(lengths.max() + 1)
        rows = np.minimum(self.first_rows[index, None] + time, self.last_rows[index, None])
        mask = time[:-1] < lengths[:, None]
        last = time[:-1] == lengths[:, None] - 1
        return self._batch(rows, mask, last, index)

    def read_transitions(self, index: np.ndarray) -> EpisodeBatch:
        """The transitions of `index` (B,), counted through all episodes: B episodes of T = 1."""
        episode = np.searchsorted(self._starts, index, side="right") - 1
        time = index - self._starts[episode]
        row = self.first_rows[episode] + time
        rows = np.stack([row, np.minimum(row + 1, self.last_rows[episode])], axis=1)
        last = (time == self.episodes["length"][episode] - 1)[:, None]
        return self._batch(rows, np.ones((len(index), 1), dtype=bool), last, episode)

    def _batch(
        self, rows: np.ndarray, mask: np.ndarray, last: np.ndarray, index: np.ndarray
    ) -> EpisodeBatch:
        columns = {name: self.steps[name][rows] for name in STEPS}
        kind = np.float32 if self.info.continuous else np.int64
        return EpisodeBatch(
            obs=torch.from_numpy(columns["obs"].astype(np.float32, copy=False)),
            state=torch.from_numpy(columns["state"].astype(np.float32, copy=False)),
            avail_actions=torch.from_numpy(columns["avail_actions"]),
            actions=torch.from_numpy(columns["actions"].astype(kind, copy=False)),
            rewards=torch.from_numpy((columns["rewards"][:, :-1] * mask).astype(np.float32)),
            terminated=torch.from_numpy(last & self.episodes["terminated"][index, None]),
            truncated=torch.from_numpy(last & self.episodes["truncated"][index, None]),
            mask=torch.from_numpy(mask),
        )

    def _place(self, first_rows: np.ndarray, last_rows: np.ndarray) -> None:
        self.first_rows, self.last_rows = first_rows, last_rows
        lengths = self.episodes["length"].astype(np.int64)
        self._starts = np.cumsum(lengths) - lengths


class RecordedEpisodes(Episodes):
    """Episodes in a file of our format. Contiguous data is memory-mapped: only drawn rows are read.

    Compressed files, which are for shipping, are unpacked into memory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_file(path) as file:
            self.metadata = read_metadata(file, path)
            self.sha256 = str(file.attrs.get("sha256", ""))
            self.episodes = {n: find(file, f"episodes/{n}", path)[()] for n in EPISODES}
            self.steps = {name: self._step_array(file, name) for name in STEPS}
        self._check_shapes()
        ends = np.cumsum(self.episodes["length"].astype(np.int64) + 1)
        self._place(np.concatenate([[0], ends[:-1]]), ends - 1)

    def _step_array(self, file: h5py.File, name: str) -> np.ndarray:
        shape, dtype = step_shapes(self.info)[name]
        if 0 in shape:
            lengths = self.episodes["length"]
            return np.zeros((int(lengths.sum(dtype=np.int64)) + len(lengths), *shape), dtype)
        return array(find(file, f"steps/{name}", self.path), self.path)

    def _check_shapes(self) -> None:
        lengths = self.episodes["length"]
        if len(lengths) == 0:
            raise DataError(f"{self.path} holds no episodes")
        if lengths.min() < 1:
            raise DataError(
                f"{self.path}: episode {int(lengths.argmin())} has length {lengths.min()}; "
                "every episode needs at least one transition"
            )
        for name, values in self.episodes.items():
            if values.shape != lengths.shape:
                raise DataError(
                    f"{self.path}: episodes/{name} has the shape {values.shape}, "
                    f"episodes/length {lengths.shape}"
                )
            if values.dtype != EPISODES[name]:
                raise DataError(
                    f"{self.path}: episodes/{name} is {values.dtype}, "
                    f"the format needs {np.dtype(EPISODES[name])}"
                )
        n_rows = int(lengths.sum(dtype=np.int64)) + len(lengths)
        for name, (shape, dtype) in step_shapes(self.info).items():
            found = self.steps[name].shape
            if self.steps[name].dtype != dtype:
                raise DataError(
                    f"{self.path}: steps/{name} is {self.steps[name].dtype}, "
                    f"the format needs {np.dtype(dtype)}"
                )
            if found != (n_rows, *shape):
                raise DataError(
                    f"{self.path}: steps/{name} has the shape {found}, its episodes and "
                    f"env_info ({self.info.numbers()}) need {(n_rows, *shape)}"
                )


def array(dataset: Any, path: Path) -> np.ndarray:
    """An HDF5 data set of `path`: memory-mapped where it is stored in one piece, else unpacked."""
    offset = dataset.id.get_offset()
    if offset is None:
        return dataset[()]
    mapped = np.memmap(path, dtype=dataset.dtype, mode="r", offset=offset, shape=dataset.shape)
    return np.asarray(mapped)  # a plain view of the same pages: indexing it costs less
