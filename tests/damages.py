"""Ways to damage a file: a byte, its end, or something inside an HDF5 or JSON file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np


def change_byte(path: Path, rng: np.random.Generator) -> str:
    """Another value somewhere."""
    content = bytearray(path.read_bytes())
    if not content:
        return "nothing"
    at = int(rng.integers(len(content)))
    content[at] ^= int(rng.integers(1, 256))
    path.write_bytes(content)
    return f"byte {at} of {path.name}"


def cut(path: Path, rng: np.random.Generator) -> str:
    """Without its end."""
    size = int(rng.integers(path.stat().st_size + 1))
    with path.open("r+b") as file:
        file.truncate(size)
    return f"{path.name} cut to {size} bytes"


def change_key(path: Path, rng: np.random.Generator) -> str:
    """Something inside an HDF5 or JSON file; the file itself where it is neither."""
    if path.suffix == ".json":
        return _change_json(path, rng)
    if not h5py.is_hdf5(path):
        path.unlink()
        return f"{path.name} deleted"
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        attributes = list(file.attrs)
        at = int(rng.integers(len(names) + len(attributes)))
        if at >= len(names):
            return _change_attribute(file, attributes[at - len(names)], rng)
        return _change_member(file, names[at], rng)


def _change_member(file: Any, name: str, rng: np.random.Generator) -> str:
    ways: dict[str, Callable[[Any], Any]] = {
        "as float64": lambda v: np.asarray(v, dtype=np.float64),
        "as int8": lambda v: np.nan_to_num(np.asarray(v, dtype=np.float64)).astype(np.int8),
        "as text": lambda v: np.full(np.shape(v), b"x"),
        "without its last row": lambda v: v[:-1],
        "with a row more": lambda v: np.concatenate([v, v[-1:]]),
        "with an axis more": lambda v: v[..., None],
        "flat": lambda v: v.reshape(-1),
        "a single number": lambda v: np.float32(1),
        "empty": lambda v: v[:0],
        "upside down": lambda v: v[::-1],
        "NaN": lambda v: np.full(np.shape(v), np.nan, dtype=np.float32),
        "huge": lambda v: np.full(np.shape(v), 2**31 - 1, dtype=np.int64),
    }
    way = str(rng.choice(["deleted", "renamed", "a group", *ways]))
    if way == "renamed":
        file.move(name, f"{name}_")
        return f"{name} renamed"
    values = file[name][()] if isinstance(file[name], h5py.Dataset) else np.zeros(1)
    del file[name]
    if way == "a group":
        file.create_group(name)
    elif way != "deleted":
        file[name] = ways[way](values)
    return f"{name} {way}"


def _change_attribute(file: Any, name: str, rng: np.random.Generator) -> str:
    before = file.attrs[name]
    ways: list[Any] = [
        None,
        7,
        "",
        "{",
        "null",
        "[1]",
        '{"a": NaN}',
        np.zeros(3),
        b"\xff\xfe",
        1e300,
    ]
    if isinstance(before, str) and before:
        at = int(rng.integers(len(before)))
        ways += [before[:at] + chr(int(rng.integers(32, 127))) + before[at + 1 :]] * len(ways)
    value = ways[int(rng.integers(len(ways)))]
    del file.attrs[name]
    if value is not None:
        file.attrs[name] = value
    return f"attribute {name} = {value!r}"


def _change_json(path: Path, rng: np.random.Generator) -> str:
    values = json.loads(path.read_text())
    name = str(rng.choice(list(values)))
    ways = [None, 7, "", [1], {"a": 1}, "(1, 2)", 1e300]
    values[name] = ways[int(rng.integers(len(ways)))]
    if rng.random() < 0.2:
        del values[name]
    path.write_text(json.dumps(values))
    return f"{name} of {path.name} changed"


DAMAGES = (change_byte, cut, change_key)
SHARES = (0.7, 0.1, 0.2)
