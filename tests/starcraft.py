"""A machine with the stand-ins for SMAC and StarCraft II, and what must not be left on it."""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from envs import sc2 as sc2_module
from envs.sc2 import SC2Env
from utils.config import Settings, load_settings
from utils.paths import ROOT

STAND_IN = ROOT / "tests" / "stand_in"
GAME = STAND_IN / "game.py"
Fault = Callable[..., None]


def install(sc2_path: Path, build: int = 75689, maps: tuple[str, ...] = ("3m", "2s3z")) -> None:
    """The game's folder, as Blizzard's archive and SMAC's maps make it."""
    binary = sc2_path / "Versions" / f"Base{build}" / "SC2_x64"
    binary.parent.mkdir(parents=True)
    words = shlex.join([sys.executable, str(GAME)])  # no shebang, which takes no space in a path
    binary.write_text(f'#!/bin/sh\nexec {words} "$0"\n')
    binary.chmod(0o755)
    folder = sc2_path / "Maps" / "SMAC_Maps"
    folder.mkdir(parents=True, exist_ok=True)
    for name in maps:
        (folder / f"{name}.SC2Map").touch()


@pytest.fixture
def sc2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """SC2PATH of a game that works; no process of it may live on behind the test."""
    with machine(tmp_path, monkeypatch) as path:
        yield path


@contextlib.contextmanager
def machine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A game that works -> its SC2PATH; for what is made once for several tests."""
    path = folder / "StarCraftII"
    install(path)
    monkeypatch.setenv("SC2PATH", str(path))
    monkeypatch.setenv("PYTHONPATH", str(STAND_IN))  # of what the tests start
    monkeypatch.syspath_prepend(str(STAND_IN))
    monkeypatch.setattr(sc2_module, "_info", functools.cache(sc2_module._info.__wrapped__))
    try:
        yield path
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] in ("smac", "pysc2")]:
            del sys.modules[name]
        gone(path)


@pytest.fixture
def fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fault:
    """fault("die", 7): one game dies at its 7th step; with `always` every game does."""

    def set_fault(kind: str, at: int, always: bool = False) -> None:
        monkeypatch.setenv("STAND_IN_FAULT", f"{kind}:{at}")
        monkeypatch.delenv("STAND_IN_TOKEN", raising=False)
        if not always:
            token = tmp_path / "token"
            token.touch()
            monkeypatch.setenv("STAND_IN_TOKEN", str(token))

    return set_fault


def games(sc2_path: Path) -> list[int]:
    """The processes of the games that were started from there."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
                dead = (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
            except OSError:
                continue
            if os.fsencode(str(sc2_path)) in words and b"SC2_x64" in words and not dead:
                found.append(int(entry.name))
    return found


def gone(sc2_path: Path, seconds: float = 15) -> None:
    """Wait until no game is left."""
    deadline = time.monotonic() + seconds
    while games(sc2_path):
        assert time.monotonic() < deadline, f"games left: {games(sc2_path)}"
        time.sleep(0.05)


def settings(**env_args: Any) -> Settings:
    """Of QMIX on 3m."""
    return load_settings("qmix", "sc2", {"env_args": {"map_name": "3m"} | env_args})


@contextlib.contextmanager
def battles(slots: int, **env_args: Any) -> Iterator[SC2Env]:
    """Some games of it, closed behind."""
    env = SC2Env(settings(**env_args).run.env_args, slots)
    try:
        yield env
    finally:
        env.close()


def command(*words: str) -> list[str]:
    """The program as a user starts it."""
    return [sys.executable, str(ROOT / "src" / "main.py"), *words]
