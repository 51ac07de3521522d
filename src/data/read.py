"""Episodes: recorded ones, read by episode or transition; RecordedEpisodes: those of our format."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import torch

from components.episode_batch import EpisodeBatch
from data.open import find, metadata_of, open_file, root_attributes
from data.rows import MappedFile, PackedRows, Rows, rows_of
from data.schema import (
    BITS,
    EPISODES,
    HALF,
    METADATA,
    STEPS,
    Digest,
    Metadata,
    step_shapes,
    stored_shapes,
)
from envs.base import EnvInfo
from utils.errors import DataError
from utils.logging import spans

ROWS = 65_536  # rows of a block, so that memory does not grow with the file
BLOCK = 64 * 2**20  # bytes of its largest field, at most


class Block(NamedTuple):
    """Rows of all fields, from row `start`; `own` (rows,) bool: those that belong to an episode."""

    start: int
    columns: dict[str, np.ndarray]
    own: np.ndarray


class Place(NamedTuple):
    """Which rows a batch is made of, and what is known of its transitions without reading them."""

    rows: np.ndarray  # (B, T+1) int64
    mask: np.ndarray  # (B, T) bool, and so are the others
    terminated: np.ndarray
    truncated: np.ndarray


class Episodes:
    """Recorded episodes as rows, whatever file they are in.

    Episode i begins at row `first_rows[i]`; no row behind `last_rows[i]` is its own. `derived`:
    the figures of `episodes` were computed from the rows on opening.
    """

    path: Path
    metadata: Metadata
    sha256: str  # of the content
    steps: Mapping[str, Rows]
    episodes: dict[str, np.ndarray]
    first_rows: np.ndarray
    last_rows: np.ndarray
    derived = False
    mapped: MappedFile | None = None  # what the steps are mapped from
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

    @property
    def half(self) -> bool:
        """Whether obs and state, or the one of them that there is, are in half precision."""
        rows = [self.steps[name] for name in HALF]
        return {r.dtype.type for r in rows if 0 not in r.shape[1:]} == {np.float16}

    def read(self, index: np.ndarray) -> EpisodeBatch:
        """The episodes of `index` (B,), padded to the longest of them by their last row."""
        return self._batch(self.place(index))

    def read_transitions(self, index: np.ndarray) -> EpisodeBatch:
        """The transitions of `index` (B,), counted through all episodes: B episodes of T = 1."""
        return self._batch(self.place_transitions(index))

    def place(self, index: np.ndarray) -> Place:
        """Where `read` finds the episodes."""
        lengths = self.episodes["length"][index].astype(np.int64)
        time = np.arange(lengths.max() + 1)
        rows = np.minimum(self.first_rows[index, None] + time, self.last_rows[index, None])
        mask = time[:-1] < lengths[:, None]
        last = time[:-1] == lengths[:, None] - 1
        return self._place_of(rows, mask, last, index)

    def place_transitions(self, index: np.ndarray) -> Place:
        """Where `read_transitions` finds the transitions."""
        episode = np.searchsorted(self._starts, index, side="right") - 1
        time = index - self._starts[episode]
        row = self.first_rows[episode] + time
        rows = np.stack([row, np.minimum(row + 1, self.last_rows[episode])], axis=1)
        last = (time == self.episodes["length"][episode] - 1)[:, None]
        return self._place_of(rows, np.ones((len(index), 1), dtype=bool), last, episode)

    def _place_of(
        self, rows: np.ndarray, mask: np.ndarray, last: np.ndarray, episode: np.ndarray
    ) -> Place:
        terminated = last & self.episodes["terminated"][episode, None]
        truncated = last & self.episodes["truncated"][episode, None]
        return Place(rows, mask, terminated, truncated)

    def blocks(self, names: tuple[str, ...] = STEPS) -> Iterator[Block]:
        """All rows of the fields, in order and a block at a time."""
        widest = max(
            math.prod(self.steps[n].shape[1:]) * self.steps[n].dtype.itemsize for n in names
        )
        size = max(1, min(ROWS, BLOCK // max(widest, 1)))
        count = len(self.steps["rewards"])
        for start, stop in spans(f"reading {self.path.name}", count, size, " rows"):
            columns = {name: self.steps[name][start:stop] for name in names}
            rows = np.arange(start, stop)
            episode = np.searchsorted(self.first_rows, rows, side="right") - 1
            yield Block(start, columns, (episode >= 0) & (rows <= self.last_rows[episode]))
            self.note_read(1, len(rows))

    def note_read(self, runs: int, rows: int) -> None:
        """Say that `rows` rows were read, in `runs` places: mapped memory is given back in time."""
        if self.mapped is not None:
            self.mapped.touched(runs * len(self.steps), rows * self.row_bytes)

    @property
    def row_bytes(self) -> int:
        """Of one row of all fields, as they are kept."""
        rows = self.steps.values()
        return sum(math.prod(field.shape[1:]) * field.dtype.itemsize for field in rows)

    def _batch(self, place: Place) -> EpisodeBatch:
        columns = {name: self.steps[name][place.rows] for name in STEPS}
        self.note_read(len(place.rows), place.rows.size)
        kind = np.float32 if self.info.continuous else np.int64
        rewards = (columns["rewards"][:, :-1] * place.mask).astype(np.float32)
        return EpisodeBatch(
            obs=torch.from_numpy(columns["obs"].astype(np.float32, copy=False)),
            state=torch.from_numpy(columns["state"].astype(np.float32, copy=False)),
            avail_actions=torch.from_numpy(columns["avail_actions"]),
            actions=torch.from_numpy(columns["actions"].astype(kind, copy=False)),
            rewards=torch.from_numpy(rewards),
            terminated=torch.from_numpy(place.terminated),
            truncated=torch.from_numpy(place.truncated),
            mask=torch.from_numpy(place.mask),
        )

    def _place(self, first_rows: np.ndarray, last_rows: np.ndarray) -> None:
        self.first_rows, self.last_rows = first_rows, last_rows
        lengths = self.episodes["length"].astype(np.int64)
        self._starts = np.cumsum(lengths) - lengths


class RecordedEpisodes(Episodes):
    """Episodes in a file of our format. Contiguous data is memory-mapped: only drawn rows are read.

    Compressed files, which are for shipping, are unpacked into memory; with `stream` they are read
    block by block, for passing through them once.
    """

    def __init__(self, path: Path, stream: bool = False) -> None:
        self.path, self._stream = path, stream
        with open_file(path) as file:
            attributes = root_attributes(path)
            self.metadata = metadata_of(attributes, file, path)
            self.version = int(attributes["version"])
            self.attributes = {name: str(attributes[name]) for name in METADATA}
            self.sha256 = str(attributes.get("sha256", ""))
            self.episodes = {n: np.asarray(find(file, f"episodes/{n}", path)[()]) for n in EPISODES}
            self.mapped = MappedFile(path)
            self._stored = self._stored_rows(file)
        self._check_shapes()
        self.steps = self._fields()
        ends = np.cumsum(self.episodes["length"].astype(np.int64) + 1)
        self._place(np.concatenate([[0], ends[:-1]]), ends - 1)

    def digest(self) -> str:
        """sha256 of the content as it is now; `sha256` is what the writer found."""
        if self.version == 1:
            return self._digest_of_version_1()
        digest = Digest(self.attributes)
        for name, rows in self._stored.items():
            for piece in self._pieces(rows):
                digest.update(f"steps/{name}", piece)
        for name, values in self.episodes.items():
            digest.update(f"episodes/{name}", values)
        return digest.hexdigest()

    def _digest_of_version_1(self) -> str:
        whole = hashlib.sha256()
        for name in STEPS:
            for piece in self._pieces(self.steps[name]):
                whole.update(np.ascontiguousarray(piece).tobytes())
        for name in EPISODES:
            whole.update(self.episodes[name].tobytes())
        return whole.hexdigest()

    def _pieces(self, rows: Rows) -> Iterator[np.ndarray]:
        row = math.prod(rows.shape[1:]) * rows.dtype.itemsize
        size = max(1, BLOCK // max(row, 1))
        for start, stop in spans(f"reading {self.path.name}", len(rows), size, " rows"):
            yield rows[start:stop]
            if self.mapped is not None:
                self.mapped.touched(1, size * row)

    def _stored_rows(self, file: h5py.File) -> dict[str, Rows]:
        """The fields that the file has, as it has them."""
        shapes = step_shapes(self.info)
        names = [n for n, (shape, _) in shapes.items() if 0 not in shape]
        if self.version > 1:
            names = list(stored_shapes(self.info, half=False))
        found = {name: find(file, f"steps/{name}", self.path) for name in names}
        return {
            name: rows_of(values, self.path, self.mapped, self._stream)
            for name, values in found.items()
        }

    def _fields(self) -> dict[str, Rows]:
        """Every field of STEPS; what has no elements is not in the file."""
        fields = dict(self._stored)
        n_rows = len(fields["rewards"])
        shapes = step_shapes(self.info)
        if BITS in fields:
            fields["avail_actions"] = PackedRows(fields.pop(BITS), shapes["avail_actions"][0])
        for name, (shape, dtype) in shapes.items():
            if name not in fields:
                fields[name] = np.zeros((n_rows, *shape), dtype)
        return {name: fields[name] for name in STEPS}

    def _check_shapes(self) -> None:
        lengths = self.episodes["length"]
        for name, values in self.episodes.items():
            if values.ndim != 1 or values.shape != lengths.shape:
                raise DataError(
                    f"{self.path}: episodes/{name} has the shape {values.shape}, "
                    f"episodes/length {lengths.shape}"
                )
            if values.dtype != EPISODES[name]:
                raise DataError(
                    f"{self.path}: episodes/{name} is {values.dtype}, "
                    f"the format needs {np.dtype(EPISODES[name])}"
                )
        if len(lengths) == 0:
            raise DataError(f"{self.path} holds no episodes")
        if lengths.min() < 1:
            raise DataError(
                f"{self.path}: episode {int(lengths.argmin())} has length {lengths.min()}; "
                "every episode needs at least one transition"
            )
        self._check_steps(int(lengths.sum(dtype=np.int64)) + len(lengths))

    def _check_steps(self, n_rows: int) -> None:
        shapes: dict[str, tuple[tuple[int, ...], Any]] = step_shapes(self.info)
        if self.version > 1:
            half = "obs" in self._stored and self._stored["obs"].dtype == np.float16
            shapes = stored_shapes(self.info, half)
        for name, values in self._stored.items():
            shape, dtype = shapes[name]
            if values.dtype != dtype:
                raise DataError(
                    f"{self.path}: steps/{name} is {values.dtype}, "
                    f"the format needs {np.dtype(dtype)}"
                )
            if values.shape != (n_rows, *shape):
                raise DataError(
                    f"{self.path}: steps/{name} has the shape {values.shape}, its episodes and "
                    f"env_info ({self.info.numbers()}) need {(n_rows, *shape)}"
                )
