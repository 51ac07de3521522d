"""Heaps of text in HDF5 files: sound ones are read, broken ones refused before libhdf5 hangs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import pytest
from planting import write_sound

from data.heaps import HEAD, OBJECT, SIGNATURE, Watched
from utils.config import ROOT

SECONDS = 60  # reading one takes a few, a hang for ever


def objects(content: bytes) -> Iterator[tuple[int, int, int]]:
    """(place, number, length) of every object in the first heap; the last one is the free space."""
    place, number = content.index(SIGNATURE) + HEAD, 1
    while number:
        number, length = OBJECT.unpack_from(content, place)
        yield place, number, length
        place += OBJECT.size + -(-length // 8) * 8


def refused(path: Path) -> str:
    """What `check` says, in a process that may be killed."""
    command = [sys.executable, str(ROOT / "src/dataset.py"), "check", str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert ended.returncode != 0
    return ended.stderr or ended.stdout


def test_every_text_of_a_sound_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "texts.h5"
    texts = {f"text {i}": "x" * i * i for i in range(90)}  # in more than one heap
    with h5py.File(path, "w") as file:
        file.attrs.update(texts)
    with Watched(path) as raw, h5py.File(raw, "r") as file:
        assert dict(file.attrs) == texts
    assert path.read_bytes().count(SIGNATURE) > 1


@pytest.mark.parametrize("length", [0, 8, 2**63, 2**64 - 16])
def test_a_free_space_that_does_not_end_a_heap(tmp_path: Path, length: int) -> None:
    path = write_sound(tmp_path / "a.h5")
    content = bytearray(path.read_bytes())
    *_, (place, number, _) = objects(bytes(content))
    assert number == 0
    OBJECT.pack_into(content, place, 0, length)
    path.write_bytes(content)
    told = refused(path)
    assert f"a heap of text is broken at byte {place}" in told
    assert told.count("\n") == 1


def test_an_object_longer_than_its_heap(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.h5")
    content = bytearray(path.read_bytes())
    place, number, _ = next(objects(bytes(content)))
    OBJECT.pack_into(content, place, number, 2**64 - 24)
    path.write_bytes(content)
    assert f"a heap of text is broken at byte {place}" in refused(path)
