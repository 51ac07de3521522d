"""Rows: mapped, packed or streamed, they read as the array that was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from data import rows as module
from data.rows import MappedFile, PackedRows, Rows, StoredRows, rows_of
from utils.errors import DataError

VALUES = np.random.default_rng(0).normal(size=(23, 4, 3)).astype(np.float32)
INDEX: list[Any] = [
    slice(None), slice(5, 9), slice(22, 40), np.array([3, 1, 1]), np.array([[0, 22], [7, 8]]),
]  # fmt: skip


@pytest.fixture(params=["contiguous", "chunked", "gzip"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """VALUES in an HDF5 file, stored in one of three ways."""
    layouts: dict[str, dict[str, Any]] = {
        "contiguous": {}, "chunked": {"chunks": (5, 4, 3)},
        "gzip": {"chunks": (7, 2, 1), "compression": "gzip"},
    }  # fmt: skip
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("values", data=VALUES, **layouts[request.param])
    return tmp_path / "a.h5"


def opened(path: Path, stream: bool, row_axes: int = 1) -> Rows:
    """The rows, the file closed again."""
    with h5py.File(path, "r") as file:
        return rows_of(file["values"], path, MappedFile(path), stream, row_axes)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("row_axes", [1, 2])
def test_they_read_what_was_written(
    path: Path, stream: bool, row_axes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", 1)  # a block is one chunk
    rows = opened(path, stream, row_axes)
    wanted = VALUES if row_axes == 1 else VALUES.reshape(-1, 3)
    assert (rows.shape, rows.dtype, len(rows)) == (wanted.shape, wanted.dtype, len(wanted))
    for index in INDEX:
        assert np.array_equal(rows[index], wanted[index])


def test_only_chunked_files_are_streamed_and_one_block_is_kept(path: Path) -> None:
    rows = opened(path, stream=True)
    with h5py.File(path, "r") as file:
        contiguous = file["values"].chunks is None  # pyright: ignore[reportAttributeAccessIssue]
    assert isinstance(rows, np.ndarray) == contiguous
    if not contiguous:
        assert isinstance(rows, StoredRows)


def test_a_damaged_block_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        made = file.create_dataset("values", data=VALUES, chunks=(5, 4, 3), compression="gzip")
        at = made.id.get_chunk_info(2).byte_offset
    rows = opened(path, stream=True)
    with path.open("r+b") as raw:
        raw.seek(at + 3)
        raw.write(b"\0\0\0\0")
    with pytest.raises(DataError, match=r"a\.h5 is damaged \(.*\); record or copy it again"):
        rows[np.arange(len(rows))]


def test_bits_are_booleans_again() -> None:
    flags = np.random.default_rng(1).random((50, 3, 7)) < 0.5
    bits = np.packbits(flags.reshape(50, -1), axis=-1)
    rows = PackedRows(bits, (3, 7))
    assert bits.shape == (50, 3)
    assert (rows.shape, rows.dtype, len(rows)) == (flags.shape, flags.dtype, 50)
    for index in (slice(4, 9), np.array([[1, 0], [49, 7]])):
        assert np.array_equal(rows[index], flags[index])


def resident(path: Path) -> int:
    """Bytes of a file that this process has mapped and in memory (Linux)."""
    size, inside = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first = line.split()[0]
        if "-" in first and not first.endswith(":"):
            inside = line.endswith(str(path))
        elif inside and first == "Rss:":
            size += int(line.split()[1]) * 1024
    return size


@pytest.mark.skipif(not Path("/proc/self/smaps").is_file(), reason="needs Linux's /proc")
def test_touched_pages_are_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, size = tmp_path / "a.bin", 8 * 2**20
    path.write_bytes(np.arange(size // 8).tobytes())
    monkeypatch.setattr(module, "KEPT", 2**20)
    mapped = MappedFile(path)
    values = mapped.array(np.dtype(np.int64), (size // 8,), 0)
    total = int(values.sum())
    assert resident(path) >= size // 2, "the test's own ground"
    mapped.touched(1, size)
    assert resident(path) == 0
    assert int(values.sum()) == total, "they are read again where they are needed"


def test_a_small_file_stays_mapped(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(4096))
    mapped = MappedFile(path)
    values = mapped.array(np.dtype(np.uint8), (4096,), 0)
    for _ in range(10_000):
        mapped.touched(5, 2**20)
    assert values.sum() == 0


def test_a_file_that_is_too_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(100))
    with pytest.raises(ValueError, match="buffer"):
        MappedFile(path).array(np.dtype(np.float32), (26,), 0)
