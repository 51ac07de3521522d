"""Rows: a field of recorded episodes, a row for each observation, wherever it lies.

In a file that is stored in one piece rows are memory-mapped; chunked ones are unpacked into memory
or, for commands that pass through a file once, block by block.
"""

from __future__ import annotations

import math
import mmap
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np

from data.open import open_file

PAGE_RUN = 512 * 2**10  # bytes that the kernel may map around one that is touched (measured)
KEPT = 256 * 2**20  # bytes of a file that stay mapped
BLOCK = 32 * 2**20  # bytes of a field that are unpacked at once


def holds_numbers(dtype: np.dtype[Any]) -> bool:
    """Flags, or numbers of at most 64 bits: no text, no objects, no long doubles."""
    return dtype.kind in "biu" or (dtype.kind == "f" and dtype.itemsize <= 8)


class Rows(Protocol):
    """What is asked of a field: an array, or what reads like one."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> np.ndarray: ...


class MappedFile:
    """A file's bytes as arrays that are read only where they are touched.

    Touched pages count as the process's memory until `touched` gives them back; the system keeps
    them in its cache as long as it has room.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.size, self._touched = len(self._map), 0

    def array(self, dtype: np.dtype[Any], shape: tuple[int, ...], offset: int) -> np.ndarray:
        """Of the bytes from `offset`; ValueError where the file is shorter."""
        return np.frombuffer(self._map, dtype, math.prod(shape), offset).reshape(shape)

    def touched(self, runs: int, size: int) -> None:
        """Note `size` bytes read in `runs` places; after KEPT bytes all pages are given back."""
        self._touched += size + runs * PAGE_RUN
        if min(self._touched, self.size) > KEPT:
            self.give_back()
            self._touched = 0

    def give_back(self) -> None:
        """All pages, where the system can."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


class PackedRows:
    """Booleans (M, *row) that are stored as bits (M, bytes)."""

    dtype = np.dtype(np.bool_)

    def __init__(self, bits: Rows, row: tuple[int, ...]) -> None:
        self._bits, self._row = bits, row
        self.shape = (len(bits), *row)

    def __len__(self) -> int:
        return len(self._bits)

    def __getitem__(self, index: Any, /) -> np.ndarray:
        bits = self._bits[index]
        flags = np.unpackbits(bits, axis=-1, count=math.prod(self._row)).view(np.bool_)
        return flags.reshape(*bits.shape[:-1], *self._row)


class StoredRows:
    """An HDF5 data set read block by block, the latest block kept: for reading in order.

    With `row_axes` 2 its first two axes, episodes and time, are one axis of rows.
    """

    def __init__(self, dataset: h5py.Dataset, path: Path, row_axes: int = 1) -> None:
        self._path, self._name = path, str(dataset.name)
        self._steps = math.prod(dataset.shape[1:row_axes])
        self.dtype = dataset.dtype
        self.shape = (len(dataset) * self._steps, *dataset.shape[row_axes:])
        self._items = _block_items(dataset)
        self._block, self._start = np.empty(0), -1

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any, /) -> np.ndarray:
        if isinstance(index, slice):
            index = np.arange(*index.indices(len(self)))
        size = self._items * self._steps
        blocks = index // size
        rows = np.empty((*index.shape, *self.shape[1:]), self.dtype)
        for block in np.unique(blocks):
            here = blocks == block
            rows[here] = self._unpacked(int(block))[index[here] - block * size]
        return rows

    def _unpacked(self, block: int) -> np.ndarray:
        if self._start != block:
            start = block * self._items
            with open_file(self._path) as file:
                dataset: Any = file[self._name]
                piece = dataset[start : start + self._items]
            self._block, self._start = piece.reshape(-1, *self.shape[1:]), block
        return self._block


def _block_items(dataset: h5py.Dataset) -> int:
    """Whole chunks of at most BLOCK bytes, but at least one."""
    item = max(1, math.prod(dataset.shape[1:]) * dataset.dtype.itemsize)
    chunk = dataset.chunks[0] if dataset.chunks else 1
    return max(1, BLOCK // (item * chunk)) * chunk


def rows_of(
    dataset: Any, path: Path, mapped: MappedFile | None, stream: bool = False, row_axes: int = 1
) -> Rows:
    """The rows of an HDF5 data set of `path`: mapped where it is stored in one piece.

    Else unpacked, with `stream` block by block. `row_axes` as for StoredRows.
    """
    offset = dataset.id.get_offset()
    if mapped is not None and offset is not None and not dataset.external:
        rows = mapped.array(dataset.dtype, dataset.shape, offset)
    elif stream and dataset.shape[0]:
        return StoredRows(dataset, path, row_axes)
    else:
        rows = dataset[()]
    return rows.reshape(math.prod(rows.shape[:row_axes]), *rows.shape[row_axes:])
