"""Real runs of the programs, in processes of their own that start at once and can be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from utils.paths import ROOT

SERVER = Path(__file__).with_name("program_server.py")


class Program:
    """One that was started."""

    def __init__(self, programs: Programs, pid: int, folder: Path) -> None:
        self._programs, self._pid, self._folder = programs, pid, folder
        self._code: int | None = None

    @property
    def out(self) -> str:
        """Its stdout so far."""
        return (self._folder / "out.txt").read_text()

    @property
    def err(self) -> str:
        """Its stderr so far."""
        return (self._folder / "err.txt").read_text()

    def poll(self) -> int | None:
        """Its exit code, -9 if it was killed; None while it runs."""
        if self._code is None:
            self._code = self._programs.ask("ended", self._pid)
        return self._code

    def wait(self, kill_when: Callable[[], bool] = lambda: False, seconds: float = 300) -> int:
        """Its exit code; it is killed at the moment at which `kill_when` is true.

        Killed, too, and a TimeoutError when time is up.
        """
        deadline = time.monotonic() + seconds
        try:
            while self.poll() is None and not kill_when():
                if time.monotonic() > deadline:
                    raise TimeoutError(f"neither over nor to be killed in {seconds} s: {self.err}")
                time.sleep(0.001)
        finally:
            code = self.kill()
        return code

    def kill(self) -> int:
        """As a power cut would, unless it is over -> its exit code."""
        if self.poll() is None:
            os.kill(self._pid, signal.SIGKILL)
        while (code := self.poll()) is None:
            time.sleep(0.001)
        return code


class Programs:
    """Starts main.py and dataset.py, all forked from one process (program_server.py)."""

    def __init__(self, server: subprocess.Popen[str], folder: Path) -> None:
        self._server, self._folder = server, folder
        self._started: list[Program] = []

    def start(
        self, program: str, words: list[str], environment: Mapping[str, str] | None = None
    ) -> Program:
        """`main` or `dataset` on those words, with more in its environment."""
        folder = self._folder / str(len(self._started))
        folder.mkdir()
        pid = self.ask("start", program, words, str(folder), dict(environment or {}))
        self._started.append(Program(self, pid, folder))
        return self._started[-1]

    def ask(self, *request: Any) -> Any:
        """What the server answers."""
        requests, answers = self._server.stdin, self._server.stdout
        assert requests is not None
        assert answers is not None
        requests.write(json.dumps(request) + "\n")
        requests.flush()
        return json.loads(answers.readline())

    def kill(self) -> None:
        """All that runs still."""
        for program in self._started:
            program.kill()


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """One server for all tests; no process of it lives on behind them."""
    paths = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    server = subprocess.Popen(
        [sys.executable, str(SERVER)], env=os.environ | {"PYTHONPATH": paths},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        found = Programs(server, tmp_path_factory.mktemp("programs"))
        yield found
        found.kill()
    finally:
        server.kill()
        server.communicate()
