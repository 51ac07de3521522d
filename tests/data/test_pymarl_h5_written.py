"""Writing the files of PyMARL's family: there and back, what their loaders need, all or nothing."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from batches import INFO, LENGTHS, random_batch
from pymarl_files import two_step_arrays, write_arrays
from recordings import Capture, refuse

import dataset
import main
from data.formats import REGISTRY, open_source
from data.read import Episodes, RecordedEpisodes
from data.schema import Metadata
from data.write import EpisodeWriter
from envs.base import EnvInfo
from utils.paths import ROOT

NAMES = {"icq": "2s3z.h5", "cfcql": "2s3z_poor.h5", "offpymarl": "smaclite/2s3z/poor/1"}
LOST = (
    "not in it: which battles were won; which policy played what, seeds and slots; environment, "
    "provenance and licence\n"
)
TYPES = {
    "state": np.float32, "obs": np.float32, "actions": np.int64, "avail_actions": np.int32,
    "reward": np.float32, "terminated": np.uint8, "filled": np.int64,
    "actions_onehot": np.float32,
}  # fmt: skip


def ours(path: Path, lengths: tuple[int, ...] = LENGTHS, info: EnvInfo = INFO) -> Episodes:
    """A file of random episodes, true ends and time limits by turns, some before the limit."""
    batch = random_batch(lengths, info=info)
    metadata = Metadata("smaclite", {"map_name": "2s3z"}, info, "poor", [{"algorithm": "qmix"}])
    with EpisodeWriter(path, metadata) as writer:
        writer.append(batch, np.zeros(len(lengths), dtype=bool), 0, 0)
    return RecordedEpisodes(path)


def assert_same(a: Episodes, b: Episodes) -> None:
    """Every field of every episode, its ends and length."""
    for name in ("length", "terminated", "truncated"):
        assert np.array_equal(a.episodes[name], b.episodes[name])
    assert np.allclose(a.episodes["return"], b.episodes["return"], rtol=1e-5, atol=1e-6)
    index = np.arange(len(a))
    theirs = b.read(index).tensors()
    for name, tensor in a.read(index).tensors().items():
        assert torch.equal(tensor, theirs[name]), name


@pytest.mark.parametrize("name", NAMES)
def test_there_and_back_nothing_changes(name: str, tmp_path: Path, capsys: Capture) -> None:
    original = ours(tmp_path / "ours.h5")
    there, back = tmp_path / NAMES[name], tmp_path / "back.h5"
    flags = ["--env-config=smaclite", "--key=2s3z"]
    assert dataset.main(["convert", str(original.path), str(there), f"--to={name}"]) == 0
    assert capsys.readouterr().out == f"wrote {there}: 4 episodes\n{LOST}"
    assert dataset.main(["convert", str(there), str(back), *flags]) == 0
    assert_same(original, RecordedEpisodes(back))
    for stream in (False, True):
        data = open_source(str(there), env_config="smaclite", key="2s3z", stream=stream)
        assert_same(original, data)
    assert data.info == original.info
    assert data.metadata.quality == ("unknown" if name == "icq" else "poor")
    assert data.metadata.made_with["format"] == REGISTRY[name].what
    assert data.metadata.made_with["cut_short"] == 2
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"ours.h5", "back.h5", NAMES[name].split("/")[0]}


@pytest.mark.parametrize("name", NAMES)
def test_the_arrays_are_as_their_programs_have_them(name: str, tmp_path: Path) -> None:
    original, there = ours(tmp_path / "ours.h5"), tmp_path / "there"
    REGISTRY[name].write(original, str(there))
    keys = TYPES.keys() - ({"actions_onehot"} if name == "cfcql" else set())
    batch, time = original.read(np.arange(4)), INFO.episode_limit + 1
    rows = np.arange(time) <= np.array(LENGTHS)[:, None]
    with h5py.File(there / "part_0.h5" if there.is_dir() else there) as file:
        assert set(file) == keys
        found = {key: np.array(file[key]) for key in keys}
        layouts = {(d.compression, d.maxshape[0] is None) for d in map(file.get, keys)}  # pyright: ignore
    assert layouts == {
        "icq": {(None, False)}, "cfcql": {(None, True)}, "offpymarl": {("gzip", False)}
    }[name]  # fmt: skip
    assert {key: values.dtype for key, values in found.items()} == {k: TYPES[k] for k in keys}
    assert found["filled"].shape == found["reward"].shape == (4, time, 1)
    assert np.array_equal(found["filled"][..., 0], rows)
    for values in found.values():
        assert not values[~rows].any()
    assert np.array_equal(found["obs"][rows], batch.obs[torch.from_numpy(rows)])
    assert found["actions"].shape == (4, time, INFO.n_agents, 1)
    if "actions_onehot" in found:
        onehot = found["actions_onehot"][rows]
        assert (onehot.sum(-1) == 1).all()
        assert np.array_equal(onehot.argmax(-1), found["actions"][rows][..., 0])
    ends = [(i, length - 1) for i, length in enumerate(LENGTHS) if i % 2 == 0]
    assert np.argwhere(found["terminated"][..., 0]).tolist() == [list(end) for end in ends]
    mask = np.arange(INFO.episode_limit) < np.array(LENGTHS)[:, None]
    assert np.array_equal(found["reward"][:, :-1, 0], batch.rewards.numpy() * mask)


def test_offpymarls_parts_have_at_most_2000_episodes(tmp_path: Path) -> None:
    small = EnvInfo(1, 2, obs_shape=1, state_shape=1, episode_limit=1)
    original = ours(tmp_path / "ours.h5", (1,) * 4001, small)
    there = tmp_path / "3m" / "poor" / "1"
    REGISTRY["offpymarl"].write(original, str(there))
    sizes = {}
    for path in there.iterdir():
        with h5py.File(path) as file:
            sizes[path.name] = len(file["obs"])  # pyright: ignore[reportArgumentType]
    assert sizes == {"part_0.h5": 2000, "part_1.h5": 2000, "part_2.h5": 1}
    assert_same(original, open_source(str(there), env_config="smaclite", key="2s3z"))


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path, capsys: Capture) -> None:
    pendulum = ROOT / "offline_data" / "gymnasium" / "Pendulum-v1" / "medium-replay.h5"
    out, there = tmp_path / "out", tmp_path / "there.h5"
    code, error = refuse(capsys, "convert", str(pendulum), str(out), "--to=icq")
    assert (code, error) == (
        2, f"DataError: {out}: the official ICQ's HDF5 is of discrete actions, {pendulum} has "
        "continuous ones",
    )  # fmt: skip
    original = ours(tmp_path / "ours.h5")
    there.write_bytes(b"mine")
    for name in NAMES:
        code, error = refuse(capsys, "convert", str(original.path), str(there), f"--to={name}")
        assert error == f"DataError: {there} is there already; choose another name or delete it"
    assert there.read_bytes() == b"mine"
    assert {path.name for path in tmp_path.iterdir()} == {"ours.h5", "there.h5"}


@pytest.mark.parametrize("name", NAMES)
def test_what_stands_in_the_way_is_one_line_and_stays(
    name: str, tmp_path: Path, capsys: Capture
) -> None:
    original = ours(tmp_path / "ours.h5")
    file, partial = tmp_path / "f.txt", tmp_path / "x.h5.incomplete"
    file.write_text("mine")
    partial.write_text("mine, too")
    code, error = refuse(capsys, "convert", str(original.path), str(file / "x.h5"), f"--to={name}")
    assert code == 2
    assert error.startswith(f"DataError: {file / 'x.h5'} could not be written: [Errno ")
    code, error = refuse(
        capsys, "convert", str(original.path), str(tmp_path / "x.h5"), f"--to={name}"
    )
    assert error == (
        f"DataError: {partial} is there already, from a try that broke off or that still runs; "
        "delete it or choose another name"
    )
    assert (file.read_text(), partial.read_text()) == ("mine", "mine, too")
    assert len([*tmp_path.iterdir()]) == 3


@pytest.mark.parametrize("name", ["icq", "offpymarl"])
def test_a_source_that_breaks_off_leaves_no_half_file(name: str, tmp_path: Path) -> None:
    original = ours(tmp_path / "ours.h5")
    first = np.array([0, 1])
    original.last_rows = original.last_rows + np.isin(np.arange(4), first, invert=True) * 10**6
    with pytest.raises(IndexError):
        REGISTRY[name].write(original, str(tmp_path / "there"))
    assert [path.name for path in tmp_path.iterdir()] == ["ours.h5"]


def test_a_run_learns_from_such_a_file_as_it_is(tmp_path: Path, capsys: Capture) -> None:
    path = write_arrays(tmp_path / "game.h5", two_step_arrays(32))
    words = [f"dataset={path}", f"local_results_path={tmp_path}", "t_max=8", "batch_size=8"]
    words += ["test_nepisode=4", "test_interval=8", "rnn_hidden_dim=8", "save_model=False"]
    assert main.main(["--config=bc", "--env-config=two_step", "with", *words]) == 0
    metrics = list((tmp_path / "metrics").glob("*.csv"))
    assert len(metrics) == 1
    assert "test_return_mean" in metrics[0].read_text()
    out = tmp_path / "ours.h5"
    assert dataset.main(["convert", str(path), str(out), "--env-config=two_step"]) == 0
    data = RecordedEpisodes(out)
    assert (data.metadata.env, data.metadata.env_args, data.info.action_names) == (
        "two_step", {}, ("0", "1"),
    )  # fmt: skip
    assert sorted({*data.episodes["return"].tolist()}) == [0, 1, 7, 8]
