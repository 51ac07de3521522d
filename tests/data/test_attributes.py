"""Attributes are read where the heaps of text are sound; broken ones do not hang libhdf5."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from planting import write_sound
from programs import Programs
from recordings import Capture

import dataset
from data.attributes import HEAD, OBJECT, HeapCheckedFile, attributes_of
from data.open import open_file
from data.read import RecordedEpisodes
from utils.errors import DataError

SECONDS = 60  # reading one takes a few, a hang for ever
HEAP = b"GCOL"


def objects(content: bytes) -> Iterator[tuple[int, int, int]]:
    """(place, number, length) of every object in the first heap; the last one is the free space."""
    place, number = content.index(HEAP) + HEAD.size, 1
    while number:
        number, length = OBJECT.unpack_from(content, place)
        yield place, number, length
        place += OBJECT.size + -(-length // 8) * 8


def refused(programs: Programs, path: Path) -> str:
    """The line that `check` says, in a process that may be killed."""
    program = programs.start("dataset", ["check", str(path)])
    code = program.wait(seconds=SECONDS)
    assert (code, program.err.count("\n")) == (2, 1), program.err
    return program.err


def write_texts(path: Path) -> dict[str, str]:
    """A file with text in more than one heap."""
    texts = {f"text {i}": "x" * i * i for i in range(90)}
    with h5py.File(path, "w") as file:
        file.attrs.update(texts)
        file.create_group("inner").attrs["text"] = "y"
    assert path.read_bytes().count(HEAP) > 1
    return texts


def test_every_text_of_a_sound_file_is_read(tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "a.h5")
    assert attributes_of(tmp_path / "a.h5", [*texts, "no text"]) == texts
    assert attributes_of(tmp_path / "a.h5", ["text"], "inner") == {"text": "y"}
    assert attributes_of(tmp_path / "a.h5", ["text"], "outer") == {}


def test_a_disk_that_gives_little_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = write_texts(tmp_path / "a.h5")

    class Slow(io.FileIO):
        def readinto(self, buffer: Any, /) -> int | None:
            return super().readinto(memoryview(buffer)[:100])

    class Little(HeapCheckedFile, Slow): ...

    monkeypatch.setattr("data.attributes.HeapCheckedFile", Little)
    assert attributes_of(tmp_path / "a.h5", texts) == texts


@pytest.mark.parametrize("length", [0, 8, 2**63, 2**64 - 16])
def test_a_free_space_that_does_not_end_a_heap(
    programs: Programs, tmp_path: Path, length: int
) -> None:
    path = write_sound(tmp_path / "a.h5")
    content = bytearray(path.read_bytes())
    *_, (place, number, _) = objects(bytes(content))
    assert number == 0
    OBJECT.pack_into(content, place, 0, length)
    path.write_bytes(content)
    told = refused(programs, path)
    assert f"{path} is damaged (a heap of text is broken at byte {place})" in told


def test_an_object_longer_than_its_heap(programs: Programs, tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.h5")
    content = bytearray(path.read_bytes())
    place, number, _ = next(objects(bytes(content)))
    OBJECT.pack_into(content, place, number, 2**64 - 24)
    path.write_bytes(content)
    assert f"a heap of text is broken at byte {place}" in refused(programs, path)


def test_a_heap_longer_than_its_file(programs: Programs, tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.h5")
    content = bytearray(path.read_bytes())
    place = content.index(HEAP)
    HEAD.pack_into(content, place, HEAP, 1, b"\0\0\0", 2**40)
    path.write_bytes(content)
    assert f"a heap of text at byte {place} is longer than the file" in refused(programs, path)


def test_a_heap_where_no_file_reaches(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.attrs["text"] = "x"
    content = path.read_bytes()
    text = struct.Struct("<IQI")  # length, place of the heap, number in it
    pointer = text.pack(1, content.index(HEAP), 1)
    assert content.count(pointer) == 1
    path.write_bytes(content.replace(pointer, text.pack(1, 2**63 + 8, 1)))
    with pytest.raises(DataError, match="is damaged"), open_file(path):
        attributes_of(path, ["text"])


@pytest.mark.parametrize("how", ["virtual", "linked"])
def test_steps_that_lie_in_another_file(tmp_path: Path, capsys: Capture, how: str) -> None:
    whole = write_sound(tmp_path / "whole.h5")
    there = tmp_path / "there.h5"
    there.write_bytes(whole.read_bytes())
    with h5py.File(whole, "r+") as file:
        steps: Any = file["steps"]
        for name in list(steps):
            layout = h5py.VirtualLayout(steps[name].shape, steps[name].dtype)
            layout[:] = h5py.VirtualSource(str(there), f"steps/{name}", steps[name].shape)
            del steps[name]
            if how == "virtual":
                steps.create_virtual_dataset(name, layout)
            else:
                steps[name] = h5py.ExternalLink("there.h5", f"steps/{name}")
    capsys.readouterr()
    assert dataset.main(["check", str(whole)]) == 0
    first = np.arange(5)
    ours, theirs = RecordedEpisodes(whole).read(first), RecordedEpisodes(there).read(first)
    for name, values in ours.tensors().items():
        assert values.equal(theirs.tensors()[name]), name
    there.unlink()
    capsys.readouterr()
    assert dataset.main(["check", str(whole)]) != 0
    assert str(whole) in "".join(capsys.readouterr())
