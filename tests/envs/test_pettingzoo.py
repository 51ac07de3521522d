"""PettingZoo's parallel tasks: unequal agents, agents that leave, masks, mistakes."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
from episodes import assert_promises, ends, play, task_args
from gymnasium.spaces import Box, Dict, Discrete
from pettingzoo import ParallelEnv

from envs.pettingzoo import PettingZooEnv
from utils.errors import ConfigError, NotInstalledError

F, T = False, True


class Crew(ParallelEnv):
    """Three agents: the lookout sees one number, cook and mate two; who takes action 2 leaves.

    The cook's actions are called 1 to 4, the others have three. `cut`: whose leaving is called
    truncated. `mask`: where masks are, in the info or in the observation.
    """

    metadata: ClassVar = {"name": "crew"}
    possible_agents = ("lookout", "cook", "mate")

    def __init__(
        self,
        mask: str = "",
        cut: tuple[str, ...] = (),
        patience: int = 99,
        continuous: bool = False,
    ) -> None:
        self._mask, self._cut, self._patience, self._continuous = mask, cut, patience, continuous
        self.agents: list[str] = []
        self._start, self._time = 0.0, 0
        self.closed = False

    def observation_space(self, agent: str) -> Any:
        own = Box(-9, 9, (1 if agent == "lookout" else 2,))
        if self._mask != "observation":
            return own
        return Dict({"observation": own, "action_mask": Box(0, 1, (self._count(agent),), np.int8)})

    def action_space(self, agent: str) -> Any:
        if self._continuous:
            return Box(-1.0, 1.0, (2,))
        return Discrete(4, start=1) if agent == "cook" else Discrete(3)

    def reset(self, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        self._start, self._time = float(np.random.default_rng(seed).random()), 0
        self.agents = list(self.possible_agents)
        return self._show(self.agents), self._infos(self.agents, F)

    def step(self, actions: dict[str, int]) -> tuple[Any, ...]:
        """Everyone earns its action; all that is told is of those that were there."""
        assert list(actions) == self.agents
        there, self._time = self.agents, self._time + 1
        rewards = {agent: float(action) for agent, action in actions.items()}
        left = {agent: action - (agent == "cook") == 2 for agent, action in actions.items()}
        late = self._time >= self._patience
        terminated = {agent: left[agent] and agent not in self._cut for agent in there}
        truncated = {a: (late or left[a]) and not terminated[a] for a in there}
        self.agents = [agent for agent in there if not (terminated[agent] or truncated[agent])]
        infos = self._infos(there, not self.agents)
        return self._show(self.agents), rewards, terminated, truncated, infos

    def close(self) -> None:
        self.closed = True

    def _count(self, agent: str) -> int:
        return 4 if agent == "cook" else 3

    def _mask_of(self, agent: str) -> np.ndarray:
        return np.array([1, self._time % 2, 1, 1][: self._count(agent)], np.int8)

    def _show(self, agents: list[str]) -> dict[str, Any]:
        own = {"lookout": [7], "cook": [self._start, self._time], "mate": [5, self._time]}
        if self._mask != "observation":
            return {agent: np.array(own[agent]) for agent in agents}
        return {
            a: {"observation": np.array(own[a]), "action_mask": self._mask_of(a)} for a in agents
        }

    def _infos(self, agents: list[str], over: bool) -> dict[str, Any]:
        masks = {
            a: {"action_mask": self._mask_of(a)} if self._mask == "info" else {} for a in agents
        }
        return {
            a: m | ({"battle_won": True} if over and a == "mate" else {}) for a, m in masks.items()
        }


parallel_env = Crew  # this module is the task
STAY = [0, 0, 0]


def make(
    key: str = __name__, slots: int = 1, limit: int = 6, scalar: str = "sum", **kwargs: Any
) -> PettingZooEnv:
    return PettingZooEnv(task_args(key, limit, scalar, kwargs), slots)


def test_numbers_are_the_largest_of_the_agents() -> None:
    for mask in ("", "info", "observation"):
        info = PettingZooEnv.env_info(task_args(__name__, 9, "sum", {"mask": mask}))
        assert info.numbers() == "3 agents, 4 actions, obs 2, state 6, limit 9"


@pytest.mark.parametrize("mask", ["", "info", "observation"])
def test_the_promises_are_kept(mask: str) -> None:
    assert_promises(lambda n: make(slots=n, limit=8, mask=mask), 12)


def test_what_is_shown_is_padded_and_makes_the_state() -> None:
    obs, state, avail = play(make(), [STAY]).observation
    start = obs[0, 0, 1, 0]
    assert 0 < start < 1
    assert obs[:, 0].tolist() == [[[7, 0], [start, t], [5, t]] for t in (0, 1)]
    assert state.tolist() == obs.reshape(2, 1, 6).tolist()
    assert avail[:, 0].tolist() == [[[T, T, T, F], [T, T, T, T], [T, T, T, F]]] * 2


@pytest.mark.parametrize("mask", ["info", "observation"])
def test_masks(mask: str) -> None:
    shown = play(make(mask=mask), [STAY] * 2).observation
    assert shown.obs[1, 0, [0, 2]].tolist() == [[7, 0], [5, 1]]
    even, odd = (
        [[T, m, T, F], [T, m, T, T], [T, m, T, F]] for m in (F, T)
    )  # fmt: skip
    assert shown.avail_actions[:, 0].tolist() == [even, odd, even]


@pytest.mark.parametrize("mask", ["", "info", "observation"])
def test_who_has_left_is_shown_nothing_and_not_played(mask: str) -> None:
    played = play(make(mask=mask), [[0, 2, 0], [0, 0, 0], [2, 3, 1], [1, 1, 2]])
    obs, _, avail = played.observation
    gone = [False, True, True, True, True], [False, False, False, True, True]
    for agent, flags in ((1, gone[0]), (0, gone[1])):
        for t, left in enumerate(flags):
            assert obs[t, 0, agent].any() != left
            assert (avail[t, 0, agent].tolist() == [T, F, F, F]) == left
    assert played.rewards[:, 0].tolist() == [3, 0, 3, 2]  # the cook's 2 is called 3
    assert ends(played) == [(4, "end")]
    assert obs[4, 0].tolist() == [[0, 0]] * 3


def test_rewards_are_averaged_over_those_who_play() -> None:
    played = play(make(scalar="mean"), [[1, 2, 0], [0, 3, 1], [2, 3, 2]])
    assert played.rewards[:, 0].tolist() == np.array([4 / 3, 0.5, 2], np.float32).tolist()


@pytest.mark.parametrize(
    ("cut", "limit", "how"),
    [
        ((), 9, (3, "end")),
        (("cook",), 9, (3, "end")),  # it left before the others, whose end is a true one
        (("mate",), 9, (3, "limit")),
        (("lookout", "cook", "mate"), 9, (3, "limit")),
        ((), 2, (2, "limit")),
        ((), 3, (3, "end")),
        (("mate",), 3, (3, "limit")),
    ],
)
def test_ends_and_limits(cut: tuple[str, ...], limit: int, how: tuple[int, str]) -> None:
    ways = [[0, 2, 0], STAY, [2, 0, 2], STAY]
    played = play(make(limit=limit, cut=cut), ways)
    assert ends(played) == [how]
    assert played.battle_won[:, 0].tolist() == [F, F, how[0] == 3, F]


def test_a_limit_of_the_tasks_own_is_a_limit() -> None:
    assert ends(play(make(limit=9), [STAY] * 5)) == [(5, "runs")]
    assert ends(play(make(limit=9, patience=4), [STAY] * 5)) == [(4, "limit")]


def test_slots_idle_and_time_begins_anew() -> None:
    env = make(slots=2, limit=4)
    for _ in range(2):
        played = play(env, [[0, 0, 1], [2, 2, 2], STAY, STAY, STAY], [[1, 0, 0]] * 5)
        assert ends(played) == [(2, "end"), (4, "limit")]
        assert played.observation.obs[4:, 1, 2].tolist() == [[5, 4]] * 2
        assert played.rewards.T.tolist() == [[2, 7, 0, 0, 0], [2, 2, 2, 2, 0]]


def test_the_task_is_closed() -> None:
    env = make(slots=2)
    env.close()
    assert [game._task.closed for game in env._games] == [True, True]  # pyright: ignore


def mistakes() -> dict[str, tuple[dict[str, Any], type[Exception], str]]:
    return {
        "scalarisation": (
            {"scalar": "max"}, ConfigError, "env_args.reward_scalarisation=max must be sum or mean",
        ),
        "continuous": (
            {"continuous": True}, ConfigError,
            f"env_args.key={__name__}: its agents act in Box(-1.0, 1.0, (2,), float32); Discrete "
            "is needed",
        ),
        "argument": (
            {"nonsense": 1}, ConfigError,
            f"env_args.key={__name__} cannot be made: TypeError: Crew.__init__() got an unexpected "
            "keyword argument 'nonsense'; see env_args.kwargs",
        ),
        "no task": (
            {"key": "json"}, ConfigError,
            "env_args.key=json is none of PettingZoo's parallel tasks (parallel_env)",
        ),
        "no such task": (
            {"key": "json.tools"}, ConfigError,
            "env_args.key=json.tools: json has no such task; did you mean json.tool?",
        ),
        "no package": (
            {"key": "no_such_package.task_v0"}, NotInstalledError,
            "env_args.key=no_such_package.task_v0: there is no module no_such_package here; the "
            "extra pettingzoo brings some (pip install -c constraints.txt -e '.[pettingzoo]'), "
            "others are packages of their own",
        ),
        "a limit of its own": (
            {"max_cycles": 3}, ConfigError,
            "env_args.kwargs: max_cycles is given as env_args.time_limit",
        ),
        "no time": ({"limit": 0}, ConfigError, "env_args.time_limit=0 must be 1 or more"),
        "no name": ({"key": "..x"}, ConfigError, "env_args.key=..x names no module"),
    }  # fmt: skip


@pytest.mark.parametrize("mistake", mistakes())
def test_a_mistake_is_one_line(mistake: str) -> None:
    kwargs, kind, message = mistakes()[mistake]
    with pytest.raises(kind) as error:
        make(**kwargs)
    assert (type(error.value), str(error.value)) == (kind, message)


def test_a_package_that_the_task_lacks_is_missing(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needy.py").write_text("import no_such_package\n")
    (tmp_path / "moved.py").write_text("raise ImportError('it is in\\n another package')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(NotInstalledError, match=r"^env_args.key=needy: there is no module no_such"):
        PettingZooEnv.check_installed({"key": "needy"})
    with pytest.raises(NotInstalledError, match=r"^env_args.key=moved: it is in another package$"):
        PettingZooEnv.check_installed({"key": "moved"})
    PettingZooEnv.check_installed({"key": __name__})


def test_versions_name_the_tasks_package() -> None:
    assert list(PettingZooEnv.versions({"key": "mpe2.simple_tag_v3"})) == ["pettingzoo", "mpe2"]
