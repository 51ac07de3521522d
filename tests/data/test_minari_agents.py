"""Minari's sets of many agents: everything comes back, and Minari itself reads them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from recordings import Capture, refuse

import dataset
from data.formats import open_source
from data.formats.base import Source
from data.formats.vault import Vault
from data.read import Episodes, RecordedEpisodes
from data.write import EpisodeWriter
from envs.base import EnvInfo
from utils.paths import ROOT

minari = pytest.importorskip("minari")
SMAX = ROOT / "offline_data" / "smax" / "3s_vs_3z" / "poor.h5"
ID = "minari:tests/many-v0"


@pytest.fixture(autouse=True)
def _own_minari(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))


@pytest.fixture(scope="module")
def some(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """70 SMAX episodes, more than are written at once; some met the time limit."""
    out = tmp_path_factory.mktemp("some") / "some.h5"
    assert dataset.main(["subsample", str(SMAX), f"--out={out}", "--episodes=70"]) == 0
    return out


def assert_same(ours: Episodes, theirs: Episodes) -> None:
    """Every row, every figure, all metadata."""
    assert theirs.metadata == ours.metadata
    for name in ours.steps:
        assert np.array_equal(ours.steps[name][:], theirs.steps[name][:]), name
    for name in ours.episodes:
        assert np.array_equal(ours.episodes[name], theirs.episodes[name]), name


def test_battles_come_back_whole(some: Path, tmp_path: Path, capsys: Capture) -> None:
    back = tmp_path / "back.h5"
    capsys.readouterr()
    assert dataset.main(["convert", str(some), ID]) == 0
    assert capsys.readouterr().out == f"wrote {ID}: 70 episodes\n"
    assert dataset.main(["convert", ID, str(back)]) == 0
    assert dataset.main(["check", str(back), ID]) == 0
    data = RecordedEpisodes(some)
    assert {True, False} == {*data.episodes["truncated"].tolist()}
    assert_same(data, open_source(ID))
    assert_same(data, RecordedEpisodes(back))


def test_minari_reads_them(some: Path) -> None:
    assert dataset.main(["convert", str(some), ID]) == 0
    theirs, data = minari.load_dataset("tests/many-v0"), RecordedEpisodes(some)
    assert (theirs.total_episodes, theirs.total_steps) == (70, data.n_transitions)
    assert theirs.action_space.nvec.tolist() == [8, 8, 8]
    for i in (0, 69):
        episode, batch = theirs[i], data.read(np.array([i]))
        seen: Any = episode.observations
        length = len(episode)
        assert length == batch.lengths[0]
        for agent in range(3):
            assert np.array_equal(seen[f"agent_{agent}"], batch.obs[0, : length + 1, agent])
        assert np.array_equal(seen["state"], batch.state[0, : length + 1])
        assert np.array_equal(seen["avail_actions"], batch.avail_actions[0, : length + 1])
        assert np.array_equal(episode.actions, batch.actions[0, :length])
        assert np.array_equal(episode.rewards, batch.rewards[0, :length])
        assert episode.terminations[-1] == data.episodes["terminated"][i]
        assert episode.truncations[-1] == data.episodes["truncated"][i]
        assert theirs.observation_space.contains({k: v[0] for k, v in seen.items()})
        assert theirs.action_space.contains(episode.actions[0])


def test_torques_of_many_agents_come_back(tmp_path: Path) -> None:
    import torch

    from components.episode_batch import EpisodeBatch
    from data.schema import Metadata

    info = EnvInfo(2, 3, 4, 0, 5, action_low=(-1.0, -2.0, -1.0), action_high=(1.0, 2.0, 1.0))
    rng = np.random.default_rng(0)
    ends = torch.zeros(2, 5, dtype=torch.bool)
    ends[:, -1] = True
    batch = EpisodeBatch(
        obs=torch.from_numpy(rng.normal(size=(2, 6, 2, 4)).astype(np.float32)),
        state=torch.zeros(2, 6, 0),
        avail_actions=torch.zeros(2, 6, 2, 0, dtype=torch.bool),
        actions=torch.from_numpy(rng.uniform(-1, 1, (2, 6, 2, 3)).astype(np.float32)),
        rewards=torch.ones(2, 5), terminated=ends, truncated=~ends & False,
        mask=torch.ones(2, 5, dtype=torch.bool),
    )  # fmt: skip
    path = tmp_path / "two.h5"
    with EpisodeWriter(path, Metadata("gymma", {"key": "two"}, info, "medium")) as writer:
        writer.append(batch, np.array([True, False]), policy=0, seed=3)
    assert dataset.main(["convert", str(path), ID]) == 0
    assert_same(RecordedEpisodes(path), open_source(ID))
    vault = tmp_path / "two.vlt" / "Medium"
    assert dataset.main(["convert", str(path), str(vault)]) == 0
    index, data = np.arange(2), Vault().read(Source(str(vault)))
    assert data.info == info
    assert np.array_equal(data.read(index).actions[:, :-1], batch.actions[:, :-1])
    assert np.array_equal(data.read(index).obs[:, :-1], batch.obs[:, :-1])


def test_a_set_is_written_whole_or_not_at_all(some: Path, tmp_path: Path, capsys: Capture) -> None:
    from data.formats.minari import Minari
    from utils.errors import DataError

    data = RecordedEpisodes(some)
    rows = len(data.steps["state"])
    data.steps = dict(data.steps) | {"state": data.steps["state"][: rows - 5]}
    with pytest.raises(DataError, match=f"^{ID} could not be written: "):
        Minari().write(data, ID)
    assert os.listdir(tmp_path / "minari") == []
    assert dataset.main(["convert", str(some), ID]) == 0
    assert refuse(capsys, "convert", str(some), ID) == (
        2, f"DataError: {ID} is on this machine already; choose another name or delete it"
    )  # fmt: skip
    assert sorted(os.listdir(tmp_path / "minari")) == ["tests"]


@pytest.mark.parametrize("what", ["observations/agent_1", "actions", "last_action"])
def test_a_damaged_set_is_one_line(what: str, some: Path, tmp_path: Path, capsys: Capture) -> None:
    assert dataset.main(["convert", str(some), ID]) == 0
    with h5py.File(tmp_path / "minari" / "tests" / "many-v0" / "data" / "main_data.hdf5", "a") as f:
        if what == "last_action":
            del f["episode_3"].attrs[what]
        else:
            del f[f"episode_3/{what}"]
    code, error = refuse(capsys, "check", ID)
    assert code == 2
    assert error.startswith(f"DataError: {ID} is damaged (")
