"""Runs in processes that can be killed, and what a killed and resumed one must leave."""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import main


def forked(
    argv: list[str], program: Callable[[list[str]], int] = main.main, errors: Path | None = None
) -> int:
    """Start a program on those words -> its process; nothing has to be imported again.

    errors: the file for its stderr.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of JAX's threads, which it has no use for
        child = os.fork()
    if child:
        return child
    code = 1
    try:
        with open(os.devnull, "w") as nowhere, open(errors or os.devnull, "w") as shown:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(shown.fileno(), 2)
            sys.stdout, sys.stderr = nowhere, shown
            code = program(argv)
    finally:
        os._exit(code)


def exit_code(child: int, seconds: float = 120) -> int:
    """Of a forked process, once it has ended; -9 if it was killed, as it is when time is up."""
    deadline = time.monotonic() + seconds
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.01)
    return os.waitstatus_to_exitcode(ended[1])


def assert_resuming_is_exact(words_of: Callable[..., list[str]], folder: Path, t_max: int) -> None:
    """words_of(results folder, key=value, ...): the words of a run of `t_max`."""
    assert main.main(words_of(folder / "whole")) == 0
    killed = folder / "killed"
    child = forked(words_of(killed))
    deadline = time.monotonic() + 120
    while not list(killed.glob("models/*/[0-9]*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    assert exit_code(child) == -signal.SIGKILL
    (run,) = killed.glob("models/*")
    assert max(int(p.name) for p in run.glob("[0-9]*")) < t_max, "it was killed too late"
    assert main.main(words_of(folder / "resumed", f"checkpoint_path={run}")) == 0
    whole, resumed = (next((folder / f).glob("metrics/*.csv")) for f in ("whole", "resumed"))
    assert resumed.read_bytes() == whole.read_bytes()
