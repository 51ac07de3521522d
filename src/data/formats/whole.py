"""Writing a file or folder whole or not at all, also where the disk is full."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py

from utils.errors import DataError


@contextlib.contextmanager
def whole_or_nothing(target: str | Path, replace: bool = False) -> Iterator[Path]:
    """A path to write to, file or folder; at the end it gets the name `target`.

    With `replace` a file of that name is replaced, else it is refused. DataError where something
    cannot be written, on a full disk say; then, and after any other error, nothing is left.
    """
    path = Path(target)
    work = path.with_name(path.name + ".incomplete")
    made: list[Path] = []
    try:
        _check_free(path, work, replace)
        made = _make_folder(path.parent)
        try:
            yield work
            _to_disk(work)
            work.replace(path)
        except BaseException:
            _remove(work)
            raise
    except BaseException as error:
        for folder in made:
            with contextlib.suppress(OSError):  # somebody else put something in it
                folder.rmdir()
        if isinstance(error, OSError | RuntimeError):
            raise not_written(target, error) from error
        raise


def not_written(target: str | Path, error: Exception) -> DataError:
    """What a user is told of an error while `target` was written."""
    return DataError(f"{target} could not be written: {' '.join(str(error).split())}")


@contextlib.contextmanager
def new_hdf5(path: Path) -> Iterator[tuple[h5py.File, Callable[[], None]]]:
    """(a new HDF5 file, what raises OSError if a byte of it could not be written).

    HDF5 cannot close a file that it fails to write, and crashes later. So it is told that all went
    well, and the error is raised when asked for, and at the end.
    """
    with _Sink(path) as sink:
        with h5py.File(sink, "w") as file:
            yield file, sink.check
        sink.check()


class _Sink(io.FileIO):
    """A file that keeps its first error until it is asked."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self._error: OSError | None = None

    def check(self) -> None:
        if self._error is not None:
            raise self._error

    def write(self, data: Any, /) -> int:
        left = memoryview(data).cast("B")
        size = len(left)
        try:
            while left and self._error is None:
                left = left[super().write(left) :]
        except OSError as error:
            self._error = error
        return size

    def truncate(self, size: int | None = None, /) -> int:
        if self._error is None:
            try:
                return super().truncate(size)
            except OSError as error:
                self._error = error
        return size or 0


def _check_free(path: Path, work: Path, replace: bool) -> None:
    if path.exists() and not replace:
        raise DataError(f"{path} is there already; choose another name or delete it")
    if work.exists():
        raise DataError(
            f"{work} is there already, from a try that broke off or that still runs; delete it "
            "or choose another name"
        )


def _make_folder(folder: Path) -> list[Path]:
    """Make it and those above it -> the new ones, the deepest first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _to_disk(work: Path) -> None:
    for file in [work, *work.rglob("*")] if work.is_dir() else [work]:
        if file.is_file():
            with file.open("rb") as written:
                os.fsync(written.fileno())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
