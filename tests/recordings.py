"""Small recordings made by the data command, and what it answers to a mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

import dataset
from data.read import RecordedEpisodes

Capture = pytest.CaptureFixture[str]


def record_poor(runs: list[str], out: Path, *words: str) -> RecordedEpisodes:
    """The level `poor`, eight policies, recorded and opened."""
    argv = ["record", *runs, "--levels=poor", "--episodes=80", f"--out={out}", *words]
    assert dataset.main(argv) == 0
    return RecordedEpisodes(out / "poor.h5")


def record_random(out: Path, *words: str) -> RecordedEpisodes:
    """Random play on two_step, opened."""
    argv = ["record", "--env-config=two_step", f"--out={out}", *words]
    assert dataset.main(argv) == 0
    return RecordedEpisodes(out / "random.h5")


def refuse(capsys: Capture, *argv: str) -> tuple[int, str]:
    """Exit code and the one line on stderr of a command that a user got wrong."""
    capsys.readouterr()
    code = dataset.main(list(argv))
    out, error = capsys.readouterr()
    assert out == ""
    assert error.endswith("\n")
    assert error.count("\n") == 1
    return code, error[:-1]
