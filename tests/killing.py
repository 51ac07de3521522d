"""A run that is killed and resumed must leave what one that never stopped leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import main
from utils.paths import ROOT


def assert_resuming_is_exact(words_of: Callable[..., list[str]], folder: Path, t_max: int) -> None:
    """words_of(results folder, key=value, ...): the words of a run of `t_max`."""
    assert main.main(words_of(folder / "whole")) == 0
    killed = folder / "killed"
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "src/main.py"), *words_of(killed)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list(killed.glob("models/*/[0-9]*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (run,) = killed.glob("models/*")
    assert max(int(p.name) for p in run.glob("[0-9]*")) < t_max, "it was killed too late"
    assert main.main(words_of(folder / "resumed", f"checkpoint_path={run}")) == 0
    whole, resumed = (next((folder / f).glob("metrics/*.csv")) for f in ("whole", "resumed"))
    assert resumed.read_bytes() == whole.read_bytes()
