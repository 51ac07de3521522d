"""EpisodeWriter: appends episodes to a file that is whole or says that it is not."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import h5py
import numpy as np

from components.episode_batch import EpisodeBatch
from data.disk import require_space
from data.schema import BITS, EPISODES, FORMAT, HALF, VERSION, Digest, Metadata, stored_shapes
from utils.errors import DataError
from utils.logging import spans

COPY, APPEND = 32 * 2**20, 2**20
"""Bytes of a field that are packed at once, and in a chunk of the file that is being collected."""
MOST_ROWS, APPEND_ROWS = 16_384, 256
HALF_MAX = float(np.finfo(np.float16).max)


class Storage(NamedTuple):
    """How a file is packed: compressed for shipping; obs and state as float16."""

    compress: bool = False
    half: bool = False


EXACT = Storage()


class EpisodeWriter:
    """Collects episodes in `<path>.incomplete`; `close` packs them into `path`.

    The packed file is contiguous, to be memory-mapped, or gzip-compressed for shipping. Memory
    does not grow with the number of episodes. A file of that name is replaced at `close` only.
    With `storage.half` obs and state are float16; DataError where that cannot hold them. What was
    collected until an error is left only with `keep`: a recording's, which says that it is
    incomplete.
    """

    def __init__(
        self,
        path: Path,
        metadata: Metadata,
        storage: Storage = EXACT,
        keep: bool = True,
    ) -> None:
        self.path, self._metadata, self._storage = path, metadata, storage
        self._keep = keep
        path.parent.mkdir(parents=True, exist_ok=True)
        self._work_path = path.with_name(path.name + ".incomplete")
        self._shapes = stored_shapes(metadata.info, storage.half)
        with self._one_line():
            self._file = h5py.File(self._work_path, "w")
        self._stamp(self._file, complete=False)
        for name, (shape, dtype) in self._shapes.items():
            self._file.create_dataset(
                f"steps/{name}", (0, *shape), dtype, maxshape=(None, *shape),
                chunks=(_rows_of(APPEND, APPEND_ROWS, shape, dtype), *shape),
            )  # fmt: skip
        for name, dtype in EPISODES.items():
            self._file.create_dataset(f"episodes/{name}", (0,), dtype, maxshape=(None,))
        self._file.flush()

    def append(self, batch: EpisodeBatch, battle_won: np.ndarray, policy: int, seed: int) -> None:
        """Add the B episodes of one round of battles, played by `policies[policy]`."""
        slots = np.arange(batch.batch_size)
        ours = {"battle_won": battle_won, "policy": policy, "seed": seed, "slot": slots}
        self.append_with(batch, {k: np.broadcast_to(v, slots.shape) for k, v in ours.items()})

    def append_with(self, batch: EpisodeBatch, facts: dict[str, np.ndarray]) -> None:
        """Add B episodes; facts: battle_won, policy, seed and slot of each, arrays (B,)."""
        lengths = batch.lengths.numpy()
        rows = np.arange(batch.mask.shape[1] + 1) <= lengths[:, None]
        tensors = {k: v.numpy() for k, v in batch.tensors().items()}
        tensors["rewards"] = np.pad(tensors["rewards"] * tensors["mask"], ((0, 0), (0, 1)))
        self._check_half(tensors, rows)
        if BITS in self._shapes:
            flat = tensors["avail_actions"].reshape(*rows.shape, -1)
            tensors[BITS] = np.packbits(flat, axis=-1)
        columns = {f"steps/{name}": tensors[name][rows] for name in self._shapes}
        facts = facts | {
            "length": lengths,
            "return": batch.returns.numpy(),
            "terminated": (tensors["terminated"] & tensors["mask"]).any(1),
            "truncated": (tensors["truncated"] & tensors["mask"]).any(1),
        }
        columns |= {f"episodes/{name}": facts[name] for name in EPISODES}
        require_space(self._work_path, sum(values.nbytes for values in columns.values()))
        with self._one_line():
            for name, values in columns.items():
                _extend(self._file[name], values)
            self._file.flush()

    def close(self) -> None:
        """Pack what was collected and put it in its place."""
        packing = self.path.with_name(self.path.name + ".packing")
        try:
            with self._one_line():
                with h5py.File(packing, "w", libver="latest") as packed:
                    self._stamp(packed, complete=False)
                    packed.attrs["sha256"] = self._pack(packed)
                    packed.attrs["complete"] = True
                self._file.close()
                with packing.open("rb") as file:
                    os.fsync(file.fileno())
                packing.replace(self.path)
                self._work_path.unlink()
        finally:
            packing.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.close()
            else:
                with contextlib.suppress(OSError, RuntimeError):  # it may not fit on the disk
                    self._file.close()
        finally:
            if not self._keep:
                self._work_path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _one_line(self) -> Iterator[None]:
        """Whatever HDF5 says of a disk is a DataError."""
        try:
            yield
        except (OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{self.path} could not be written: {reason}") from error

    def _check_half(self, tensors: dict[str, np.ndarray], rows: np.ndarray) -> None:
        for name in HALF if self._storage.half else ():
            largest = float(np.abs(tensors[name][rows]).max(initial=0.0))
            if largest > HALF_MAX:
                raise DataError(
                    f"{self.path}: {name} has {largest:g}, float16 holds up to {HALF_MAX:g}; "
                    "leave out --float16"
                )

    def _stamp(self, file: h5py.File, complete: bool) -> None:
        attributes = {"format": FORMAT, "version": VERSION, "complete": complete}
        for name, value in (attributes | self._metadata.to_attributes()).items():
            file.attrs[name] = value

    def _pack(self, packed: h5py.File) -> str:
        """Copy everything piece by piece -> sha256 of the content, however it is compressed."""
        digest = Digest(self._metadata.to_attributes())
        for name in [f"steps/{n}" for n in self._shapes] + [f"episodes/{n}" for n in EPISODES]:
            source: Any = self._file[name]
            rows = _rows_of(COPY, MOST_ROWS, source.shape[1:], source.dtype)
            layout: dict[str, Any] = {}
            if self._storage.compress and len(source):
                layout = {"compression": "gzip", "compression_opts": 9, "shuffle": True,
                          "chunks": _feature_chunks(source.shape, rows)}  # fmt: skip
            target = packed.create_dataset(name, source.shape, source.dtype, **layout)
            for start, stop in spans(f"packing {self.path.name}", len(source), rows, " rows"):
                piece = source[start:stop]
                require_space(self.path, piece.nbytes)
                target[start:stop] = piece
                digest.update(name, piece)
        return digest.hexdigest()


def _rows_of(size: int, most: int, shape: tuple[int, ...], dtype: Any) -> int:
    """How many rows of a field are in `size` bytes: at least one, at most `most`."""
    row = math.prod(shape) * np.dtype(dtype).itemsize
    return max(1, min(most, size // row))


def _feature_chunks(shape: tuple[int, ...], rows: int) -> tuple[int, ...]:
    """One chunk for each feature over many rows: a feature changes little from row to row.

    This makes recorded SMAX episodes 40% smaller than chunks of whole rows, at the same gzip.
    """
    rows = min(rows, shape[0])
    return (rows, *shape[1:-1], 1) if len(shape) > 1 else (rows,)


def _extend(dataset: Any, values: np.ndarray) -> None:
    start = len(dataset)
    dataset.resize(start + len(values), axis=0)
    dataset[start:] = values
