"""The files of a flashbax vault: metadata.json and arrays in a TensorStore (extra `vault`).

Facts of flashbax 0.1.3: every array is zarr in an OCDBT store, named by its place in the tree with
a dot behind each part, of the shape (1, a very large number, ...); `vault_index` says how many
steps are valid. Chunks that hold only zeros are not stored.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from data.rows import BLOCK
from utils.errors import DataError, MissingExtraError

VERSION = 1.2
MAX_STEPS = int(10e12)
SUFFIX = ".vlt"
MANIFEST, METADATA_FILE, OWN = "manifest.ocdbt", "metadata.json", "icq_episodes"
"""OWN: the key of metadata.json under which this project keeps its own metadata."""

Change = Callable[[np.ndarray], np.ndarray]


def import_tensorstore() -> Any:
    """The module; MissingExtraError without it. JAX is not needed."""
    try:
        import tensorstore
    except ImportError as error:
        raise MissingExtraError("OG-MARL's vaults", "vault") from error
    return tensorstore


def spec_of(folder: Path, name: str) -> dict[str, Any]:
    """How TensorStore finds an array of the vault."""
    base = {"driver": "file", "path": f"{folder.resolve()}/"}
    return {"driver": "zarr", "kvstore": {"driver": "ocdbt", "base": base, "path": name}}


def read_json(folder: Path) -> dict[str, Any]:
    """metadata.json, checked as far as it is needed."""
    path = folder / METADATA_FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(
            f"{folder} is no vault: it has no {METADATA_FILE}; copy or download it again"
        ) from error
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} is damaged ({reason}); copy or download it again") from error
    version = found.get("version") if isinstance(found, dict) else None
    if not isinstance(version, int | float) or isinstance(version, bool):
        raise DataError(f"{path} names no version; a vault's does")
    if math.floor(version) not in (0, math.floor(VERSION)):
        raise DataError(
            f"{path}: the vault has version {version}, this program reads 0 and 1; update it"
        )
    return found


@contextmanager
def store_errors(folder: Path) -> Iterator[None]:
    """What TensorStore says of missing or damaged files becomes a DataError."""
    try:
        yield
    except (ValueError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split()).partition(" [")[0][:200]
        raise DataError(
            f"{folder} is damaged or incomplete ({reason}); copy or download it again"
        ) from error


class VaultFiles:
    """A vault that was opened: its metadata, how many steps it has, its arrays."""

    def __init__(self, folder: Path) -> None:
        """DataError where it is not one."""
        self.folder, self.metadata = folder, read_json(folder)
        self._tensorstore = import_tensorstore()
        if not (folder / MANIFEST).is_file():
            raise DataError(f"{folder} lacks {MANIFEST}; copy or download it again")
        index = self._open("vault_index")
        if index is None:
            raise DataError(f"{folder} lacks vault_index; copy or download it again")
        with store_errors(folder):
            self.steps = int(np.asarray(index.read().result()).reshape(-1)[0])
        if self.steps < 1:
            raise DataError(f"{folder} holds no step (vault_index {self.steps})")

    def array(self, field: str) -> StoreRows | None:
        """`observations` or `infos.state`, say: (steps, ...); None where it is missing."""
        keystr = "".join(f"['{part}']" for part in field.split("."))  # before version 1
        store = next((s for s in map(self._open, (f"{field}.", keystr)) if s is not None), None)
        if store is None:
            return None
        if store.rank < 2 or store.shape[0] != 1 or store.shape[1] < self.steps:
            raise DataError(
                f"{self.folder}: {field} has the shape {tuple(store.shape)}, needed is "
                f"(1, {self.steps} or more, ...)"
            )
        return StoreRows(store, self.folder, self.steps)

    def _open(self, name: str) -> Any:
        spec = spec_of(self.folder, name)
        with store_errors(self.folder):
            try:
                return self._tensorstore.open(spec, read=True).result()
            except ValueError as error:
                if "Metadata at" in str(error) and "does not exist" in str(error):
                    return None
                raise


class StoreRows:
    """An array of a vault, read block by block, the latest block kept: for reading in order.

    `changed` gives the same rows in another shape or type.
    """

    def __init__(self, store: Any, folder: Path, steps: int, change: Change | None = None) -> None:
        self._store, self._folder, self._change = store, folder, change
        row = tuple(store.shape[2:])
        sample = np.empty((0, *row), store.dtype.numpy_dtype)
        sample = sample if change is None else change(sample)
        self.shape, self.dtype = (steps, *sample.shape[1:]), sample.dtype
        self._items = block_rows(store)
        self._block, self._start = np.empty(0), -1

    def changed(self, change: Change) -> StoreRows:
        """change: (rows, ...) -> (rows, ...) of the same number of rows; any number, also 0."""
        before = self._change
        after = change if before is None else lambda values: change(before(values))
        return StoreRows(self._store, self._folder, len(self), after)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any, /) -> np.ndarray:
        if isinstance(index, slice):
            index = np.arange(*index.indices(len(self)))
        index = np.asarray(index)
        blocks = index // self._items
        rows = np.empty((*index.shape, *self.shape[1:]), self.dtype)
        for block in np.unique(blocks):
            here = blocks == block
            rows[here] = self._unpacked(int(block))[index[here] - block * self._items]
        return rows

    def in_memory(self) -> np.ndarray:
        """All of it."""
        whole = np.empty(self.shape, self.dtype)
        for start in range(0, len(self), self._items):
            whole[start : start + self._items] = self._unpacked(start // self._items)
        return whole

    def _unpacked(self, block: int) -> np.ndarray:
        if self._start != block:
            start = block * self._items
            stop = min(start + self._items, len(self))
            with store_errors(self._folder):
                piece = np.asarray(self._store[0, start:stop].read().result())
            self._block = piece if self._change is None else self._change(piece)
            self._start = block
        return self._block


def block_rows(store: Any) -> int:
    """Steps in whole chunks of at most BLOCK bytes, but at least in one chunk."""
    chunk = int(store.chunk_layout.read_chunk.shape[1])
    row = math.prod(store.shape[2:]) * store.dtype.numpy_dtype.itemsize
    return max(1, BLOCK // max(1, row * chunk)) * chunk
