"""Attributes of HDF5 files, read once the heaps that keep their text have been looked at.

libhdf5 goes round for ever in a heap that has an object of no size, which one damaged byte makes.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py

HEAD = struct.Struct("<4sB3sQ")  # signature, version, nothing, size with this head
SIGNATURE = (b"GCOL", 1, b"\0\0\0")
OBJECT = struct.Struct("<H6xQ")  # number, size


def attributes_of(path: Path, names: Iterable[str], group: str = "/") -> dict[str, Any]:
    """Those of `names` that a group of the file itself has; none where it has no such group.

    OSError and others of h5py where they are damaged. Nothing else may be read this way: h5py
    would take this file for every other one that it links to.
    """
    with HeapCheckedFile(path) as raw, h5py.File(raw, "r") as file:
        if group != "/" and not isinstance(file.get(group, getlink=True), h5py.HardLink):
            return {}
        found = file[group]
        if not isinstance(found, h5py.Group):
            return {}
        return {name: found.attrs[name] for name in names if name in found.attrs}


class HeapCheckedFile(io.FileIO):
    """A file for h5py to read; OSError where a heap in it does not end."""

    def readinto(self, buffer: Any, /) -> int:
        """As much as there is: h5py does not ask again."""
        start, view = self.tell(), memoryview(buffer).cast("B")
        size = 0
        while size < len(view) and (more := super().readinto(view[size:])):
            size += more
        if len(view) >= HEAD.size and HEAD.unpack_from(view)[:3] == SIGNATURE:
            self._check(start, HEAD.unpack_from(view)[3])
        return size

    def _check(self, start: int, size: int) -> None:
        """Walk over the heap at `start` as libhdf5 does; object 0 is the free space."""
        at, end = start + HEAD.size, start + size
        if end > os.fstat(self.fileno()).st_size:
            raise OSError(f"a heap of text at byte {start} is longer than the file")
        while at + OBJECT.size <= end:
            number, length = OBJECT.unpack(os.pread(self.fileno(), OBJECT.size, at))
            taken = OBJECT.size + -(-length // 8) * 8 if number else length
            if not OBJECT.size <= taken <= end - at:
                raise OSError(f"a heap of text is broken at byte {at}")
            at += taken
