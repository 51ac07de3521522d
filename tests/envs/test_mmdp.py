"""The multi-agent MDP: its rewards, its transitions for every joint action, its time limit."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from envs.mmdp import EPISODE_LIMIT, S1, S2, MMDPEnv
from utils.config import load_settings
from utils.errors import ConfigError


def env(n_agents: int, batch_size: int = 1) -> MMDPEnv:
    made = MMDPEnv({"n_agents": n_agents}, batch_size)
    made.reset(0)
    return made


@pytest.mark.parametrize("n", [1, 2, 3, 5, 6])
def test_every_joint_action_from_s2(n: int) -> None:
    joint = np.array(list(product([0, 1], repeat=n)))
    step = env(n, len(joint)).step(joint)
    assert step.rewards.tolist() == [float(sum(a) == n) for a in joint]
    fell = step.observation.state[:, S1] == 1
    assert fell.tolist() == [sum(a) <= n / 2 for a in joint]
    assert fell.mean() == 0.5 if n % 2 else fell.mean() > 0.5


def test_s1_pays_nothing_and_is_never_left() -> None:
    game = env(3)
    game.step(np.array([[0, 0, 0]]))
    for _ in range(20):
        step = game.step(np.array([[1, 1, 1]]))
        assert step.rewards.tolist() == [0.0]
        assert step.observation.state.tolist() == [[1.0, 0.0]]


def test_the_best_return_is_100_and_the_limit_is_no_end() -> None:
    game, total = env(5), 0.0
    for t in range(1, EPISODE_LIMIT + 1):
        step = game.step(np.ones((1, 5), dtype=int))
        total += float(step.rewards[0])
        assert not step.terminated[0]
        assert step.truncated[0] == (t == EPISODE_LIMIT)
    assert total == 100
    assert step.battle_won[0]
    assert step.observation.state[0, S2] == 1


def test_after_the_limit_it_idles() -> None:
    game = env(3)
    for _ in range(EPISODE_LIMIT):
        final = game.step(np.ones((1, 3), dtype=int))
    for action in (0, 1):
        idle = game.step(np.full((1, 3), action))
        assert np.array_equal(idle.observation.state, final.observation.state)
        assert not idle.rewards.any()
        assert not idle.truncated.any()
    assert game.reset(0).state.tolist() == [[0.0, 1.0]]


def test_shapes_and_what_agents_see() -> None:
    shown = env(4, 6).reset(0)
    info = MMDPEnv.env_info({"n_agents": 4})
    assert shown.obs.shape == (6, info.n_agents, info.obs_shape)
    assert shown.avail_actions.shape == (6, info.n_agents, info.n_actions)
    assert (shown.obs == shown.state[:, None]).all()
    assert [x.dtype for x in shown] == [np.float32, np.float32, bool]


def test_no_agents_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match=r"env_args.n_agents=0 must be 1 or more"):
        load_settings("icq", "mmdp", {"env_args": {"n_agents": 0}})
