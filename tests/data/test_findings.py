"""Every kind of finding, planted in a small file: what `find` says, word for word, and no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from batches import INFO, random_batch
from d4rl_files import open_flat, random_arrays, write_d4rl
from planting import (
    FIRST,
    LAST,
    LENGTHS,
    NAMED,
    Change,
    as_version_1,
    plant,
    put,
    put_avail,
    restamp,
    set_info,
    sum_returns,
    write_batch,
    write_cfcql,
    write_raw,
    write_sound,
)

from data.checks import find
from data.formats import open_source
from data.read import Episodes, RecordedEpisodes

Plant = Callable[[Path], object]
TRUE_ENDS = LAST[::2] - 1  # the last transitions of episodes that end truly
NAN = "one step on it makes every weight NaN"
DAMAGED = "the file is damaged; copy it again"
ONE_END = (
    "must end either terminated or truncated; it is not known whether its last step bootstraps"
)
STALE = "never changes within an episode, observations do: is it that of the reset?"


def lines(data: Episodes, limit: int = 10) -> list[str]:
    """All that is found."""
    return list(find(data, limit).lines())


def flags(row: int, name: str) -> Plant:
    """A byte of 2 where a flag stands."""
    return lambda path: restamp(write_raw(path, f"episodes/{name}", row, 2))


def byte_of_version_1(path: Path) -> None:
    """Availability of agent 1's action 2 in row 12 is 7; of an action nobody takes."""
    plant(path, put("steps/actions", (12, 1), 0), put_avail((12, 1), 1))
    as_version_1(path)
    at = 12 * INFO.n_agents * INFO.n_actions + INFO.n_actions + 2
    restamp(write_raw(path, "steps/avail_actions", at, 7))


def forbid_taken(path: Path) -> None:
    """Agent 2's action in row 5 becomes unavailable, another one available."""
    data = RecordedEpisodes(path)
    taken = int(data.steps["actions"][5, 2])
    plant(path, put_avail((5, 2), 1), put_avail((5, 2, taken), 0))


def fragments(path: Path) -> None:
    """Every longer episode has one of a single step before it."""
    write_sound(path, [7 if i % 2 else 1 for i in range(12)])


def merged_limits(path: Path) -> None:
    """All 20 episodes are terminated, 10 of them at the limit of 20 steps."""
    info = replace(NAMED, episode_limit=20)
    batch = random_batch(tuple(20 if i % 2 else 1 + i for i in range(20)), info=info)
    ended = batch.terminated | batch.truncated
    nothing = torch.zeros_like(ended)
    write_batch(path, replace(batch, terminated=ended, truncated=nothing), info)


def shift_starts(path: Path) -> None:
    """Every episode begins with what the one before ended with."""
    obs = RecordedEpisodes(path).steps["obs"][LAST[:-1]]
    plant(path, put("steps/obs", FIRST[1:], obs))


def never_attack(path: Path) -> None:
    """Nobody may attack, or does."""
    actions = RecordedEpisodes(path).steps["actions"][:].copy()
    actions[actions == 3] = 0
    stop = put_avail((..., 0), 1)
    plant(path, stop, put_avail((..., 3), 0), put("steps/actions", ..., actions))


def stale(field: str) -> Plant:
    """Through every episode state, or state and availability, are those of its first row."""

    def change(path: Path) -> None:
        data = RecordedEpisodes(path)
        first = np.repeat(FIRST, np.array(LENGTHS) + 1)
        changes = [put("steps/state", ..., data.steps["state"][first])]
        if field == "avail":
            avail = data.steps["avail_actions"][first]
            taken = avail.argmax(-1)
            changes += [put_avail(..., avail), put("steps/actions", ..., taken)]
        plant(path, *changes)

    return change


def copy_rows(path: Path) -> None:
    """Episode 5 becomes episode 3, whose seed and slot it has, too."""
    data = RecordedEpisodes(path)
    ours, theirs = slice(FIRST[5], LAST[5] + 1), slice(FIRST[3], LAST[3] + 1)
    names = ("obs", "state", "actions", "rewards")
    changes = [put(f"steps/{n}", ours, data.steps[n][theirs]) for n in names]
    avail = put_avail(ours, data.steps["avail_actions"][theirs])
    plant(path, *changes, avail, put("episodes/slot", 5, 3), sum_returns)


def other_action(file: Any) -> None:
    """Agent 0 begins episode 5 with another action."""
    file["steps/actions"][FIRST[5], 0] = (file["steps/actions"][FIRST[5], 0] + 1) % INFO.n_actions


def edit(*changes: Callable[[object], None]) -> Plant:
    """Changes that `plant` makes."""
    return lambda path: plant(path, *changes)


def all_cut(path: Path) -> None:
    """No terminals."""
    plant(path, put("episodes/terminated", ..., False), put("episodes/truncated", ..., True))


CASES: list[tuple[str, Plant, list[str]]] = [
    ("nothing", lambda _: None, []),
    ("nan", edit(put("steps/obs", (4, 0, 2), np.nan)),
     [f"episode 1, step 1: obs is NaN or infinite; {NAN}"]),
    ("infinite", edit(put("steps/state", (LAST[1], 0), np.inf)),
     [f"episode 1, step 7: state is NaN or infinite; {NAN}"]),
    ("nan_reward", edit(put("steps/rewards", 11, np.nan)),
     [f"episode 2, step 0: rewards is NaN or infinite; {NAN}"]),
    ("odd_end", flags(4, "battle_won"),
     [f"episode 4: battle_won is neither 0 nor 1; {DAMAGED}"]),
    ("odd_byte", byte_of_version_1,
     [f"episode 2, step 1: availability is neither 0 nor 1; {DAMAGED}"]),
    ("range", edit(put("steps/actions", (14, 2), 4)),
     ["episode 2, step 3: an action is not in 0..3; it has no Q-value and no probability"]),
    ("no_choice", edit(put_avail((6, 1), 0)),
     ["episode 1, step 3: no action is available to agent 1; a softmax over no action is NaN"]),
    ("unavailable", forbid_taken,
     ["episode 1, step 2: a taken action is marked unavailable; the policy gives it probability "
      "0, whose logarithm is infinite"]),
    ("two_ends", edit(put("episodes/truncated", 0, True)), [f"episode 0 {ONE_END}"]),
    ("no_end", edit(put("episodes/terminated", 2, False)), [f"episode 2 {ONE_END}"]),
    ("too_long", edit(set_info(episode_limit=4), put("episodes/terminated", 1, True),
                      put("episodes/truncated", 1, False)),
     [*(f"episode {i} has {LENGTHS[i]} steps, the limit is 4; two episodes may be one here, or "
        "the limit is another task's" for i in (1, 3, 5, 6, 7, 9, 11, 13, 14, 15)),
      "... and 15 more episodes above the time limit"]),
    ("spare", edit(put("steps/rewards", LAST[0], 1.0)),
     ["episode 0: row T must have reward 0; a reward behind the last transition is never learnt: "
      "are rewards off by one?"]),
    ("return", edit(put("steps/rewards", slice(FIRST[1], LAST[1]), 0.5),
                    put("episodes/return", 1, 5.0)),
     ["episode 1's rewards sum to 3.5000, its return says 5.0000; rewards were changed or lost, "
      "or only the card is wrong"]),
    ("policy", edit(put("episodes/policy", 7, 1), put("episodes/policy", 9, -1)),
     [f"episode {i} is of policy {p}, the file describes 0..0; where it comes from is not known"
      for i, p in ((7, 1), (9, -1))]),
    ("no_terminals", all_cut,
     ["no episode ends by termination, yet 20 of 40 are cut before 7 steps: were terminals "
      "dropped?; values bootstrap beyond every end"]),
    ("cut", edit(put("episodes/terminated", 2, False), put("episodes/truncated", 2, True)),
     ["episode 2 is truncated after 3 steps, others after 7; it was cut off, or its true end was "
      "lost: its last value bootstraps"]),
    ("merged", merged_limits,
     ["10 of 20 episodes end exactly at the limit of 20 steps and all are marked terminated: were "
      "time limits merged into terminals?; the value of their last step is learnt too low or too "
      "high"]),
    ("fragments", fragments,
     ["6 of 12 episodes have one step and stand between longer ones: are starts off by one?; the "
      "last transition of the episode before is learnt again, as an episode"]),
    ("shifted", shift_starts,
     ["39 of 40 episodes begin with the last observation of the one before: are starts off by "
      "one?; their first transition leads from one episode into the next"]),
    ("never", never_attack,
     ["action 3 (attack_0) is never available to any agent: is availability stale, or n_actions "
      "too large?; a policy learns nothing of it"]),
    ("stale_state", stale("state"),
     [f"the state {STALE}; critic and mixer learn from a state that is not the step's"]),
    ("stale", stale("avail"),
     [f"the state {STALE}; critic and mixer learn from a state that is not the step's",
      f"availability {STALE}; the policy is masked by what was possible at the start"]),
    ("last", edit(put("steps/rewards", TRUE_ENDS, 0), sum_returns,
                  put("episodes/battle_won", ..., False)),
     ["all 20 terminated episodes have the last reward 0, other steps are paid; was the last "
      "reward dropped? then what wins or loses is never learnt"]),
    ("unpaid", edit(put("steps/rewards", LAST[8] - 1, 0), sum_returns),
     ["episode 8 is won, but its last reward is 0; other wins are paid there: its end was cut "
      "off, or it was not won"]),
    ("repeated", copy_rows,
     ["episode 5 is episode 3 again (7 steps); it counts twice in learning and in every mean"]),
]  # fmt: skip


@pytest.mark.parametrize("rows", [5, 65_536])
@pytest.mark.parametrize(("change", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_a_planted_fault_is_all_that_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Plant, expected: list[str], rows: int
) -> None:
    path = write_sound(tmp_path / "a.h5")
    change(path)
    monkeypatch.setattr("data.read.ROWS", rows)
    assert lines(RecordedEpisodes(path)) == expected


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("rows", [5, 65_536])
def test_changed_content_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int, rows: int
) -> None:
    path = write_sound(tmp_path / "a.h5")
    if version == 1:
        as_version_1(path)
    monkeypatch.setattr("data.read.ROWS", rows)
    data = RecordedEpisodes(path)
    recorded = data.sha256
    assert lines(data) == []
    write_raw(path, "steps/state", 1, 0xAA)
    data = RecordedEpisodes(path)
    found = data.digest()
    assert lines(data) == [
        f"the file was changed after it was written: its content has sha256 {found[:12]}..., "
        f"recorded was {recorded[:12]}...; a value is not the one recorded; copy it again"
    ]


def test_of_each_kind_the_first_few_are_told(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.h5")
    plant(path, put("steps/obs", (slice(0, 8), 0), np.inf), put("episodes/policy", ..., 3))
    told = lines(RecordedEpisodes(path), limit=2)
    assert [line.partition(":")[0].partition(" is of")[0] for line in told] == [
        "episode 0, step 0", "episode 0, step 1",
        "... and 6 more numbers that are NaN or infinite",
        "episode 0", "episode 1", "... and 38 more policies that are not listed",
    ]  # fmt: skip
    assert lines(RecordedEpisodes(path), limit=0) == [
        "8 numbers that are NaN or infinite",
        "40 policies that are not listed",
    ]


def test_every_step_that_costs_until_the_end_is_no_dropped_reward(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.h5")
    rewards = np.full(LAST[-1] + 1, -1.0, np.float32)
    rewards[LAST] = rewards[TRUE_ENDS] = 0.0
    plant(path, put("steps/rewards", ..., rewards), sum_returns,
          put("episodes/battle_won", ..., False))  # fmt: skip
    assert lines(RecordedEpisodes(path)) == []


@pytest.mark.parametrize(
    "other",
    [
        [put("episodes/seed", 5, 2)],
        [put("steps/rewards", FIRST[5], 3.0), sum_returns],
        [put("steps/obs", (LAST[5], 0, 0), 3.0)],
        [put_avail((FIRST[5], 0), 1), other_action],
    ],
)
def test_what_differs_in_seed_reward_observation_or_action_is_no_copy(
    tmp_path: Path, other: list[Change]
) -> None:
    path = write_sound(tmp_path / "a.h5")
    copy_rows(path)
    plant(path, *other)
    assert lines(RecordedEpisodes(path)) == []


@pytest.mark.parametrize("alike", [False, True])
def test_where_seeds_are_not_known_a_game_that_always_begins_alike_may_repeat_itself(
    tmp_path: Path, alike: bool
) -> None:
    path = write_sound(tmp_path / "a.h5")
    copy_rows(path)
    unknown = [put(f"episodes/{name}", ..., 0) for name in ("seed", "slot")]
    plant(path, *unknown, *([put("steps/obs", FIRST, 1.0)] if alike else []))
    found = find(RecordedEpisodes(path))
    assert found.repeated.tolist() == ([] if alike else [5])


def test_short_games_may_always_last_as_long(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.h5", [7] * 40)
    plant(path, put("episodes/terminated", ..., True), put("episodes/truncated", ..., False))
    assert lines(RecordedEpisodes(path)) == []


def test_only_some_idle_action_is_never_possible(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.h5")
    never_attack(path)
    plant(path, set_info(action_names=["stop", "north", "south", "no_op"]))
    assert lines(RecordedEpisodes(path)) == []


def test_what_the_end_of_a_d4rl_file_cuts_is_no_lost_end(tmp_path: Path) -> None:
    arrays = random_arrays(450, seed=0)
    arrays["terminals"][:] = False
    arrays["timeouts"] = np.arange(450) % 200 == 199
    data = open_flat(write_d4rl(tmp_path / "a.hdf5", arrays))
    assert data.episodes["length"].tolist() == [199, 199, 49]
    assert lines(data) == []
    arrays["timeouts"][[50, 60]] = True
    told = lines(open_flat(write_d4rl(tmp_path / "b.hdf5", arrays)))
    assert told == [
        "no episode ends by termination, yet 3 of 5 are cut before 199 steps: were terminals "
        "dropped?; values bootstrap beyond every end"
    ]


def test_a_bad_number_between_the_episodes_of_a_d4rl_file_hurts_nobody(tmp_path: Path) -> None:
    arrays = random_arrays(450, seed=0)
    arrays["terminals"][:] = False
    arrays["timeouts"] = np.isin(np.arange(450), (199, 200, 400))
    arrays["observations"][200] = np.nan
    assert lines(open_flat(write_d4rl(tmp_path / "a.hdf5", arrays))) == []
    arrays["observations"][201] = np.nan
    expected = f"episode 1, step 0: obs is NaN or infinite; {NAN}"
    assert lines(open_flat(write_d4rl(tmp_path / "b.hdf5", arrays))) == [expected]


@pytest.mark.parametrize(
    ("probability", "what"), [(0.0, "all zero"), (0.3, "rows do not sum to 1"), (0.25, "")]
)
def test_the_probabilities_of_a_cfcql_file(tmp_path: Path, probability: float, what: str) -> None:
    path = write_cfcql(tmp_path / "3m_medium.h5", probability)
    told = lines(open_source(str(path), key="3m"))
    assert told == [
        f"its behaviour probabilities (probs) are {what}; no importance weight can be made of "
        "them; nothing here uses them"
    ] * bool(what)
