"""`dataset.py make` in processes that can be killed, and at what moments."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from programs import Program, Programs
from recordings import Capture

import dataset
from utils.config import CONFIG_DIR

TINY = CONFIG_DIR / "recipes/two_step/tiny.yaml"
FILES = {"safe.h5", "best.h5", "mixed.h5"}

NO_COMMIT = {"GIT_DIR": os.devnull}
"""The commit is written into the files; it must not change between two runs of a test."""


def start_make(programs: Programs, argv: list[str]) -> Program:
    """In a process of its own."""
    return programs.start("dataset", argv, NO_COMMIT)


def bytes_in(folder: Path) -> dict[str, bytes]:
    """Every file's name and content."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


class Made(NamedTuple):
    """A data set that was made without a break, and how long it took."""

    out: Path
    results: Path
    seconds: float

    @property
    def work(self) -> Path:
        """The folder of its training."""
        return self.results / "recipes/tiny"


def words(recipe: Path, out: Path, results: Path, *more: str) -> list[str]:
    """The command line."""
    return ["make", str(recipe), f"--out={out}", f"--results={results}", *more]


def changed(folder: Path, **updates: Any) -> Path:
    """The tiny recipe with other keys; what is in `with` is added to it."""
    values = yaml.safe_load(TINY.read_text())
    for key, value in updates.items():
        key = key.rstrip("_")
        values[key] = values["with"] | value if key == "with" else value
    folder.mkdir(exist_ok=True)
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def moments(rng: random.Random, most: float) -> list[Callable[[], Callable[[], bool]]]:
    """Kills after random times."""

    def kill_after(seconds: float) -> Callable[[], Callable[[], bool]]:
        def begin() -> Callable[[], bool]:
            end = time.monotonic() + seconds
            return lambda: time.monotonic() >= end

        return begin

    return [kill_after(rng.uniform(0, most)) for _ in range(4)]


def artefacts(rng: random.Random, work: Path, out: Path) -> list[Callable[[], Callable[[], bool]]]:
    """Kills in every stage: as soon as there is something, or a moment later."""

    def kill_at(folder: Path, pattern: str, count: int = 1) -> Callable[[], Callable[[], bool]]:
        pause = rng.choice([0.0, 0.0, 0.02])

        def there() -> bool:
            found = len(list(folder.glob(pattern))) >= count
            time.sleep(pause * found)
            return found

        return lambda: there

    def kill_measured(count: int) -> Callable[[], Callable[[], bool]]:
        def there() -> bool:
            path = work / "measured.json"
            return path.exists() and path.read_text().count('"checkpoint"') >= count

        return lambda: there

    return [
        kill_at(work, "models/seed_1/[0-9]*", 6),
        kill_at(work, "models/seed_10/.*.partial"),
        kill_at(work, "models/seed_10/.*.partial/buffer.th"),
        kill_at(work, "models/seed_10/256"),
        kill_measured(1),
        kill_measured(9),
        kill_at(out, "safe.h5.incomplete"),
        kill_at(out, "safe.h5"),
        kill_at(out, "best.h5.incomplete"),
        kill_at(out, "best.h5"),
        kill_at(out, "mixed.h5.incomplete"),
    ]


def make(capsys: Capture, monkeypatch: pytest.MonkeyPatch, argv: list[str]) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of the command in this process."""
    for name, value in NO_COMMIT.items():
        monkeypatch.setenv(name, value)
    capsys.readouterr()
    code = dataset.main(argv)
    shown = capsys.readouterr()
    return code, shown.out, shown.err
