"""RecordedEpisodes: a file of episodes, opened, checked for shape, and read by episode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from components.episode_batch import EpisodeBatch
from data.schema import ATTRIBUTES, EPISODES, FORMAT, STEPS, VERSION, Metadata, step_shapes
from utils.errors import DataError


class RecordedEpisodes:
    """Episodes in a file. Contiguous data is memory-mapped: only what is drawn is read.

    Compressed files, which are for shipping, are unpacked into memory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with _open(path) as file:
                self.metadata = _read_metadata(file, path)
                self.sha256 = str(file.attrs.get("sha256", ""))
                self.steps = {name: _array(file, f"steps/{name}", path) for name in STEPS}
                self.episodes = {n: _dataset(file, f"episodes/{n}", path)[()] for n in EPISODES}
        except (OSError, RuntimeError, ValueError, TypeError) as error:
            raise DataError(f"{path} is damaged ({error}); record or copy it again") from error
        self.info = self.metadata.info
        self._check_shapes()
        rows = self.episodes["length"].astype(np.int64) + 1
        self.offsets = np.concatenate([[0], np.cumsum(rows)])

    def __len__(self) -> int:
        return len(self.episodes["length"])

    @property
    def n_transitions(self) -> int:
        """Transitions in all episodes together."""
        return int(self.episodes["length"].sum())

    def read(self, index: np.ndarray) -> EpisodeBatch:
        """The episodes of `index` (B,), padded to the longest of them by their last row."""
        lengths = self.episodes["length"][index].astype(np.int64)
        time = np.arange(lengths.max() + 1)
        rows = self.offsets[index, None] + np.minimum(time, lengths[:, None])
        mask = time[:-1] < lengths[:, None]
        last = time[:-1] == lengths[:, None] - 1
        columns = {name: self.steps[name][rows] for name in STEPS}
        return EpisodeBatch(
            obs=torch.from_numpy(columns["obs"]),
            state=torch.from_numpy(columns["state"]),
            avail_actions=torch.from_numpy(columns["avail_actions"]),
            actions=torch.from_numpy(columns["actions"].astype(np.int64)),
            rewards=torch.from_numpy(columns["rewards"][:, :-1] * mask),
            terminated=torch.from_numpy(last & self.episodes["terminated"][index, None]),
            truncated=torch.from_numpy(last & self.episodes["truncated"][index, None]),
            mask=torch.from_numpy(mask),
        )

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
        n_rows = int(lengths.sum()) + len(lengths)
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


def _open(path: Path) -> h5py.File:
    if not path.is_file():
        partial = path.with_name(path.name + ".incomplete")
        if partial.is_file():
            raise DataError(f"{path} is not there, only {partial}: its recording was interrupted")
        raise DataError(f"{path} is missing; make it with src/dataset.py record, or set dataset=")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty (0 bytes); record or copy it again")
    try:
        return h5py.File(path, "r")
    except PermissionError as error:
        raise DataError(f"{path} may not be read by this user") from error
    except OSError as error:
        signature = path.open("rb").read(8) == b"\x89HDF\r\n\x1a\n"
        what = "is truncated or damaged" if signature else "is not an HDF5 file"
        raise DataError(f"{path} {what}; record or copy it again") from error


def _read_metadata(file: h5py.File, path: Path) -> Metadata:
    attributes: Any = file.attrs
    if attributes.get("format") != FORMAT:
        raise DataError(f"{path} is HDF5, but not a file of recorded episodes (format={FORMAT})")
    for name in ATTRIBUTES:
        if name not in attributes:
            raise DataError(f"{path} lacks metadata ({name}); record it again")
    if int(attributes["version"]) > VERSION:
        raise DataError(
            f"{path} has format version {attributes['version']}, this program reads up to "
            f"{VERSION}; update the program"
        )
    if not attributes["complete"]:
        episodes = len(_dataset(file, "episodes/length", path))
        raise DataError(
            f"{path} is incomplete: its recording was interrupted after {episodes} episodes; "
            "record it again"
        )
    try:
        return Metadata.from_attributes(attributes)
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path} has damaged metadata ({error}); record it again") from error


def _dataset(file: h5py.File, name: str, path: Path) -> Any:
    if name not in file:
        raise DataError(f"{path} lacks {name}; record or copy it again")
    return file[name]


def _array(file: h5py.File, name: str, path: Path) -> np.ndarray:
    """Memory-mapped where the file stores it in one piece, else unpacked."""
    dataset = _dataset(file, name, path)
    offset = dataset.id.get_offset()
    if offset is None:
        return dataset[()]
    return np.memmap(path, dtype=dataset.dtype, mode="r", offset=offset, shape=dataset.shape)
