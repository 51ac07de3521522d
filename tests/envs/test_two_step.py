"""The two-step game: its pay-offs, what it shows, and what it does after the end."""

from __future__ import annotations

import numpy as np
import pytest

from envs.base import Observation
from envs.two_step import TwoStepEnv


def play(env: TwoStepEnv, *joint_actions: tuple[int, int]) -> list[tuple[float, bool, bool]]:
    env.reset(0)
    steps = [env.step(np.array([joint] * env.batch_size)) for joint in joint_actions]
    return [(float(s.rewards[0]), bool(s.terminated[0]), bool(s.battle_won[0])) for s in steps]


@pytest.mark.parametrize(("first", "partner"), [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize(
    ("joint", "in_game_b"), [((0, 0), 0.0), ((0, 1), 1.0), ((1, 0), 1.0), ((1, 1), 8.0)]
)
def test_payoffs(first: int, partner: int, joint: tuple[int, int], in_game_b: float) -> None:
    paid = in_game_b if first else 7.0
    steps = play(TwoStepEnv({}, 1), (first, partner), joint)
    assert steps == [(0.0, False, False), (paid, True, paid == 8.0)]


def test_games_side_by_side_are_independent() -> None:
    env = TwoStepEnv({}, 4)
    env.reset(0)
    env.step(np.array([[0, 1], [1, 0], [1, 1], [0, 0]]))
    step = env.step(np.array([[1, 1], [1, 1], [0, 1], [0, 0]]))
    assert step.rewards.tolist() == [7.0, 8.0, 1.0, 7.0]
    assert step.battle_won.tolist() == [False, True, False, False]


def test_everyone_sees_the_situation() -> None:
    env = TwoStepEnv({}, 2)
    start = env.reset(0)
    assert start.state.tolist() == [[1, 0, 0], [1, 0, 0]]
    second = env.step(np.array([[0, 1], [1, 0]])).observation
    assert second.state.tolist() == [[0, 1, 0], [0, 0, 1]]
    for shown in (start, second):
        assert shown.obs.tolist() == [[row, row] for row in shown.state.tolist()]
        assert shown.avail_actions.all()


def test_shapes_and_types_are_as_told() -> None:
    info = TwoStepEnv.env_info({})
    env = TwoStepEnv({}, 5)
    step = env.step(np.zeros((5, 2), dtype=int))
    for shown in (env.reset(0), step.observation):
        assert shown.obs.shape == (5, info.n_agents, info.obs_shape)
        assert shown.state.shape == (5, info.state_shape)
        assert shown.avail_actions.shape == (5, info.n_agents, info.n_actions)
        assert [x.dtype for x in shown] == [np.float32, np.float32, bool]
    assert [x.dtype for x in step[1:5]] == [np.float32, bool, bool, bool]
    assert all(x.shape == (5,) for x in step[1:5])
    assert len(info.action_names) == info.n_actions


def test_every_seed_is_the_same_game_and_reset_begins_anew() -> None:
    env = TwoStepEnv({}, 2)
    starts: list[Observation] = []
    for seed in (0, 0, 7):
        starts.append(env.reset(seed))
        env.step(np.ones((2, 2), dtype=int))
        assert env.step(np.ones((2, 2), dtype=int)).rewards.tolist() == [8.0, 8.0]
    for start in starts[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(start, starts[0], strict=True))


def test_after_the_end_it_idles() -> None:
    env = TwoStepEnv({}, 2)
    env.reset(0)
    env.step(np.array([[0, 0], [1, 1]]))
    final = env.step(np.array([[1, 1], [1, 1]]))
    assert final.terminated.all()
    for action in (0, 1, 0):
        idle = env.step(np.full((2, 2), action))
        assert all(
            np.array_equal(a, b) for a, b in zip(idle.observation, final.observation, strict=True)
        )
        assert not idle.rewards.any()
        assert not idle.terminated.any()
        assert not idle.truncated.any()
