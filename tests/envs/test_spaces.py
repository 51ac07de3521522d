"""The spaces of unequal agents: padding, masks, agents that left, names of actions, rewards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, Tuple

from envs.base import EnvInfo
from envs.spaces import AgentSpaces, scalarisation
from utils.errors import ConfigError

SHORT, LONG = Box(-1.0, 1.0, (2,)), Box(-1.0, 1.0, (3,))
OBS = (np.array([0.5, -0.5]), np.array([0.1, 0.2, 0.3]))
F, T = False, True


@pytest.fixture
def unequal() -> AgentSpaces:
    """Two numbers and three actions; three numbers and two actions, called 4 and 5."""
    return AgentSpaces("task", [SHORT, LONG], [Discrete(3), Discrete(2, start=4)])


def test_the_longest_of_each_counts(unequal: AgentSpaces) -> None:
    assert unequal.info(9) == EnvInfo(2, 3, 3, 6, 9)
    assert unequal.info(9, state_shape=4) == EnvInfo(2, 3, 3, 4, 9)
    swapped = AgentSpaces("task", [LONG, SHORT], [Discrete(2), Discrete(3)])
    assert swapped.info(9) == unequal.info(9)


def test_observations_are_padded_with_zeros_and_make_the_state(unequal: AgentSpaces) -> None:
    obs, state, avail = unequal.observation(OBS)
    assert obs.tolist() == np.array([[0.5, -0.5, 0], OBS[1]], np.float32).tolist()
    assert state.tolist() == obs.reshape(-1).tolist()
    assert avail.tolist() == [[T, T, T], [T, T, F]]
    assert [x.dtype for x in (obs, state, avail)] == [np.float32, np.float32, bool]


def test_a_state_of_the_tasks_own_is_taken_flat(unequal: AgentSpaces) -> None:
    state = unequal.observation(OBS, state=np.array([[1.0, 2.0], [3.0, 4.0]])).state
    assert state.tolist() == [1, 2, 3, 4]
    assert state.dtype == np.float32


@pytest.mark.parametrize(
    ("masks", "shown"),
    [
        ([[0, 1, 1], [1, 0]], [[F, T, T], [T, F, F]]),
        ([[0, 1, 1], [0, 1, 1]], [[F, T, T], [F, T, F]]),  # padded, with garbage behind
        (np.array([[0, 0, 1], [0, 1, 0]]), [[F, F, T], [F, T, F]]),
        ((None, [0, 1]), [[T, T, T], [F, T, F]]),
        ([np.array([1, 0, 0], np.int8), None], [[T, F, F], [T, T, F]]),
        ((), [[T, T, T], [T, T, F]]),
    ],
)
def test_masks(unequal: AgentSpaces, masks: Any, shown: list[list[bool]]) -> None:
    assert unequal.observation(OBS, masks).avail_actions.tolist() == shown


def test_who_has_left_sees_zeros_and_can_only_take_action_0(unequal: AgentSpaces) -> None:
    obs, state, avail = unequal.observation((None, OBS[1]), [[0, 1, 1], [0, 1]])
    assert obs[0].tolist() == [0, 0, 0]
    assert obs[1].any()
    assert state.tolist() == obs.reshape(-1).tolist()
    assert avail.tolist() == [[T, F, F], [F, T, F]]


def test_nothing_is_left_of_what_was_shown_before(unequal: AgentSpaces) -> None:
    first = unequal.observation(OBS)
    kept = [x.copy() for x in first]
    unequal.observation((None, np.ones(3)), [None, [0, 1]])
    assert all(np.array_equal(a, b) for a, b in zip(first, kept, strict=True))


def test_an_agent_without_a_choice_takes_the_first_action(unequal: AgentSpaces) -> None:
    shown = unequal.observation(OBS, [None, [0, 0]])
    assert np.flatnonzero(shown.avail_actions[1]).tolist() == [0]


def test_actions_have_the_names_of_their_spaces(unequal: AgentSpaces) -> None:
    actions = unequal.actions(np.array([2, 1]))
    assert actions == [2, 5]
    assert all(type(action) is int for action in actions)  # SMAClite asks for it


@pytest.mark.parametrize(
    ("space", "own", "flat"),
    [
        (Box(0, 9, (2, 2)), np.array([[1, 2], [3, 4]]), [1, 2, 3, 4]),
        (Box(0, 255, (2,), np.uint8), np.array([255, 1], np.uint8), [255, 1]),
        (Discrete(3, start=1), 2, [0, 1, 0]),
        (MultiDiscrete([2, 3]), np.array([1, 2]), [0, 1, 0, 0, 1]),
        (Tuple([Discrete(2), Box(0, 9, (1,))]), (1, np.array([7.0])), [0, 1, 7]),
        (Dict({"b": Box(0, 9, (2,)), "a": Discrete(2)}), {"b": [5, 6], "a": 0}, [1, 0, 5, 6]),
    ],
)
def test_other_observations_are_flattened(space: Any, own: Any, flat: list[float]) -> None:
    spaces = AgentSpaces("task", [space, Box(0, 9, (1,))], [Discrete(2)] * 2)
    assert spaces.info(1).obs_shape == len(flat)
    obs = spaces.observation((own, np.array([3.0]))).obs
    assert obs.tolist() == [flat, [3] + [0] * (len(flat) - 1)]
    assert obs.dtype == np.float32


@pytest.mark.parametrize(
    ("space", "name"),
    [
        (Box(-1.0, 1.0, (2,)), "Box(-1.0, 1.0, (2,), float32)"),
        (MultiDiscrete([5, 2]), "MultiDiscrete([5 2])"),
        (MultiDiscrete(np.array([[5, 2], [3, 4]])), "MultiDiscrete([[5 2] [3 4]])"),
    ],
)
def test_other_actions_are_refused_in_one_line(space: Any, name: str) -> None:
    with pytest.raises(ConfigError) as error:
        AgentSpaces("env_args.key=Task-v0", [SHORT, SHORT], [Discrete(2), space])
    assert str(error.value) == (
        f"env_args.key=Task-v0: its agents act in {name}; Discrete is needed"
    )


def test_rewards_become_one() -> None:
    assert scalarisation("sum")([1.0, 2.0, 6.0]) == 9.0
    assert scalarisation("mean")([1.0, 2.0, 6.0]) == 3.0
    with pytest.raises(ConfigError) as error:
        scalarisation("max")
    assert str(error.value) == "env_args.reward_scalarisation=max must be sum or mean"
