"""A run that is killed and resumed must leave what one that never stopped leaves."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

from programs import Programs

import main


def assert_resuming_is_exact(
    programs: Programs, words_of: Callable[..., list[str]], folder: Path, t_max: int
) -> None:
    """words_of(results folder, key=value, ...): the words of a run of `t_max`."""
    assert main.main(words_of(folder / "whole")) == 0
    killed = folder / "killed"
    program = programs.start("main", words_of(killed))
    code = program.wait(lambda: any(killed.glob("models/*/[0-9]*")))
    assert code == -signal.SIGKILL, f"it ended before it was killed: {program.err}"
    (run,) = killed.glob("models/*")
    assert max(int(p.name) for p in run.glob("[0-9]*")) < t_max, "it was killed too late"
    assert main.main(words_of(folder / "resumed", f"checkpoint_path={run}")) == 0
    whole, resumed = (next((folder / f).glob("metrics/*.csv")) for f in ("whole", "resumed"))
    assert resumed.read_bytes() == whole.read_bytes()
