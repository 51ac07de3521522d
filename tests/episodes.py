"""Episodes of any environment, stepped by hand, and the promises that each of them keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from envs.base import Observation, Step, VectorEnv


def play(env: VectorEnv, *ways: list[list[int]], seed: int = 0) -> Step:
    """ways: for each slot its joint actions -> all shown (T+1,E,...) and brought (T,E)."""
    shown, brought = [env.reset(seed)], []
    for joint in np.array(ways).swapaxes(0, 1):
        observation, *rest = env.step(joint)
        shown.append(observation)
        brought.append(rest)
    return _stack(shown, brought)


def play_randomly(env: VectorEnv, steps: int, seed: int = 0) -> Step:
    """As `play`, of available actions that the same seed draws the same."""
    rng, shown, brought = np.random.default_rng(seed), [env.reset(seed)], []
    for _ in range(steps):
        avail = shown[-1].avail_actions
        observation, *rest = env.step((rng.random(avail.shape) * avail).argmax(-1))
        shown.append(observation)
        brought.append(rest)
    return _stack(shown, brought)


def ends(played: Step) -> list[tuple[int, str]]:
    """Of each slot: its episode's length, and `end`, `limit` or `runs`; none has two ends."""
    found = []
    for terminated, truncated in zip(played.terminated.T, played.truncated.T, strict=True):
        at = np.flatnonzero(terminated | truncated).tolist()
        assert len(at) <= 1
        assert not (terminated & truncated).any()
        how = "runs" if not at else "end" if terminated[at[0]] else "limit"
        found.append((at[0] + 1 if at else len(terminated), how))
    return found


def assert_promises(make: Callable[[int], VectorEnv], steps: int) -> Step:
    """Shapes and types, idling, chance from the seed alone -> what was played in three slots."""
    env = make(3)
    played = play_randomly(env, steps, seed=3)
    info, n = env.info, (steps, 3)
    shapes = [(info.n_agents, info.obs_shape), (info.state_shape,)]
    shapes.append((info.n_agents, info.n_actions))
    assert [x.shape for x in played.observation] == [(steps + 1, 3, *shape) for shape in shapes]
    assert [x.dtype for x in played.observation] == [np.float32, np.float32, bool]
    assert [x.shape for x in played[1:5]] == [n] * 4
    assert [x.dtype for x in played[1:5]] == [np.float32, bool, bool, bool]
    assert played.observation.avail_actions.any(-1).all()
    for slot, (length, _) in enumerate(ends(played)):
        assert not played.rewards[length:, slot].any()
        assert not played.battle_won[length:, slot].any()
        for shown in played.observation:
            assert (shown[length:, slot] == shown[length, slot]).all()
    other = play_randomly(env, steps, seed=4)
    assert not same(other, played)
    assert same(play_randomly(env, steps, seed=3), played)
    assert same(play_randomly(make(3), steps, seed=3), played)
    env.close()
    return played


def same(a: Step, b: Step) -> bool:
    """Whether two plays are the same to the bit."""
    pairs = zip((*a.observation, *a[1:5]), (*b.observation, *b[1:5]), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


def _stack(shown: list[Observation], brought: list[list[np.ndarray]]) -> Step:
    parts = [[np.stack(c) for c in zip(*part, strict=True)] for part in (shown, brought)]
    return Step(Observation(*parts[0]), *parts[1])


def task_args(
    key: str, time_limit: int, scalar: str = "sum", kwargs: dict[str, Any] | None = None
) -> dict[str, Any]:
    """env_args of gymma or pettingzoo."""
    own = kwargs or {}
    return {
        "key": key, "time_limit": time_limit, "reward_scalarisation": scalar, "kwargs": own
    }  # fmt: skip
