"""Gymnasium tasks of many agents: ends and limits, masks, states, mistakes."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from episodes import assert_promises, ends, play, task_args
from gymnasium.spaces import Box, Discrete, Tuple

from envs.gymma import GymmaEnv
from utils.errors import ConfigError, NotInstalledError

F, T = False, True


class Walkers(gymnasium.Env[Any, Any]):
    """Agent 0 walks by action 1 and place 3 is the end; agent 1's actions are called 5, 6, 7."""

    def __init__(
        self, mask: str = "", common: bool = False, max_episode_steps: int = 99,
        max_steps: int = 99, flags: str = "one", actions: Any = None,
    ) -> None:  # fmt: skip
        self._mask, self._common, self._flags = mask, common, flags
        self._limit = min(max_episode_steps, max_steps)
        self._start, self._place, self._time = 0.0, 0, 0
        self.observation_space = Tuple([Box(-9, 9, (2,)), Box(-9, 9, (3,))])
        self.action_space = Tuple([Discrete(2), actions or Discrete(3, start=5)])

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        super().reset(seed=seed)
        self._start, self._place, self._time = float(self.np_random.random()), 0, 0
        return self._show(), self._info()

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        walk, tool = action
        assert walk in (0, 1)
        assert tool in (5, 6, 7)
        self._place, self._time = self._place + walk, self._time + 1
        rewards = [float(walk), 0.25 * (tool - 5)]
        end = self._place == 3 or self._time >= self._limit
        flags: dict[str, tuple[Any, Any]] = {
            "one": (end, F),
            "each": ([end, end], [F, F]),
            "first": ([self._place > 0, end], [F, F]),
            "mixed": ([end, F], [F, end]),
            "cut": ([F, F], [end, end]),
        }
        reward = rewards[0] if self._common else rewards
        return self._show(), reward, *flags[self._flags], self._info()

    def _show(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array([self._place, self._time]), np.array([self._start, 7, -self._place])

    def _masks(self) -> list[list[int]]:
        return [[1, self._time % 2], [self._time % 2, 1, 0]]

    def _info(self) -> dict[str, Any]:
        return {"battle_won": self._place == 3} | (
            {self._mask: self._masks()} if self._mask else {}
        )


class OwnWalkers(Walkers):
    """They have a state and masks of their own."""

    state_size = 4

    def get_state(self) -> np.ndarray:
        return np.array([[self._place, 1.5], [self._time, -1.5]])

    def get_avail_actions(self) -> list[list[int]]:
        return [[0, 1, 1], [0, 0, 1]]  # padded, with garbage behind the first's


class HalfOwnWalkers(Walkers):
    """Their state has no size."""

    def get_state(self) -> np.ndarray:
        raise AssertionError


TASKS: dict[str, dict[str, Any]] = {
    "Walkers": {},
    "CommonWalkers": {"common": True},
    "LimitedWalkers": {"max_episode_steps": 4},
    "SteppingWalkers": {"max_steps": 4},
    "Drivers": {"actions": Box(-1.0, 1.0, (2,))},
}
for name, kwargs in TASKS.items():
    gymnasium.register(f"{name}-v0", f"{__name__}:Walkers", kwargs=kwargs)
gymnasium.register("TimedWalkers-v0", f"{__name__}:Walkers", max_episode_steps=4)
gymnasium.register("OwnWalkers-v0", f"{__name__}:OwnWalkers")
gymnasium.register("HalfOwnWalkers-v0", f"{__name__}:HalfOwnWalkers")


def make(
    key: str = "Walkers-v0", slots: int = 1, limit: int = 6, scalar: str = "sum", **kwargs: Any
) -> GymmaEnv:
    return GymmaEnv(task_args(key, limit, scalar, kwargs), slots)


def walk(steps: str, tool: int = 0) -> list[list[int]]:
    """Agent 0's steps, > forward and . not, beside agent 1's one tool."""
    return [[int(step == ">"), tool] for step in steps]


def test_numbers_are_those_of_the_task() -> None:
    assert make().info.numbers() == "2 agents, 3 actions, obs 3, state 6, limit 6"
    assert GymmaEnv.env_info(task_args("OwnWalkers-v0", 9, "sum", {})).state_shape == 4
    assert GymmaEnv.env_info(task_args("HalfOwnWalkers-v0", 9, "sum", {})).state_shape == 6


def test_the_promises_are_kept() -> None:
    played = assert_promises(lambda n: make(slots=n, limit=8), 12)
    starts = played.observation.obs[0, :, 1, 0]
    assert len(set(starts.tolist())) == 3
    assert {how for _, how in ends(played)} <= {"end", "limit"}


def test_slots_idle_and_keep_what_they_showed_last() -> None:
    played = play(make(slots=3), walk(">>>....."), walk(">....>>>"), walk(".>.>.>>>"))
    assert ends(played) == [(3, "end"), (6, "limit"), (6, "end")]
    assert played.observation.obs[-1, :, 0].tolist() == [[3, 3, 0], [2, 6, 0], [3, 6, 0]]
    assert played.rewards.T.tolist() == [
        [1, 1, 1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 1, 0, 0], [0, 1, 0, 1, 0, 1, 0, 0]
    ]  # fmt: skip
    assert played.battle_won.sum(0).tolist() == [1, 0, 1]
    assert played.battle_won[[2, 5], [0, 2]].all()


def test_what_is_shown_is_padded_and_makes_the_state() -> None:
    obs, state, avail = play(make(), walk(">.")).observation
    start = obs[0, 0, 1, 0]
    assert obs[:, 0, 0].tolist() == [[0, 0, 0], [1, 1, 0], [1, 2, 0]]
    assert obs[:, 0, 1].tolist() == [[start, 7, 0], [start, 7, -1], [start, 7, -1]]
    assert state.tolist() == obs.reshape(3, 1, 6).tolist()
    assert avail.tolist() == [[[[T, T, F], [T, T, T]]]] * 3


@pytest.mark.parametrize("key", ["action_mask", "avail_actions"])
def test_masks_by_info(key: str) -> None:
    avail = play(make(mask=key), walk("..")).observation.avail_actions[:, 0].tolist()
    even, odd = [[T, F, F], [F, T, F]], [[T, T, F], [T, T, F]]
    assert avail == [even, odd, even]


def test_a_state_and_masks_of_the_tasks_own() -> None:
    _, state, avail = play(make("OwnWalkers-v0", mask="action_mask"), walk(">.")).observation
    assert state[:, 0].tolist() == [[0, 1.5, 0, -1.5], [1, 1.5, 1, -1.5], [1, 1.5, 2, -1.5]]
    assert avail[:, 0].tolist() == [[[F, T, F], [F, F, T]]] * 3


def test_rewards_of_each_and_one_of_all() -> None:
    assert play(make(), walk(">.>", tool=2)).rewards[:, 0].tolist() == [1.5, 0.5, 1.5]
    averaged = play(make(scalar="mean"), walk(">.>", tool=2))
    assert averaged.rewards[:, 0].tolist() == [0.75, 0.25, 0.75]
    for scalar in ("sum", "mean"):
        common = play(make("CommonWalkers-v0", scalar=scalar), walk(">.>", tool=2))
        assert common.rewards[:, 0].tolist() == [1, 0, 1]


@pytest.mark.parametrize("key", ["LimitedWalkers-v0", "SteppingWalkers-v0"])
@pytest.mark.parametrize("limit", [2, 4, 6])
def test_a_limit_of_the_tasks_own_is_no_end(key: str, limit: int) -> None:
    played = play(make(key, slots=3, limit=limit), *[walk("......")] * 3)
    assert ends(played) == [(limit, "limit")] * 3
    assert not played.battle_won.any()


def test_a_limit_is_given_as_time_limit() -> None:
    with pytest.raises(ConfigError) as error:
        make("SteppingWalkers-v0", max_steps=3)
    assert str(error.value) == "env_args.kwargs: max_steps is given as env_args.time_limit"
    with pytest.raises(ConfigError) as error:
        make("SteppingWalkers-v0", limit=0)
    assert str(error.value) == "env_args.time_limit=0 must be 1 or more"


def test_what_is_registered_stays_as_it_is() -> None:
    for key in ("LimitedWalkers-v0", "Walkers-v0"):
        before = dict(gymnasium.registry[key].kwargs)
        make(key, limit=7, common=True)
        assert gymnasium.registry[key].kwargs == before


def test_a_limit_of_gymnasiums_is_a_limit() -> None:
    assert ends(play(make("TimedWalkers-v0"), walk("......"))) == [(4, "limit")]


@pytest.mark.parametrize("key", ["Walkers-v0", "LimitedWalkers-v0", "TimedWalkers-v0"])
def test_an_end_at_the_time_limits_step_is_an_end(key: str) -> None:
    played = play(make(key, limit=4), walk(".>>>."))
    assert ends(played) == [(4, "end")]
    assert played.battle_won[:, 0].tolist() == [F, F, F, T, F]


@pytest.mark.parametrize(
    ("flags", "how"),
    [("one", "end"), ("each", "end"), ("first", "end"), ("mixed", "limit"), ("cut", "limit")],
)
def test_the_episode_ends_with_the_last_agent(flags: str, how: str) -> None:
    assert ends(play(make(flags=flags), walk(">.>>."))) == [(4, how)]


def test_time_begins_anew_with_the_episode() -> None:
    env = make(limit=4)
    for _ in range(3):
        assert ends(play(env, walk("....."))) == [(4, "limit")]


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "unknown": (
        {"key": "Wakers-v0"},
        "env_args.key=Wakers-v0: Gymnasium has no Wakers-v0; did you mean Walkers-v0?; a task of "
        "another package is written package:name",
    ),
    "nothing like it": (
        {"key": "qqq"},
        "env_args.key=qqq: Gymnasium has no qqq; a task of another package is written package:name",
    ),
    "one agent": (
        {"key": "CartPole-v1"},
        "env_args.key=CartPole-v1 has no Tuple spaces: it is a task of one agent; use "
        "--env-config=d4rl",
    ),
    "continuous": (
        {"key": "Drivers-v0"},
        "env_args.key=Drivers-v0: its agents act in Box(-1.0, 1.0, (2,), float32); Discrete is "
        "needed",
    ),
    "scalarisation": (
        {"scalar": "max"},
        "env_args.reward_scalarisation=max must be sum or mean",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(mistake: str) -> None:
    kwargs, message = MISTAKES[mistake]
    with pytest.raises(ConfigError) as error:
        make(**kwargs)
    assert str(error.value) == message


def test_an_argument_that_the_task_does_not_know_is_one_line() -> None:
    with pytest.raises(ConfigError) as error:
        make(nonsense=1)
    message = str(error.value)
    assert message.startswith("env_args.key=Walkers-v0 cannot be made: ")
    assert "got an unexpected keyword argument 'nonsense'" in message
    assert "\n" not in message


@pytest.mark.parametrize("key", ["", ":Task-v0", ".x:Task-v0"])
def test_a_key_without_a_module_is_one_line(key: str) -> None:
    with pytest.raises(ConfigError) as error:
        GymmaEnv.env_info(task_args(key, 5, "sum", {}))
    assert str(error.value).startswith(f"env_args.key={key}")
    assert "\n" not in str(error.value)


def test_a_task_that_breaks_is_one_line() -> None:
    with pytest.raises(ConfigError) as error:
        make(max_episode_step=object())
    assert str(error.value).startswith("env_args.key=Walkers-v0 cannot be made: TypeError: ")


def test_a_package_that_is_not_installed_is_one_line() -> None:
    for look in (GymmaEnv.check_installed, GymmaEnv.env_info):
        with pytest.raises(NotInstalledError) as error:
            look(task_args("no_such_package:Task-v0", 5, "sum", {}))
        assert str(error.value) == (
            "env_args.key=no_such_package:Task-v0: there is no module no_such_package here; the "
            "extra gymma brings some (pip install -c constraints.txt -e '.[gymma]'), others are "
            "packages of their own"
        )
    GymmaEnv.check_installed(task_args("Walkers-v0", 5, "sum", {}))


def test_versions_of_a_task_of_gymnasiums() -> None:
    assert list(GymmaEnv.versions({"key": "Walkers-v0"})) == ["gymnasium"]
