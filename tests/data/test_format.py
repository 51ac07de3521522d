"""The file format: what is written is what is read, and a broken recording says so."""

from __future__ import annotations

import mmap
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from batches import INFO, LENGTHS, random_batch

from components.episode_batch import EpisodeBatch
from data.read import RecordedEpisodes
from data.schema import BITS, EPISODES, STEPS, Metadata
from data.write import EpisodeWriter, Storage
from utils.errors import DataError

METADATA = Metadata(
    env="game",
    env_args={"map_name": "3m", "hard": True},
    info=replace(INFO, action_names=("north", "south", "stop", "attack_0")),
    quality="medium",
    policies=[{"algorithm": "qmix", "seed": 3, "return_mean": 1.5}, {"algorithm": "random"}],
    made_with={"epsilon": 0.05, "packages": {"torch": "2.6"}},
    licence="CC-BY-4.0",
)
ROUNDS = (LENGTHS, (2, 6), (4, 4, 4))


def rounds(seed: int = 0) -> list[EpisodeBatch]:
    """Three rounds of ragged episodes."""
    return [random_batch(lengths, seed + i) for i, lengths in enumerate(ROUNDS)]


def write(path: Path, batches: list[EpisodeBatch], compress: bool = False) -> RecordedEpisodes:
    """A file of these rounds, opened; round i has policy i % 2 and seed 10 + i."""
    with EpisodeWriter(path, METADATA, Storage(compress)) as writer:
        for i, batch in enumerate(batches):
            won = np.arange(batch.batch_size) % 2 == 0
            writer.append(batch, won, policy=i % 2, seed=10 + i)
    return RecordedEpisodes(path)


def record_and_die(path: Path) -> None:
    """A recording that ends in an exception."""
    with EpisodeWriter(path, METADATA) as writer:
        writer.append(random_batch(), np.zeros(4, dtype=bool), 0, 1)
        raise RuntimeError("power")


def is_mapped(rows: Any) -> bool:
    """Whether the array's memory is a file's."""
    while isinstance(rows, np.ndarray):
        rows = rows.base
    return isinstance(rows, memoryview) and isinstance(rows.obj, mmap.mmap)


def assert_same(ours: EpisodeBatch, theirs: EpisodeBatch) -> None:
    """The same bits, shapes and types."""
    for name, tensor in theirs.tensors().items():
        assert ours.tensors()[name].dtype == tensor.dtype, name
        assert torch.equal(ours.tensors()[name], tensor), name


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_reading_gives_what_was_written(tmp_path: Path, seed: int, compress: bool) -> None:
    batches = rounds(seed)
    data = write(tmp_path / "a.h5", batches, compress)
    everything = EpisodeBatch.concatenate(batches)
    assert len(data) == 9
    assert data.n_transitions == sum(map(sum, ROUNDS))
    assert_same(data.read(np.arange(9)), everything)
    for i in range(9):
        assert_same(data.read(np.array([i])), everything.episodes([i]).trim())
    drawn = np.array([5, 2, 2, 8])
    assert_same(data.read(drawn), everything.episodes(drawn.tolist()).trim())


def test_facts_of_each_episode(tmp_path: Path) -> None:
    batches = rounds()
    facts = write(tmp_path / "a.h5", batches).episodes
    assert facts["length"].tolist() == [7, 3, 1, 5, 2, 6, 4, 4, 4]
    assert facts["policy"].tolist() == [0, 0, 0, 0, 1, 1, 0, 0, 0]
    assert facts["seed"].tolist() == [10, 10, 10, 10, 11, 11, 12, 12, 12]
    assert facts["slot"].tolist() == [0, 1, 2, 3, 0, 1, 0, 1, 2]
    assert facts["battle_won"].tolist() == [
        True,
        False,
        True,
        False,
        True,
        False,
        True,
        False,
        True,
    ]
    assert facts["terminated"].tolist() == facts["battle_won"].tolist()
    assert facts["truncated"].tolist() == [not end for end in facts["terminated"]]
    returns = torch.cat([batch.returns for batch in batches])
    assert facts["return"].tolist() == returns.tolist()


def test_metadata_comes_back(tmp_path: Path) -> None:
    data = write(tmp_path / "a.h5", rounds())
    assert data.metadata == METADATA
    assert data.info == METADATA.info


def test_compressed_is_unpacked_and_equals_the_memory_map(tmp_path: Path) -> None:
    mapped = write(tmp_path / "a.h5", rounds())
    packed = write(tmp_path / "b.h5", rounds(), compress=True)
    assert mapped.sha256 == packed.sha256 != ""
    for name in STEPS:
        assert np.array_equal(mapped.steps[name][:], packed.steps[name][:])
        if name != "avail_actions":  # whose bits are
            assert is_mapped(mapped.steps[name]), name
            assert not is_mapped(packed.steps[name]), name
    for name in EPISODES:
        assert np.array_equal(mapped.episodes[name], packed.episodes[name])


def test_drawing_copies_rows_out_of_a_read_only_map(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    data = write(path, rounds())
    before = path.read_bytes()
    batch = data.read(np.array([0, 4]))
    for name in STEPS:
        rows = data.steps[name]
        if isinstance(rows, np.ndarray):
            assert not rows.flags.writeable
            assert not np.shares_memory(rows, batch.tensors()[name].numpy())
        batch.tensors()[name].fill_(0)
    assert path.read_bytes() == before


def test_trimmed_to_the_longest_drawn_and_padded_by_the_last_row(tmp_path: Path) -> None:
    batch = write(tmp_path / "a.h5", rounds()).read(np.array([2, 1]))  # of 1 and 3 transitions
    assert batch.mask.tolist() == [[True, False, False], [True, True, True]]
    assert batch.obs.shape == (2, 4, INFO.n_agents, INFO.obs_shape)
    for name in ("obs", "state", "avail_actions", "actions"):
        value = batch.tensors()[name][0]
        assert torch.equal(value[2:], value[1:2].expand_as(value[2:])), name
        assert not torch.equal(value[0], value[1]), name
    assert batch.rewards[0, 1:].tolist() == [0.0, 0.0]
    assert batch.terminated.tolist() == [[True, False, False], [False, False, False]]
    assert batch.truncated.tolist() == [[False, False, False], [False, False, True]]


def test_row_t_is_the_final_observation_and_the_action_taken_there(tmp_path: Path) -> None:
    written = rounds()[0]
    path = tmp_path / "a.h5"
    write(path, [written])
    with h5py.File(path) as file:
        last = np.cumsum(np.array(LENGTHS) + 1) - 1
        for i, length in enumerate(LENGTHS):
            avail = written.avail_actions[i, length].numpy().ravel()
            assert np.array_equal(file[f"steps/{BITS}"][last[i]], np.packbits(avail))
            for name in ("obs", "state", "actions"):
                expected = written.tensors()[name][i, length].numpy()
                assert np.array_equal(file[f"steps/{name}"][last[i]], expected), name
            assert file["steps/rewards"][last[i]] == 0


@pytest.mark.parametrize(
    ("n_actions", "dtype"), [(4, "uint8"), (256, "uint8"), (257, "int16"), (40_000, "int32")]
)
def test_the_smallest_exact_types(tmp_path: Path, n_actions: int, dtype: str) -> None:
    info = replace(INFO, n_actions=n_actions)
    batch = random_batch(info=info)
    batch.avail_actions[..., -1] = True
    batch.actions[:] = n_actions - 1
    path = tmp_path / "a.h5"
    with EpisodeWriter(path, replace(METADATA, info=info)) as writer:
        writer.append(batch, np.zeros(4, dtype=bool), 0, 2**40)
    with h5py.File(path) as file:
        found = {name: str(values.dtype) for name, values in file["steps"].items()}
        assert file[f"steps/{BITS}"].shape == (20, -(-INFO.n_agents * n_actions // 8))
        assert {name: file[f"episodes/{name}"].dtype for name in EPISODES} == EPISODES
    assert found == {
        "obs": "float32", "state": "float32", BITS: "uint8", "actions": dtype,
        "rewards": "float32",
    }  # fmt: skip
    data = RecordedEpisodes(path)
    assert torch.equal(data.read(np.arange(4)).actions, batch.actions)
    assert data.episodes["seed"].tolist() == [2**40] * 4


def test_padding_is_never_written(tmp_path: Path) -> None:
    batch = random_batch()
    noisy = replace(batch, rewards=torch.where(batch.mask, batch.rewards, 99.0))
    clean, same = write(tmp_path / "a.h5", [batch]), write(tmp_path / "b.h5", [noisy])
    assert clean.sha256 == same.sha256


def test_a_writer_that_dies_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path, partial = tmp_path / "a.h5", tmp_path / "a.h5.incomplete"
    write(path, rounds())
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="power"):
        record_and_die(path)
    assert path.read_bytes() == before
    assert {p.name for p in tmp_path.iterdir()} == {path.name, partial.name}
    with pytest.raises(DataError) as error:
        RecordedEpisodes(partial)
    assert str(error.value) == (
        f"{partial} is incomplete: its recording was interrupted after 4 episodes; record it again"
    )


def test_recording_again_replaces_file_and_leftovers(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write(path, rounds(seed=1))
    path.with_name("a.h5.incomplete").write_bytes(b"left by a dead writer")
    data = write(path, rounds(seed=2))
    assert_same(data.read(np.arange(9)), EpisodeBatch.concatenate(rounds(seed=2)))
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]
