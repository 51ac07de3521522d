"""Opening a file of our format, and its metadata; PyTorch is not needed for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from data.attributes import attributes_of
from data.schema import ATTRIBUTES, FORMAT, VERSION, Metadata
from utils.errors import DataError

READ_ERRORS = (OSError, RuntimeError, ValueError, TypeError, KeyError, AttributeError)
"""What h5py raises for a damaged file."""


@contextlib.contextmanager
def open_file(path: Path) -> Iterator[h5py.File]:
    """The HDF5 file; whatever is wrong with it, or met while it is read, is a DataError."""
    try:
        with _open(path) as file:
            yield file
    except MemoryError as error:
        raise DataError(
            f"{path} is compressed and does not fit into memory unpacked ({error}); make one "
            "that is read from the disk: python src/dataset.py merge FILE --out NEW.h5"
        ) from error
    except READ_ERRORS as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} is damaged ({reason}); record or copy it again") from error


def _open(path: Path) -> h5py.File:
    if path.is_dir():
        raise DataError(f"{path} is a folder without recorded episodes of a format known here")
    if not path.is_file():
        partial = path.with_name(path.name + ".incomplete")
        if partial.is_file():
            raise DataError(f"{path} is not there, only {partial}: its recording was interrupted")
        raise DataError(f"{path} is missing; make it with src/dataset.py, or name another file")
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


def root_attributes(path: Path) -> dict[str, Any]:
    """Those of our format that the file has."""
    return attributes_of(path, ("format", "sha256", *ATTRIBUTES))


def metadata_of(attributes: dict[str, Any], file: h5py.File, path: Path) -> Metadata:
    """Of `root_attributes`; DataError where the file is another's, newer or incomplete."""
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
        episodes = len(find(file, "episodes/length", path))
        raise DataError(
            f"{path} is incomplete: its recording was interrupted after {episodes} episodes; "
            "record it again"
        )
    try:
        return Metadata.from_attributes(attributes)
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path} has damaged metadata ({error}); record it again") from error


def find(file: h5py.File, name: str, path: Path) -> Any:
    """An HDF5 data set of the file; DataError where it is missing."""
    if name not in file:
        raise DataError(f"{path} lacks {name}; record or copy it again")
    return file[name]


def hdf5_root(name: str) -> tuple[frozenset[str], frozenset[str]]:
    """(members, attributes) at the root of an HDF5 file; none where it cannot be read as one."""
    try:
        with h5py.File(name, "r") as file:
            return frozenset(file), frozenset(file.attrs)
    except READ_ERRORS:
        return frozenset(), frozenset()
