"""Gymnasium's tasks: the same steps as without us, idling after the end, mistakes in one line."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, Space
from recordings import Capture

import main
from envs.base import Observation, Step
from envs.gymnasium import NO_LIMIT, GymnasiumEnv
from envs.reference_scores import reference_scores
from runners.rollout import Evaluation

needs_mujoco = pytest.mark.skipif(find_spec("mujoco") is None, reason="needs the extra d4rl")
KEYS = ["Pendulum-v1", "CartPole-v1", pytest.param("HalfCheetah-v5", marks=needs_mujoco)]
NUMBERS = {
    "Pendulum-v1": "1 action dimension in [-2.0, 2.0], obs 3, state 0, limit 200",
    "CartPole-v1": "2 actions, obs 4, state 4, limit 500",
    "HalfCheetah-v5": "6 action dimensions in [-1.0, 1.0], obs 17, state 0, limit 1000",
}
ONE = "; Discrete or a Box of one dimension is needed"
Policy = Callable[[np.ndarray], np.ndarray]
Shown = dict[str, np.ndarray]


class Corridor(gymnasium.Env[Shown, Any]):
    """One walks to and fro, shown as AntMaze is; place 3 is success and, if it `ends`, the end."""

    def __init__(self, ends: bool = True, actions: Space[Any] | None = None) -> None:
        self._ends, self._place, self._time = ends, 0, 0
        parts = {"observation": 2, "achieved_goal": 1, "desired_goal": 2}
        boxes = {k: Box(-1e4, 1e4, (n,), np.float64) for k, n in parts.items()}
        self.observation_space = Dict(boxes)
        self.action_space = actions or Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Shown, Any]:
        super().reset(seed=seed)
        self._place = self._time = 0
        return self._show(), {}

    def step(self, action: Any) -> tuple[Shown, float, bool, bool, dict[str, bool]]:
        self._place, self._time = self._place + 2 * int(action) - 1, self._time + 1
        there = self._place == 3
        return self._show(), float(there), there and self._ends, False, {"success": there}

    def _show(self) -> Shown:
        observation, goal = np.array([self._time, 0.5]), np.array([3.0, -0.5])
        achieved = np.array([float(self._place)])
        return {"observation": observation, "achieved_goal": achieved, "desired_goal": goal}


TASKS: dict[str, dict[str, Any]] = {
    "Corridor-v0": {"max_episode_steps": 5},
    "EndlessCorridor-v0": {"kwargs": {"ends": False}},
    "MultiDiscrete-v0": {"kwargs": {"actions": MultiDiscrete([2, 3])}},
    "Matrix-v0": {"kwargs": {"actions": Box(-1.0, 1.0, (2, 2))}},
    "Unbounded-v0": {"kwargs": {"actions": Box(-np.inf, np.inf, (2,))}},
    "HalfBounded-v0": {"kwargs": {"actions": Box(-np.inf, 1.0, (2,))}},
    "FromOne-v0": {"kwargs": {"actions": Discrete(3, start=1)}},
}
for name, settings in TASKS.items():
    gymnasium.register(name, Corridor, **settings)


def make(key: str, slots: int) -> GymnasiumEnv:
    return GymnasiumEnv({"key": key}, slots)


def play(env: GymnasiumEnv, actions: np.ndarray | Policy, seed: int = 0, steps: int = 0) -> Step:
    """All that actions (steps,E,...) or a policy show, (steps+1,E,...), and bring, (steps,E)."""
    shown, brought = [env.reset(seed)], []
    for t in range(steps if callable(actions) else len(actions)):
        taken = actions(shown[-1].obs) if callable(actions) else actions[t]
        observation, *rest = env.step(taken)
        shown.append(observation)
        brought.append(rest)
    parts = [[np.stack(c) for c in zip(*part, strict=True)] for part in (shown, brought)]
    return Step(Observation(*parts[0]), *parts[1])


def random_actions(env: GymnasiumEnv, steps: int) -> np.ndarray:
    """(steps,E,1) int or (steps,E,1,A) float32."""
    rng, size = np.random.default_rng(7), (steps, env.batch_size, 1, env.info.n_actions)
    if not env.info.continuous:
        return rng.integers(env.info.n_actions, size=size[:-1])
    return rng.uniform(env.info.action_low, env.info.action_high, size).astype(np.float32)


def walk(*ways: str) -> np.ndarray:
    """Actions (steps,E,1) of walkers: > is forward, < is back."""
    return np.array([[[way == ">"] for way in joint] for joint in zip(*ways, strict=True)], int)


def assert_idles(played: Step, slot: int, length: int) -> None:
    """Only the step that ends the slot's episode has a flag; behind it nothing happens."""
    ends = (played.terminated | played.truncated)[:, slot]
    assert np.flatnonzero(ends).tolist() == [length - 1]
    assert len(ends) > length
    assert not played.rewards[length:, slot].any()
    for shown in played.observation:
        assert (shown[length:, slot] == shown[length, slot]).all()


@pytest.mark.parametrize("key", KEYS)
def test_numbers_shapes_and_types_are_as_told(key: str) -> None:
    env = make(key, 3)
    assert env.info.numbers() == f"1 agent, {NUMBERS[key]}"
    assert env.info.reference_scores == reference_scores(key)
    start, step = env.reset(0), env.step(random_actions(env, 1)[0])
    for shown in (start, step.observation):
        assert shown.obs.shape == (3, 1, env.info.obs_shape)
        assert np.array_equal(shown.state, shown.obs[:, 0, : env.info.state_shape])
        assert shown.avail_actions.shape == (3, 1, 0 if env.info.continuous else 2)
        assert shown.avail_actions.all()
        assert [x.dtype for x in shown] == [np.float32, np.float32, bool]
    assert [x.dtype for x in step[1:5]] == [np.float32, bool, bool, bool]
    assert all(x.shape == (3,) for x in step[1:5])


@pytest.mark.parametrize("key", KEYS)
def test_same_seed_same_episodes_other_seed_others(key: str) -> None:
    env = make(key, 3)
    actions = random_actions(env, 30)
    first, other, again = (play(env, actions, seed) for seed in (3, 4, 3))
    for ours in (again, play(make(key, 3), actions, 3)):
        assert all(np.array_equal(a, b) for a, b in zip(ours[1:], first[1:], strict=True))
        assert np.array_equal(ours.observation.obs, first.observation.obs)
    starts = np.concatenate([p.observation.obs[0, :, 0] for p in (first, other)])
    assert len(np.unique(starts, axis=0)) == 6


@pytest.mark.parametrize("key", KEYS)
def test_every_step_is_that_of_the_plain_task(key: str) -> None:
    env = make(key, 3)
    actions = random_actions(env, 60)
    played = play(env, actions, 5)
    for i, seed in enumerate(np.random.SeedSequence(5).generate_state(3)):
        task, ours = gymnasium.make(key), played.observation.obs[:, i, 0]
        assert np.array_equal(ours[0], np.float32(task.reset(seed=int(seed))[0]))
        for t, action in enumerate(actions[:, i, 0]):
            obs, reward, *ends, _ = task.step(action)
            assert np.array_equal(ours[t + 1], np.float32(obs))
            assert played.rewards[t, i] == np.float32(reward)
            assert [played.terminated[t, i], played.truncated[t, i]] == ends
            if any(ends):
                break


def test_a_pole_that_falls_is_a_true_end_and_one_that_stands_is_cut() -> None:
    def push_left_push_right_balance(obs: np.ndarray) -> np.ndarray:
        return np.array([[0], [1], [obs[2, 0] @ [0.05, 0.1, 1, 1] > 0]], int)

    played = play(make("CartPole-v1", 3), push_left_push_right_balance, steps=505)
    lengths = played.rewards.sum(0).astype(int).tolist()
    assert max(lengths[:2]) < 15
    assert lengths[2] == 500
    for slot, length in enumerate(lengths):
        assert_idles(played, slot, length)
    assert played.terminated.any(0).tolist() == [True, True, False]
    assert played.truncated.any(0).tolist() == [False, False, True]


def test_pendulum_is_cut_after_200_steps_and_then_idles() -> None:
    env = make("Pendulum-v1", 3)
    played = play(env, random_actions(env, 205))
    for slot in range(3):
        assert_idles(played, slot, 200)
    assert played.truncated[199].all()
    assert (played.rewards[:200] < 0).all()


def test_a_dictionary_is_flattened_in_the_order_of_its_keys() -> None:
    obs = play(make("Corridor-v0", 2), walk(">>", "<<")).observation.obs[:, :, 0]
    assert obs[:, 0].tolist() == [[i, 3, -0.5, i, 0.5] for i in (0, 1, 2)]
    assert obs[:, 1].tolist() == [[-i, 3, -0.5, i, 0.5] for i in (0, 1, 2)]


def test_who_succeeds_wins_even_at_the_time_limit_and_who_is_cut_does_not() -> None:
    env = make("Corridor-v0", 3)
    for ways in ((">>>>>>", "<>>>>>", "<><><<"), ("<><><<", ">>>>>>", "<>>>>>")):
        played = play(env, walk(*ways))
        for slot, way in enumerate(ways):
            length, won = {">>>>>>": (3, True), "<>>>>>": (5, True), "<><><<": (5, False)}[way]
            assert_idles(played, slot, length)
            assert played.terminated[length - 1, slot] == won
            assert played.truncated[length - 1, slot] != won
            assert played.battle_won[length - 2 : length, slot].tolist() == [False, won]
            assert played.rewards[:, slot].sum() == won


def test_a_task_without_time_limit_is_cut_at_ours_and_was_won_on_the_way() -> None:
    env = make("EndlessCorridor-v0", 2)
    assert env.info.episode_limit == NO_LIMIT == 1_000
    played = play(env, walk(">>>" + "<" * 1_000, "<" * 1_003))
    for slot in (0, 1):
        assert_idles(played, slot, NO_LIMIT)
    assert played.truncated[NO_LIMIT - 1].all()
    assert played.battle_won[NO_LIMIT - 1].tolist() == [True, False]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("Zzz-v0", ": Gymnasium cannot make it: Environment `Zzz` doesn't exist."),
        ("MultiDiscrete-v0", f" takes actions of MultiDiscrete([2 3]){ONE}"),
        ("Matrix-v0", f" takes actions of Box(-1.0, 1.0, (2, 2), float32){ONE}"),
        ("Unbounded-v0", ": its actions have no bounds"),
        ("HalfBounded-v0", ": its actions have no bounds"),
        ("FromOne-v0", ": its actions begin at 1, not at 0"),
        ("FrozenLake-v1", " shows Discrete(16); a Box or a Dict of them is needed"),
    ],
)
def test_a_task_that_cannot_be_played_is_one_line(key: str, message: str, capsys: Capture) -> None:
    words = ["--config=bc_continuous", "--env-config=d4rl", "with", f"env_args.key={key}"]
    assert main.main(words) == 2
    assert tuple(capsys.readouterr()) == ("", f"ConfigError: env_args.key={key}{message}\n")


def test_reference_scores_are_found_by_the_task() -> None:
    assert reference_scores("HalfCheetah-v5") == (-280.178953, 12135.0)
    assert reference_scores("AntMaze_UMaze-v5") is None  # its score is the share of battles won
    assert reference_scores("Pendulum-v1") is None


def test_random_play_scores_0_and_the_expert_100_where_both_are_known() -> None:
    low, high = scores = (-280.178953, 12135.0)
    for returns, score in (([low], 0), ([high, high], 100), ([low, high], 50)):
        played = Evaluation(np.array(returns), *np.ones((2, len(returns))), scores)
        assert played.statistics()["normalised_score_mean"] == pytest.approx(score, abs=1e-9)
    assert "normalised_score_mean" not in Evaluation(*np.ones((3, 4))).statistics()


@needs_mujoco
@pytest.mark.filterwarnings("ignore:.*The reward is a NaN value")
def test_mujoco_leaves_no_log_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mujoco

    monkeypatch.chdir(tmp_path)
    mujoco.set_mju_user_warning(None)  # as in a fresh process: it warns of the model, then of NaN
    play(make("HalfCheetah-v5", 1), np.full((3, 1, 1, 6), np.nan, dtype=np.float32))
    assert list(tmp_path.iterdir()) == []


def test_d4rls_old_keys_are_one_line(capsys: Capture) -> None:
    words = ["--config=bc_continuous", "--env-config=d4rl", "with", "env_args.key=HalfCheetah-v2"]
    assert main.main(words) == 2
    error = capsys.readouterr().err
    assert "env_args.key=HalfCheetah-v2" in error
    assert error.count("\n") == 1


def test_antmaze_is_flat_and_reports_its_goal() -> None:
    info = GymnasiumEnv.env_info({"key": "AntMaze_UMaze-v5"})
    assert (info.obs_shape, info.n_actions) == (2 + 2 + 105, 8)
    env = GymnasiumEnv({"key": "AntMaze_UMaze-v5"}, 1)
    env.reset(seed=1)
    step = env.step(np.zeros((1, 1, 8), dtype=np.float32))
    assert step.battle_won.tolist() == [False]
    env.close()
