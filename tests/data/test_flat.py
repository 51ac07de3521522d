"""D4RL's files: each transition by hand and by slow loop, each fault in one line, any size."""

from __future__ import annotations

import mmap
import time
from importlib.util import find_spec
from pathlib import Path
from timeit import repeat
from typing import Any

import h5py
import numpy as np
import psutil
import pytest
import torch
from d4rl_files import (
    cut_off,
    open_flat,
    pendulum_arrays,
    random_arrays,
    slow_transitions,
    write_d4rl,
    write_large,
)
from recordings import Capture

import main
from components.offline_buffer import OfflineTransitions
from data.check import check_episodes
from data.formats.d4rl import ARRAYS

HAVE = "a D4RL file has observations, actions, rewards, terminals and timeouts"
BAD = "is NaN or infinite"
STEPS_BY_HAND = [0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12]  # not 6, 7 and 13: nothing follows them


def map_below(array: np.ndarray) -> mmap.mmap | None:
    """The memory map that an array is a view of, if it is one."""
    view: Any = array
    while isinstance(view, np.ndarray):
        view = view.base
    below = view.obj if isinstance(view, memoryview) else view
    return below if isinstance(below, mmap.mmap) else None


def test_lengths_returns_and_ends_by_hand(tmp_path: Path) -> None:
    data = open_flat(write_d4rl(tmp_path / "a.hdf5"))
    assert (len(data), data.n_transitions) == (5, 11)
    assert data.first_rows.tolist() == [0, 3, 8, 9, 11]
    assert data.last_rows.tolist() == [2, 6, 8, 10, 13]
    facts = data.episodes
    assert facts["length"].tolist() == [3, 3, 1, 2, 2]
    assert facts["return"].tolist() == [1 + 2 + 4, 8 + 16 + 32, 256, 512 + 1024, 2048 + 4096]
    assert facts["terminated"].tolist() == [True, False, True, True, False]
    assert facts["truncated"].tolist() == [False, True, False, False, True]


def test_a_true_end_keeps_every_step(tmp_path: Path) -> None:
    batch = open_flat(write_d4rl(tmp_path / "a.hdf5")).read(np.array([0]))
    assert batch.obs[0, :, 0].tolist() == [[i, i + 0.25, i + 0.5] for i in (0, 1, 2, 2)]
    assert batch.rewards.tolist() == [[1, 2, 4]]
    assert batch.terminated.tolist() == [[False, False, True]]
    assert not batch.truncated.any()


@pytest.mark.parametrize(("episode", "rows"), [(1, [3, 4, 5, 6]), (4, [11, 12, 13])])
def test_the_last_row_of_a_cut_episode_only_supplies_what_follows(
    tmp_path: Path, episode: int, rows: list[int]
) -> None:
    batch = open_flat(write_d4rl(tmp_path / "a.hdf5")).read(np.array([episode]))
    assert batch.obs[0, :, 0, 0].tolist() == rows
    assert batch.actions[0, :, 0, 0].tolist() == [row / 8 for row in rows]
    assert batch.rewards[0].tolist() == [2.0**row for row in rows[:-1]]
    assert batch.truncated[0].tolist() == [False] * (len(rows) - 2) + [True]
    assert not batch.terminated.any()


@pytest.mark.parametrize("seed", range(6))
def test_transitions_are_exactly_the_recorded_rows(tmp_path: Path, seed: int) -> None:
    arrays = random_arrays(80, seed)
    data = open_flat(write_d4rl(tmp_path / "a.hdf5", arrays))
    expected = slow_transitions(arrays)
    assert data.n_transitions == len(expected)
    batch = data.read_transitions(np.arange(len(expected)))
    for i, (row, following, terminated, truncated) in enumerate(expected):
        for t, at in enumerate((row, following)):
            assert np.array_equal(batch.obs[i, t, 0], arrays["observations"][at])
            assert np.array_equal(batch.actions[i, t, 0], arrays["actions"][at])
        assert batch.rewards[i, 0] == arrays["rewards"][row]
        assert (batch.terminated[i, 0], batch.truncated[i, 0]) == (terminated, truncated)


@pytest.mark.parametrize("seed", range(6))
def test_episodes_are_the_same_transitions_one_after_the_other(tmp_path: Path, seed: int) -> None:
    arrays = random_arrays(80, seed)
    data = open_flat(write_d4rl(tmp_path / "a.hdf5", arrays))
    batch, left = data.read(np.arange(len(data))), slow_transitions(arrays)
    for i, length in enumerate(batch.lengths.tolist()):
        own, left = left[:length], left[length:]
        rows = [step[0] for step in own]
        for ours, name in ((batch.obs, "observations"), (batch.actions, "actions")):
            assert np.array_equal(ours[i, : length + 1, 0], arrays[name][[*rows, own[-1][1]]])
        assert np.array_equal(batch.rewards[i, :length], arrays["rewards"][rows])
        assert batch.terminated[i, :length].tolist() == [step[2] for step in own]
        assert batch.truncated[i, :length].tolist() == [step[3] for step in own]
        assert not batch.rewards[i, length:].any()
        assert data.episodes["return"][i] == pytest.approx(float(batch.returns[i]), abs=1e-5)
    assert left == []


def test_every_transition_is_drawn_and_nothing_else(tmp_path: Path) -> None:
    buffer = OfflineTransitions(open_flat(write_d4rl(tmp_path / "a.hdf5")), 256, seed=0)
    assert sorted(set(buffer.sample().obs[:, 0, 0, 0].tolist())) == STEPS_BY_HAND


def test_a_contiguous_file_is_mapped_and_a_packed_one_reads_the_same(tmp_path: Path) -> None:
    mapped = open_flat(write_d4rl(tmp_path / "mapped.hdf5"))
    packed = open_flat(write_d4rl(tmp_path / "packed.hdf5", compression="gzip", chunks=True))
    for name in ("obs", "actions", "rewards"):
        assert map_below(mapped.steps[name]) is not None, name
        assert map_below(packed.steps[name]) is None
    ours, theirs = (data.read(np.arange(5)).tensors() for data in (mapped, packed))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert mapped.sha256 == packed.sha256 != ""


@pytest.mark.parametrize("dtype", ["float64", ">f4", "float16"])
def test_numbers_of_any_type_come_out_as_float32(tmp_path: Path, dtype: str) -> None:
    numbers = {name: pendulum_arrays()[name].astype(dtype) for name in ARRAYS[:3]}
    numbers["observations"][5] += np.asarray(1 / 3, dtype)
    batch = open_flat(write_d4rl(tmp_path / "a.hdf5", replace=numbers)).read(np.array([1]))
    assert {batch.obs.dtype, batch.actions.dtype, batch.rewards.dtype} == {torch.float32}
    assert np.array_equal(batch.obs[0, :, 0], numbers["observations"][3:7].astype(np.float32))


def test_columns_of_width_one_are_taken_for_rows(tmp_path: Path) -> None:
    wide = {name: pendulum_arrays()[name][:, None] for name in ("rewards", "terminals", "timeouts")}
    data = open_flat(write_d4rl(tmp_path / "wide.hdf5", replace=wide))
    flat = open_flat(write_d4rl(tmp_path / "flat.hdf5"))
    ours, theirs = (d.read_transitions(np.arange(11)).tensors() for d in (data, flat))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_without_timeouts_terminals_alone_end_episodes(tmp_path: Path) -> None:
    facts = open_flat(write_d4rl(tmp_path / "a.hdf5", drop=["timeouts"])).episodes
    assert facts["length"].tolist() == [3, 6, 2, 2]
    assert facts["terminated"].tolist() == [True, True, True, False]


def test_discrete_actions_come_with_a_state(tmp_path: Path) -> None:
    shown, taken = np.arange(56.0).reshape(14, 4), np.arange(14) % 2
    path = write_d4rl(tmp_path / "a.hdf5", replace={"observations": shown, "actions": taken})
    data = open_flat(path, "CartPole-v1", "bc")
    check_episodes(data)
    batch = data.read(np.array([1]))
    assert batch.actions[0, :, 0].tolist() == [1, 0, 1, 0]
    assert batch.actions.dtype == torch.int64
    assert np.array_equal(batch.state[0], shown[3:7])
    assert np.array_equal(batch.obs[0, :, 0], shown[3:7])
    assert batch.avail_actions.shape == (1, 4, 1, 2)
    assert batch.avail_actions.all()


def refuse(path: Path, capsys: Capture, key: str = "Pendulum-v1") -> str:
    """The one line that a run on the file ends with; nothing has been left behind."""
    results = path.parent / "results"
    words = ["--config=bc_continuous", "--env-config=d4rl", "with", "t_max=1", "test_nepisode=0"]
    words += [f"env_args.key={key}", f"dataset={path}", f"local_results_path={results}"]
    assert main.main(words) == 2
    out, error = capsys.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    assert not results.exists()
    return error[:-1]


def test_without_timeouts_episodes_are_cut_at_the_limit(tmp_path: Path) -> None:
    arrays = random_arrays(450, seed=0)
    arrays["terminals"] = np.arange(450) == 249
    arrays.pop("timeouts")
    data = open_flat(write_d4rl(tmp_path / "a.hdf5", arrays))  # Pendulum's limit is 200
    assert data.first_rows.tolist() == [0, 200, 250]
    assert data.episodes["length"].tolist() == [199, 50, 199]
    assert data.episodes["terminated"].tolist() == [False, True, False]
    assert data.metadata.made_with["timeouts"] == "not in the file; cut at the task's time limit"


def test_without_timeouts_and_terminals_episodes_are_cut_at_the_limit(tmp_path: Path) -> None:
    arrays = random_arrays(450, seed=0)
    arrays["terminals"][:] = False
    data = open_flat(write_d4rl(tmp_path / "a.hdf5", arrays, drop=["timeouts"]))
    assert data.first_rows.tolist() == [0, 200, 400]
    assert data.episodes["length"].tolist() == [199, 199, 49]
    assert data.episodes["truncated"].all()
    whole = open_flat(write_d4rl(tmp_path / "b.hdf5", random_arrays(450, seed=0)))
    assert "timeouts" not in whole.metadata.made_with


FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("one_key", {"drop": ["actions"]}, f" lacks actions; {HAVE}"),
    ("keys", {"drop": ["terminals", "observations"]}, f" lacks observations, terminals; {HAVE}"),
    ("all_keys", {"drop": ARRAYS},
     " is HDF5, but not a file of recorded episodes (format=icq-episodes)"),
    ("ragged", {"replace": {"rewards": np.zeros(13)}},
     " is ragged, its arrays have different numbers of rows: observations 14, actions 14, "
     "rewards 13, terminals 14, timeouts 14"),
    ("nan", {"spoil": {"observations": (9, np.nan)}}, f": episode 3, step 0: obs {BAD}"),
    ("last_row", {"spoil": {"observations": (6, np.nan)}}, f": episode 1, step 3: obs {BAD}"),
    ("infinite", {"spoil": {"rewards": (4, np.inf)}}, f": episode 1, step 1: rewards {BAD}"),
    ("nan_action", {"spoil": {"actions": (8, np.nan)}}, f": episode 2, step 0: actions {BAD}"),
    ("bounds", {"spoil": {"actions": (12, -2.5)}},
     ": episode 4, step 1: the action [[-2.5]] is outside the bounds (-2.0,) to (2.0,)"),
    ("no_end", {"replace": {"terminals": np.zeros(14, bool), "timeouts": np.zeros(14, bool)}},
     " has no terminal and no timeout anywhere: where its episodes end is not known; add timeouts "
     "at the time limit"),
    ("obs_width", {"replace": {"observations": np.zeros((14, 4))}},
     ": observations has the shape (14, 4), Pendulum-v1 needs (14, 3)"),
    ("action_width", {"replace": {"actions": np.zeros(14)}},
     ": actions has the shape (14,), Pendulum-v1 needs (14, 1)"),
    ("pay", {"replace": {"rewards": np.eye(14)}},
     ": rewards has the shape (14, 14), Pendulum-v1 needs (14,)"),
    ("bytes", {"replace": {"actions": np.full((14, 1), b"a")}},
     ": actions holds |S1, not numbers of up to 64 bits"),
    ("text", {"replace": {"rewards": np.full(14, "much", dtype=h5py.string_dtype())}},
     ": rewards holds object, not numbers of up to 64 bits"),
    ("alone", {"replace": {"terminals": np.zeros(14), "timeouts": np.ones(14)}},
     " holds no transition"),
    ("scalar", {"replace": {"observations": np.float64(1)}},
     ": observations is no array with rows"),
    ("scalar_pay", {"replace": {"rewards": np.float64(1)}}, ": rewards is no array with rows"),
    ("nothing", {"replace": {"actions": h5py.Empty("f4")}}, ": actions is no array with rows"),
    ("nan_end", {"replace": {"terminals": np.arange(14) * 0.25}},
     ": terminals has values other than 0 and 1"),
    ("huge", {"replace": {"rewards": np.full(14, 1e300)}}, f": episode 0, step 0: rewards {BAD}"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "message"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
def test_a_fault_is_one_line(
    tmp_path: Path, capsys: Capture, wrong: dict[str, Any], message: str
) -> None:
    path = write_d4rl(tmp_path / "a.hdf5", **wrong)
    assert refuse(path, capsys) == f"DataError: {path}{message}"


def test_a_row_between_the_episodes_may_hold_anything(tmp_path: Path) -> None:
    data = open_flat(write_d4rl(tmp_path / "a.hdf5", spoil={"observations": (7, np.nan)}))
    check_episodes(data)
    assert not any(data.read(np.array([i])).obs.isnan().any() for i in range(len(data)))


def test_a_file_of_another_task_shows_both_widths(tmp_path: Path, capsys: Capture) -> None:
    path = write_d4rl(tmp_path / "a.hdf5")
    assert refuse(path, capsys, "MountainCarContinuous-v0") == (
        f"DataError: {path}: observations has the shape (14, 3), "
        "MountainCarContinuous-v0 needs (14, 2)"
    )


@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
def test_a_copy_that_was_cut_off_is_one_line(tmp_path: Path, capsys: Capture, share: float) -> None:
    path = write_d4rl(tmp_path / "a.hdf5")
    cut_off(path, share)
    message = f"DataError: {path} is truncated or damaged; record or copy it again"
    assert refuse(path, capsys) == message


def own_memory() -> int:
    """Bytes of this process's own; pages of a mapped file, which the system may drop, are none."""
    memory = psutil.Process().memory_info()
    return memory.rss - memory.shared


@pytest.mark.skipif(find_spec("mujoco") is None, reason="needs the extra d4rl")
def test_the_cost_does_not_depend_on_the_size(tmp_path: Path) -> None:
    large = write_large(tmp_path / "large.hdf5", 2_000_000, obs_shape=17, n_actions=6)
    small = open_flat(write_large(tmp_path / "small.hdf5", 2_000, 17, 6), "HalfCheetah-v5")
    memory, start = own_memory(), time.monotonic()
    data = open_flat(large, "HalfCheetah-v5")
    assert time.monotonic() - start < 5
    draws = [OfflineTransitions(d, 256, seed=0).sample for d in (small, data)]
    quickest = [min(repeat(draw, number=1, repeat=100)) for draw in draws]
    assert quickest[1] < 30 * quickest[0]
    assert own_memory() - memory < 60e6
    assert data.n_transitions == 2_000_000 - 2_000
