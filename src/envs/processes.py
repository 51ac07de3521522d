"""ProcessEnv: each game in a process of its own, started once, and anew when it dies or hangs.

A worker is the leader of a session of its own, so Ctrl-C does not reach it, and it can be killed
together with whatever its game has started. It watches the process that started it and kills its
whole session when that is gone, however it went.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np

from envs.base import EnvInfo, Observation
from envs.games import Game, GamesEnv, Outcome
from utils.errors import GameError

MakeGame = Callable[[int], Game]
"""Seed -> a game; it is called in the worker and must be picklable."""

STARTING = 60.0  # seconds that a new process gets beside its game's time-out
FAREWELL = 10.0  # seconds that games get to close themselves
console = logging.getLogger("icq")


class ProcessEnv(GamesEnv):
    """E games in E processes. An episode whose game dies or hangs is lost, the others are not.

    timeout: seconds without an answer after which a game counts as hung. restarts: how often a
    slot's game is started anew without finishing an episode before that is a GameError.
    """

    def __init__(
        self, info: EnvInfo, make: MakeGame, batch_size: int, timeout: float, restarts: int
    ) -> None:
        super().__init__(info, batch_size)
        self._make, self._timeout, self._restarts = make, timeout, restarts
        self._workers: dict[int, _Worker] = {}
        self._failures = [0] * batch_size
        self._close = weakref.finalize(self, _close, self._workers)  # at exit, too

    def save_replay(self, folder: Path) -> list[Path]:
        """Of every game."""
        folder.mkdir(parents=True, exist_ok=True)
        asked = {i: ("save_replay", folder / str(i)) for i in self._workers}
        answers = self._ask(asked)
        return [path for i in sorted(answers) for path in answers[i] or []]

    def close(self) -> None:
        """End every game and its process."""
        self._close()

    def _reset_games(self, seeds: Sequence[int]) -> list[Observation]:
        shown: dict[int, Observation] = {}
        while len(shown) < self.batch_size:
            missing = [i for i in range(self.batch_size) if i not in shown]
            resource_tracker.ensure_running()  # when it starts it lets signals through again
            for i in missing:
                if i not in self._workers:
                    with held_back(signal.SIGINT, signal.SIGTERM):  # none is begun and not known
                        self._workers[i] = _Worker(self._make, self._seed(i, seeds[i]))
            answers = self._ask({i: ("reset", seeds[i]) for i in missing}, STARTING)
            shown |= {i: answer for i, answer in answers.items() if answer is not None}
        return [shown[i] for i in range(self.batch_size)]

    def _seed(self, slot: int, drawn: int) -> int:
        """What slot's game is built with."""
        return drawn

    def _step_games(self, actions: Mapping[int, np.ndarray]) -> dict[int, Outcome | None]:
        outcomes = self._ask({i: ("step", joint) for i, joint in actions.items()})
        for i, outcome in outcomes.items():
            if outcome is not None and (outcome.terminated or outcome.truncated):
                self._failures[i] = 0
        return outcomes

    def _ask(
        self, requests: Mapping[int, tuple[str, Any]], extra_time: float = 0.0
    ) -> dict[int, Any]:
        """Send all requests, then wait for the answers; None of a game that broke off."""
        timeout = self._timeout + extra_time
        waiting: dict[Connection, int] = {}
        answers: dict[int, Any] = {}
        for i, request in requests.items():
            with contextlib.suppress(OSError):  # dead: reading from it will tell
                self._workers[i].connection.send(request)
            waiting[self._workers[i].connection] = i
        deadline = time.monotonic() + timeout
        while waiting:
            ready: list[Any] = wait(list(waiting), max(0.0, deadline - time.monotonic()))
            if not ready:
                for i in waiting.values():
                    answers[i] = self._lose(i, f"no answer for {timeout:g} s")
                break
            for connection in ready:
                i = waiting.pop(connection)
                answers[i] = self._receive(i, connection)
        return answers

    def _receive(self, i: int, connection: Connection) -> Any:
        try:
            good, answer = connection.recv()
        except (EOFError, OSError):
            return self._lose(i, "its process ended")
        return answer if good else self._lose(i, answer)

    def _lose(self, i: int, reason: str) -> None:
        """Make an end of slot i's game; the next reset starts another."""
        self._workers.pop(i).kill()
        self._failures[i] += 1
        if self._failures[i] > self._restarts:
            raise GameError(
                f"game {i} broke off, {self._failures[i]} in a row without finishing an episode, "
                f"at last: {reason}; what was saved is there still"
            )
        console.warning(
            f"Game {i} broke off ({reason}): its episode is discarded, the game is started anew "
            f"({self._failures[i]} of at most {self._restarts} times)"
        )


class _Worker:
    """A process with one game in it."""

    def __init__(self, make: MakeGame, seed: int) -> None:
        context = multiprocessing.get_context("spawn")  # a forked one would inherit open pipes
        self.connection, theirs = context.Pipe()
        self._folder = Path(tempfile.gettempdir(), f"icq_game_{uuid.uuid4().hex}")
        self._process = context.Process(
            target=_work, args=(theirs, make, seed, self._folder), daemon=True
        )
        self._process.start()
        theirs.close()

    def ask_to_close(self) -> None:
        """Ask the game to close itself."""
        with contextlib.suppress(OSError):
            self.connection.send(("close", None))

    def kill(self, after: float = 0.0) -> None:
        """Kill the process and all that it started, at the latest `after` seconds from now."""
        self._process.join(after)
        _kill_session(self._process.pid)
        self._process.kill()  # if it was not yet the leader of a session
        self._process.join()
        self.connection.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _close(workers: dict[int, _Worker]) -> None:
    with held_back(signal.SIGINT, signal.SIGTERM):  # it takes FAREWELL at most
        for worker in workers.values():
            worker.ask_to_close()
        deadline = time.monotonic() + FAREWELL
        for i, worker in list(workers.items()):
            worker.kill(max(0.0, deadline - time.monotonic()))
            del workers[i]


@contextlib.contextmanager
def held_back(*signals: signal.Signals) -> Iterator[None]:
    """They come afterwards, whatever thread gets them; a process begun in here inherits a mask."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    came: dict[int, None] = {}
    handlers: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in signals:
            handlers[number] = signal.signal(number, lambda got, _: came.update({got: None}))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number in came:
            signal.raise_signal(number)


def _kill_session(leader: int | None) -> None:
    assert leader is not None
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _work(connection: Connection, make: MakeGame, seed: int, folder: Path) -> None:
    """The worker: answer (True, answer) to each (method, argument), (False, reason) once."""
    os.setsid()
    signal.signal(signal.SIGTERM, lambda *_: _end_session(folder))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    threading.Thread(target=_die_with_parent, args=(folder,), daemon=True).start()
    folder.mkdir(mode=0o700)
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
    game: Game | None = None
    try:
        while True:
            method, argument = connection.recv()
            if method == "close":
                break
            if game is None:
                game = make(seed)
            connection.send((True, getattr(game, method)(argument)))
    except EOFError:
        pass
    except Exception as error:  # whatever a game can raise ends it, and is reported
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        with contextlib.suppress(OSError):
            connection.send((False, reason))
    finally:
        if game is not None:
            with contextlib.suppress(Exception):
                game.close()
        shutil.rmtree(folder, ignore_errors=True)


def _die_with_parent(folder: Path) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    _end_session(folder)


def _end_session(folder: Path) -> None:
    """Kill the worker and its game, then remove the folder: by a shell outside of the session."""
    script = 'kill -s KILL -- "-$1"; rm -rf -- "$2"'
    words = ["/bin/sh", "-c", script, "sh", str(os.getpid()), str(folder)]
    subprocess.Popen(words, start_new_session=True, stderr=subprocess.DEVNULL)
