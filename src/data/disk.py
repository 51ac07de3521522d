"""Room on the disk, asked for before HDF5 writes: a write that fails inside it can crash Python."""

from __future__ import annotations

import shutil
from pathlib import Path

from utils.errors import DataError

MARGIN = 16 * 2**20  # bytes that are left free: HDF5 keeps some back and writes them at the end


def require_space(path: Path, n_bytes: int) -> None:
    """DataError where `n_bytes` more do not fit beside `path`, whose folder exists."""
    free = shutil.disk_usage(path.parent).free
    if free < n_bytes + MARGIN:
        raise DataError(
            f"{path} does not fit: {n_bytes / 2**20:.1f} MiB are to be written, "
            f"{free / 2**20:.1f} MiB are free there; make room, or choose another folder"
        )
