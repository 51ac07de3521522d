"""Recording D4RL's levels lets go of the environment, however it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

import dataset
from data import record_sb3
from data.record import Recorder
from utils.errors import DataError


def test_a_failing_recording_closes_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gymnasium")
    closed: list[Recorder] = []

    def fail(*_: object) -> None:
        raise DataError("no")

    monkeypatch.setattr(record_sb3, "_train", lambda *_: tmp_path)
    monkeypatch.setattr(record_sb3, "_measured", fail)
    monkeypatch.setattr(Recorder, "close", lambda recorder: closed.append(recorder))
    assert dataset.main(["record", "--env-config=pendulum", "--sb3=SAC", f"--out={tmp_path}"]) == 2
    assert len(closed) == 1
