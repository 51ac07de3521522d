"""Games in processes of their own: what crosses, and that nothing outlives a run."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starcraft import battles, command, games, gone

from envs.base import EnvInfo, Observation
from envs.games import Game, Outcome
from envs.processes import ProcessEnv, held_back


class Bare(Game):
    """A game whose outcomes tell nothing more than they must."""

    def __init__(self, seed: int) -> None:
        self._shown = Observation(np.zeros((1, 1), np.float32), np.zeros(1, np.float32), AVAIL)

    def reset(self, seed: int) -> Observation:
        return self._shown

    def step(self, actions: np.ndarray) -> Outcome:
        return Outcome(self._shown, 1.0, True, False, False)


class BareEnv(ProcessEnv):
    @staticmethod
    def env_info(env_args: dict[str, Any]) -> EnvInfo:
        return EnvInfo(1, 2, 1, 1, 5)


AVAIL = np.ones((1, 2), dtype=bool)


def test_a_bare_outcome_crosses_to_another_process() -> None:
    env = BareEnv(BareEnv.env_info({}), Bare, 2, timeout=60, restarts=0)
    env.reset(1)
    step = env.step(np.zeros((2, 1), dtype=int))
    env.close()
    assert step.terminated.tolist() == [True, True]


def test_signals_are_held_back_whatever_thread_gets_them() -> None:
    came = []
    before = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    other = threading.Thread(target=time.sleep, args=(0.5,))
    other.start()
    try:
        with held_back(signal.SIGTERM):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.1)
            assert came == []
        assert came == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)
        other.join()


def children(pid: int) -> Iterator[str]:
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        yield from path.read_text().split()


def test_ctrl_c_reaches_no_worker(sc2: Path) -> None:
    with battles(3) as env:
        env.reset(1)
        for worker in env._workers.values():
            (mask,) = [
                line.split()[1]
                for line in Path(f"/proc/{worker._process.pid}/status").read_text().splitlines()
                if line.startswith("SigBlk")
            ]
            assert int(mask, 16) & 1 << (signal.SIGINT - 1)


@pytest.mark.parametrize("games_first", [True, False])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_leaves_nothing_either(
    how: signal.Signals, games_first: bool, sc2: Path, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    words = ["--config=qmix", "--env-config=sc2", "with", "env_args.map_name=3m"]
    words += ["batch_size_run=3", "t_max=100000000", f"local_results_path={tmp_path / 'r'}"]
    process = subprocess.Popen(
        command(*words), env=os.environ | {"TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (games(sc2) if games_first else list(children(process.pid))):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    for pause in (0.1, 0.15, 0.0):
        time.sleep(pause)
        process.send_signal(how)
    process.communicate(timeout=60)
    gone(sc2)
    assert process.returncode in (128 + how, -how)
    assert not list(temporary.glob("icq_game_*"))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_game_outlives_its_run(how: signal.Signals, sc2: Path, tmp_path: Path) -> None:
    words = ["--config=qmix", "--env-config=sc2", "with", "env_args.map_name=3m"]
    words += ["batch_size_run=2", "t_max=100000000", "test_nepisode=2"]
    words += [f"local_results_path={tmp_path / 'r'}"]
    process = subprocess.Popen(
        command(*words), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while len(games(sc2)) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.3)
    process.send_signal(how)
    _, error = process.communicate(timeout=30)
    gone(sc2)
    code = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[how]
    assert process.returncode == code
    if how != signal.SIGKILL:
        assert "Traceback" not in error
