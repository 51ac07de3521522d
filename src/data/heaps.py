"""HDF5 files whose global heaps, where it keeps text, are looked at before libhdf5 does.

libhdf5 goes round for ever in a heap that has an object of no size, which one damaged byte makes.
"""

from __future__ import annotations

import io
import os
import struct
from typing import Any

SIGNATURE, HEAD = b"GCOL", 16
OBJECT = struct.Struct("<H6xQ")  # number, size


class Watched(io.FileIO):
    """A file to be read by h5py; OSError where a heap in it does not end."""

    def readinto(self, buffer: Any, /) -> int:
        start = self.tell()
        size = super().readinto(buffer) or 0
        if bytes(memoryview(buffer)[: len(SIGNATURE)]) == SIGNATURE:
            self._check(start)
        return size

    def _check(self, start: int) -> None:
        """Walk over the heap at `start` as libhdf5 does; object 0 is the free space."""
        (size,) = struct.unpack("<Q", os.pread(self.fileno(), 8, start + 8).ljust(8, b"\0"))
        heap = os.pread(self.fileno(), min(size, os.fstat(self.fileno()).st_size), start)
        at = HEAD
        while at + OBJECT.size <= len(heap):
            number, length = OBJECT.unpack_from(heap, at)
            taken = OBJECT.size + -(-length // 8) * 8 if number else length
            if not OBJECT.size <= taken <= len(heap) - at:
                raise OSError(f"a heap of text is broken at byte {start + at}")
            at += taken
