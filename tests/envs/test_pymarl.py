"""PyMARL's and EPyMARL's environments as games: both signatures, limits, seeds, E of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from episodes import assert_promises, ends, play, same

from envs.base import EnvInfo, VectorEnv
from envs.games import SerialEnv
from envs.processes import ProcessEnv
from envs.pymarl import PyMARLGame, read_env_info, read_step

LIMIT = 5
INFO = EnvInfo(2, 3, 2, 3, LIMIT, action_names=("stay", "work", "end"))
WORK, END, LOSE = [1, 1], [0, 2], [1, 2]


class Mine:
    """PyMARL's way: seeded when built, lists everywhere.

    Both working pays 1.5, agent 1's action 2 ends it, and wins where the other stays.
    """

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.start, self.time, self.closed, self.taken = 0.0, 0, False, []

    def get_env_info(self) -> dict[str, Any]:
        names = ("n_agents", "n_actions", "obs_shape", "state_shape", "episode_limit", "other")
        return dict(zip(names, (np.int64(2), 3, 2, 3, LIMIT, 7), strict=True))

    def reset(self) -> None:
        self.start, self.time, self.taken = float(self.rng.random()), 0, []

    def step(self, actions: list[int]) -> tuple[Any, ...]:
        end, reward = self._move(actions)
        limit = self.time == LIMIT
        info = {"episode_limit": True} if limit and not end else {}
        won = {"battle_won": True} if actions == END else {}
        return reward, end or limit, info | won

    def get_obs(self) -> list[list[float]]:
        return [[self.start, self.time], [0.5, -self.time]]

    def get_state(self) -> list[float]:
        return [self.start, self.time, 9]

    def get_avail_actions(self) -> list[list[int]]:
        return [[1, 1, 0], [1, self.time % 2, 1]]

    def close(self) -> None:
        self.closed = True

    def _move(self, actions: list[int]) -> tuple[bool, float]:
        assert all(type(action) is int for action in actions)
        self.time += 1
        self.taken.append(actions)
        return 2 in actions, 1.5 * (actions == WORK)


class Theirs(Mine):
    """EPyMARL's way: seeded at the reset, five values from `step`."""

    def reset(self, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:  # pyright: ignore
        self.rng = np.random.default_rng(seed)
        super().reset()
        return self.get_obs(), {}

    def step(self, actions: list[int]) -> tuple[Any, ...]:
        end, reward = self._move(actions)
        limit, info = self.time == LIMIT, {"battle_won": actions == END}
        return self.get_obs(), np.float64(reward), end, np.bool_(limit), info


def mine(seed: int) -> PyMARLGame:
    return PyMARLGame(Mine(seed))


def theirs(seed: int) -> PyMARLGame:
    return PyMARLGame(Theirs(seed))


class Serial(SerialEnv):
    """As whoever brings an environment writes it."""

    @staticmethod
    def env_info(env_args: dict[str, Any]) -> EnvInfo:
        return INFO


class Processes(ProcessEnv):
    """The same, each in a process."""

    @staticmethod
    def env_info(env_args: dict[str, Any]) -> EnvInfo:
        return INFO


Make = Callable[[int], VectorEnv]
ENDS = [END, *[WORK] * 6], [*[WORK] * 4, END, *[WORK] * 2], [WORK] * 7, [WORK, LOSE, *[WORK] * 5]


@pytest.fixture(params=["mine", "theirs"])
def game(request: pytest.FixtureRequest) -> Callable[[int], PyMARLGame]:
    return {"mine": mine, "theirs": theirs}[request.param]


@pytest.fixture(params=["serial", "processes"])
def make(request: pytest.FixtureRequest, game: Callable[[int], PyMARLGame]) -> Iterator[Make]:
    made: list[VectorEnv] = []

    def build(slots: int) -> VectorEnv:
        if request.param == "serial":
            made.append(Serial(INFO, [game(i) for i in range(slots)]))
        else:
            made.append(Processes(INFO, game, slots, timeout=60.0, restarts=0))
        return made[-1]

    yield build
    for env in made:
        env.close()


@pytest.mark.parametrize(
    ("result", "read"),
    [
        ((2, False, {}), (2.0, False, False)),
        ((2, True, {}), (2.0, True, False)),
        ((2, True, {"episode_limit": True}), (2.0, False, True)),
        ((2, False, {"episode_limit": True}), (2.0, False, True)),
        ((2, True, {"episode_limit": False}), (2.0, True, False)),
        (("obs", 2, False, False, {}), (2.0, False, False)),
        (("obs", 2, True, False, {}), (2.0, True, False)),
        (("obs", 2, False, True, {}), (2.0, False, True)),
        (("obs", 2, True, True, {}), (2.0, True, False)),
        (("obs", 2, True, True, {"episode_limit": True}), (2.0, False, True)),
        (("obs", np.float32(2), np.bool_(True), np.bool_(False), {}), (2.0, True, False)),
    ],
)
def test_a_step_of_either_signature(
    result: tuple[Any, ...], read: tuple[float, bool, bool]
) -> None:
    *values, info = read_step(result)
    assert tuple(values) == read
    assert [type(value) for value in values] == [float, bool, bool]
    assert info is result[-1]


def test_env_info_is_read() -> None:
    info = read_env_info(Mine(0).get_env_info(), INFO.action_names)
    assert info == INFO
    assert read_env_info(Mine(0).get_env_info()).action_names == ()
    assert all(type(n) is int for n in (info.n_agents, info.state_shape, info.episode_limit))


def test_one_game(game: Callable[[int], PyMARLGame]) -> None:
    played = game(3)
    shown = played.reset(3)
    start = np.float32(np.random.default_rng(3).random())
    assert shown.obs.tolist() == [[start, 0], [0.5, 0]]
    assert shown.state.tolist() == [start, 0, 9]
    assert shown.avail_actions.tolist() == [[True, True, False], [True, False, True]]
    assert [x.dtype for x in shown] == [np.float32, np.float32, bool]
    first = played.step(np.array(WORK))
    assert first.observation.obs.tolist() == [[start, 1], [0.5, -1]]
    assert first.observation.avail_actions[1].tolist() == [True, True, True]
    assert first[1:5] == (1.5, False, False, False)
    assert played.step(np.array(END))[1:5] == (0.0, True, False, True)
    assert played.env.taken == [WORK, END]
    assert played.step(np.array(END)).observation.obs[1, 1] == -3
    played.close()
    assert played.env.closed


def test_a_seed_is_given_to_those_who_take_one() -> None:
    first, second = mine(3), theirs(3)
    starts = [[float(g.reset(7).state[0]) for _ in range(2)] for g in (first, second)]
    assert starts[0][0] != starts[0][1]  # PyMARL's are seeded when built
    assert starts[1][0] == starts[1][1] == np.float32(np.random.default_rng(7).random())


def test_ends_limits_and_idling(make: Make) -> None:
    env = make(4)
    for _ in range(2):
        played = play(env, *ENDS)
        assert ends(played) == [(1, "end"), (5, "end"), (5, "limit"), (2, "end")]
        assert played.battle_won.sum(0).tolist() == [1, 1, 0, 0]
        assert played.rewards.sum(0).tolist() == [0, 6, 7.5, 1.5]
        assert played.observation.state[-1, :, 1].tolist() == [1, 5, 5, 2]


def test_the_promises_are_kept_in_this_process() -> None:
    assert_promises(lambda n: Serial(INFO, [theirs(i) for i in range(n)]), LIMIT + 2)


def test_in_processes_it_is_the_same() -> None:
    here = play(Serial(INFO, [theirs(0) for _ in range(4)]), *ENDS, seed=4)
    env = Processes(INFO, theirs, 4, timeout=60.0, restarts=0)
    there = play(env, *ENDS, seed=4)
    env.close()
    assert same(here, there)
    assert len(set(there.observation.state[0, :, 0].tolist())) == 4
