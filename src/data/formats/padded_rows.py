"""Rows of padded arrays: shaped and typed as they are read, several files end to end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from data.rows import MappedFile, Rows


class ShapedRows:
    """Rows that are given another shape and type when they are read."""

    def __init__(self, rows: Rows, row: tuple[int, ...], dtype: Any) -> None:
        self._rows, self._row, self._axes = rows, row, len(rows.shape) - 1
        self.dtype, self.shape = np.dtype(dtype), (len(rows), *row)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any, /) -> np.ndarray:
        values = self._rows[index]
        leading = values.shape[: values.ndim - self._axes]
        return values.reshape(*leading, *self._row).astype(self.dtype, copy=False)


def shaped(rows: Rows, row: tuple[int, ...], dtype: Any) -> Rows:
    """The rows with the shape `row` and the type; an array that has the type is not copied."""
    if isinstance(rows, np.ndarray) and rows.dtype == dtype:
        return rows.reshape(len(rows), *row)
    if rows.shape[1:] == row and rows.dtype == dtype:
        return rows
    return ShapedRows(rows, row, dtype)


class Parts:
    """The fields of several files. With `stream` only those of the latest file are kept open."""

    def __init__(
        self, openers: Sequence[Callable[[], Mapping[str, Rows]]], counts: Sequence[int],
        stream: bool,
    ) -> None:  # fmt: skip
        """openers: each file's fields; counts: each file's rows."""
        self._openers, self._stream = openers, stream
        self.starts = np.concatenate([[0], np.cumsum(counts)])
        self._open: dict[int, Mapping[str, Rows]] = {}
        if not stream:
            self._open = {i: opener() for i, opener in enumerate(openers)}

    def fields(self, part: int) -> Mapping[str, Rows]:
        """Those of one file."""
        if part not in self._open:
            self._open = {part: self._openers[part]()}
        return self._open[part]

    def joined(self) -> dict[str, Rows]:
        """Every field of all files together."""
        if len(self._openers) == 1:
            return dict(self.fields(0))
        return {name: JoinedRows(self, name) for name in self.fields(0)}


class JoinedRows:
    """One field of several files, one file's rows behind another's."""

    def __init__(self, parts: Parts, name: str) -> None:
        first = parts.fields(0)[name]
        self._parts, self._name = parts, name
        self.dtype = first.dtype
        self.shape = (int(parts.starts[-1]), *first.shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any, /) -> np.ndarray:
        if isinstance(index, slice):
            index = np.arange(*index.indices(len(self)))
        index = np.asarray(index)
        part_of = np.searchsorted(self._parts.starts, index, side="right") - 1
        rows = np.empty((*index.shape, *self.shape[1:]), self.dtype)
        for part in np.unique(part_of):
            here = part_of == part
            fields = self._parts.fields(int(part))
            rows[here] = fields[self._name][index[here] - self._parts.starts[part]]
        return rows


class MappedFiles(MappedFile):
    """Several files: what is touched is counted together, and given back together."""

    def __init__(self, files: Sequence[MappedFile]) -> None:
        self._files, self._touched = files, 0
        self.size = sum(file.size for file in files)

    def give_back(self) -> None:
        """All pages of all files."""
        for file in self._files:
            file.give_back()
