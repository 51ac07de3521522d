"""Foraging, warehouse and MPE, as they come: sizes, promises, ends and limits."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from episodes import assert_promises, ends, play, play_randomly, task_args

from envs.gymma import GymmaEnv
from envs.pettingzoo import PettingZooEnv
from utils.errors import ConfigError, NotInstalledError

FORAGING, WAREHOUSE = "lbforaging:Foraging-5x5-2p-1f-v3", "rware:rware-tiny-2ag-v2"
needs_tasks = pytest.mark.skipif(
    find_spec("lbforaging") is None or find_spec("rware") is None, reason="needs the extra gymma"
)
needs_mpe = pytest.mark.skipif(find_spec("mpe2") is None, reason="needs the extra pettingzoo")


def gymma(key: str, limit: int, slots: int = 1) -> GymmaEnv:
    return GymmaEnv(task_args(key, limit), slots)


def pettingzoo(key: str, limit: int, slots: int = 1, **kwargs: Any) -> PettingZooEnv:
    return PettingZooEnv(task_args(key, limit, "sum", kwargs), slots)


@needs_tasks
def test_versions_name_gymmas_packages() -> None:
    assert list(GymmaEnv.versions({"key": FORAGING})) == ["gymnasium", "lbforaging"]
    assert GymmaEnv.versions({"key": WAREHOUSE})["rware"][0].isdigit()


@needs_tasks
@pytest.mark.parametrize(
    ("key", "numbers"),
    [
        (FORAGING, "2 agents, 6 actions, obs 9, state 18, limit 50"),
        (WAREHOUSE, "2 agents, 5 actions, obs 71, state 142, limit 50"),
    ],
)
def test_real_tasks_keep_the_promises(key: str, numbers: str) -> None:
    assert GymmaEnv.env_info(task_args(key, 50)).numbers() == numbers
    assert_promises(lambda n: gymma(key, 12, n), 15)


@needs_tasks
@pytest.mark.parametrize(("key", "own"), [(FORAGING, 50), (WAREHOUSE, 500)])
def test_a_real_tasks_time_limit_is_ours(key: str, own: int) -> None:
    for limit in (7, own, own + 10):
        noop = [[0, 0]] * (limit + 1)
        assert ends(play(gymma(key, limit), noop)) == [(limit, "limit")]


@needs_tasks
def test_eating_the_last_food_is_an_end() -> None:
    env = gymma(FORAGING, 200, 8)
    played = play_randomly(env, 205)
    found = ends(played)
    returns = played.rewards.sum(0)
    assert {how for _, how in found} == {"end", "limit"}
    for slot, (length, how) in enumerate(found):
        assert returns[slot] == pytest.approx(float(how == "end"))
        assert (played.rewards[length - 1, slot] > 0) == (how == "end")
        assert how == "end" or length == 200


@needs_tasks
def test_a_foraging_task_with_a_typing_error_is_one_line() -> None:
    key = "lbforaging:Foraging-5x5-2p-1f-v9"
    with pytest.raises(ConfigError) as error:
        gymma(key, 6)
    assert str(error.value) == (
        f"env_args.key={key}: Gymnasium has no Foraging-5x5-2p-1f-v9; did you mean "
        "Foraging-5x5-2p-1f-v3?; a task of another package is written package:name"
    )


@needs_mpe
@pytest.mark.parametrize(
    ("task", "kwargs", "numbers"),
    [
        ("simple_spread_v3", {}, "3 agents, 5 actions, obs 18, state 54, limit 9"),
        ("simple_spread_v3", {"N": 2}, "2 agents, 5 actions, obs 12, state 24, limit 9"),
        ("simple_tag_v3", {}, "4 agents, 5 actions, obs 16, state 62, limit 9"),
    ],
)
def test_mpe_keeps_the_promises(task: str, kwargs: dict[str, Any], numbers: str) -> None:
    key = f"mpe2.{task}"
    assert PettingZooEnv.env_info(task_args(key, 9, "sum", kwargs)).numbers() == numbers
    played = assert_promises(lambda n: pettingzoo(key, 9, n, **kwargs), 11)
    assert ends(played) == [(9, "limit")] * 3
    assert played.rewards[:9].any()
    assert played.observation.avail_actions.all()


@needs_mpe
def test_simple_tags_prey_sees_less_than_the_adversaries() -> None:
    obs = play(pettingzoo("mpe2.simple_tag_v3", 9), [[0, 1, 2, 3]] * 3).observation.obs[:, 0]
    assert not obs[:, 3, 14:].any()
    assert obs[:, :3, 14:].any(-1).any()


@needs_mpe
def test_every_step_is_that_of_the_plain_task() -> None:
    from mpe2 import simple_spread_v3

    joint = [[1, 2, 3], [4, 0, 1], [2, 2, 4]]
    played = play(pettingzoo("mpe2.simple_spread_v3", 6), joint, seed=5)
    task = simple_spread_v3.parallel_env()
    obs, _ = task.reset(seed=int(np.random.SeedSequence(5).generate_state(1)[0]))
    for t in range(4):
        assert np.array_equal(
            played.observation.obs[t, 0], np.array(list(obs.values()), np.float32)
        )
        if t < 3:
            obs, rewards, *_ = task.step(dict(zip(task.agents, joint[t], strict=True)))
            assert played.rewards[t, 0] == np.float32(sum(rewards.values()))


@needs_mpe
def test_mpes_own_limit_is_a_limit() -> None:
    for limit in (10, 25, 40):
        env = pettingzoo("mpe2.simple_spread_v3", limit)
        assert ends(play(env, [[0, 0, 0]] * 41)) == [(limit, "limit")]


@needs_mpe
def test_pettingzoos_old_name_of_mpe_says_where_it_went() -> None:
    with pytest.raises(NotInstalledError) as error:
        pettingzoo("pettingzoo.mpe.simple_spread_v3", 6)
    message = str(error.value)
    assert message.startswith("env_args.key=pettingzoo.mpe.simple_spread_v3: MPE has been moved")
    assert "pip install mpe2" in message
