"""Batches of episodes, the buffers that hold them, exploration."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from batches import INFO, LENGTHS, random_batch, same

from components.action_selectors import epsilon_greedy
from components.episode_batch import EpisodeBatch
from components.epsilon_schedules import linear_epsilon
from components.offline_buffer import OfflineEpisodes
from components.replay_buffer import ReplayBuffer
from data.read import RecordedEpisodes
from utils.errors import DataError


def numbered(*numbers: int) -> EpisodeBatch:
    """Episodes that carry a number in every reward; number n has 1 + n % 4 transitions."""
    batch = random_batch(tuple(1 + n % 4 for n in numbers))
    rewards = torch.tensor(numbers, dtype=torch.float32)[:, None] * batch.mask
    return EpisodeBatch(**(batch.tensors() | {"rewards": rewards}))


def numbers(batch: EpisodeBatch) -> list[int]:
    return batch.rewards[:, 0].int().tolist()


def filled(buffer_size: int, inserted: int, seed: int = 0) -> ReplayBuffer:
    buffer = ReplayBuffer(buffer_size, seed)
    for n in range(inserted):
        buffer.insert(numbered(n))
    return buffer


def test_lengths_and_returns() -> None:
    batch = random_batch()
    assert batch.batch_size == len(LENGTHS)
    assert batch.lengths.tolist() == list(LENGTHS)
    dirty = batch.rewards.masked_fill(~batch.mask, 100.0)
    expected = [float(batch.rewards[i, :n].sum()) for i, n in enumerate(LENGTHS)]
    found = EpisodeBatch(**(batch.tensors() | {"rewards": dirty})).returns
    torch.testing.assert_close(found, torch.tensor(expected))


def test_last_actions() -> None:
    batch = random_batch()
    last = batch.last_actions()
    assert last.shape == batch.actions.shape
    assert (last[:, 0] == -1).all()
    assert torch.equal(last[:, 1:], batch.actions[:, :-1])


def test_episodes_come_in_the_order_asked_for() -> None:
    batch = random_batch()
    chosen = batch.episodes([3, 1, 3])
    assert chosen.lengths.tolist() == [LENGTHS[3], LENGTHS[1], LENGTHS[3]]
    for name, value in chosen.tensors().items():
        assert torch.equal(value[1], batch.tensors()[name][1])
    tensor = batch.episodes(torch.tensor([3, 1, 3]))
    assert same(tensor.tensors(), chosen.tensors())


def test_trim_cuts_what_all_have_behind_them() -> None:
    batch = random_batch((7, 3, 5)).episodes([1, 2])
    trimmed = batch.trim()
    for name, value in trimmed.tensors().items():
        rows = 5 if name in {"rewards", "terminated", "truncated", "mask"} else 6
        assert torch.equal(value, batch.tensors()[name][:, :rows]), name
    assert same(trimmed.trim().tensors(), trimmed.tensors())


def test_concatenate_pads_with_the_last_row_and_trim_undoes_it() -> None:
    parts = [random_batch((3, 2), seed=1), random_batch((6,), seed=2)]
    whole = EpisodeBatch.concatenate(parts)
    assert whole.lengths.tolist() == [3, 2, 6]
    assert same(whole.episodes([0, 1]).trim().tensors(), parts[0].tensors())
    assert same(whole.episodes([2]).tensors(), parts[1].tensors())
    for name in ("obs", "state", "avail_actions", "actions"):
        value = whole.tensors()[name]
        assert torch.equal(value[0, 4:], value[0, 3].expand_as(value[0, 4:])), name
    for name in ("rewards", "terminated", "truncated", "mask"):
        assert not whole.tensors()[name][0, 3:].any(), name


def test_to_moves_everything() -> None:
    moved = random_batch().to(torch.device("meta"))
    assert {value.device.type for value in moved.tensors().values()} == {"meta"}


def test_replay_buffer_drops_the_oldest_first() -> None:
    buffer = ReplayBuffer(5, seed=0)
    buffer.insert(numbered(0, 1, 2))
    assert len(buffer) == 3
    assert sorted(numbers(buffer.sample(3))) == [0, 1, 2]
    buffer.insert(numbered(3, 4, 5, 6))
    assert len(buffer) == 5
    assert sorted(numbers(buffer.sample(5))) == [2, 3, 4, 5, 6]
    for n in range(7, 20):
        buffer.insert(numbered(n))
    assert sorted(numbers(buffer.sample(5))) == [15, 16, 17, 18, 19]


def test_replay_buffer_draws_without_replacement_and_reaches_all() -> None:
    buffer, drawn = filled(20, 20), set()
    for _ in range(30):
        sample = numbers(buffer.sample(8))
        assert len(set(sample)) == 8
        drawn |= set(sample)
    assert drawn == set(range(20))
    with pytest.raises(ValueError, match="larger sample"):
        buffer.sample(21)


def test_replay_buffer_gives_back_what_it_took() -> None:
    batch = random_batch()
    buffer = ReplayBuffer(10, seed=0)
    buffer.insert(batch)
    sample = buffer.sample(len(LENGTHS))
    order = [LENGTHS.index(n) for n in sample.lengths.tolist()]
    assert sorted(order) == [0, 1, 2, 3]
    assert same(sample.tensors(), batch.episodes(order).tensors())


def test_replay_buffer_stores_no_padding_and_no_foreign_memory() -> None:
    batch = random_batch()
    buffer = ReplayBuffer(10, seed=0)
    buffer.insert(batch)
    batch.obs.zero_()
    for episode, length in zip(buffer.state_dict()["episodes"], LENGTHS, strict=True):
        assert episode["mask"].shape == (1, length)
        assert episode["mask"].all()
        assert episode["obs"].shape == (1, length + 1, INFO.n_agents, INFO.obs_shape)
        assert episode["obs"].untyped_storage().nbytes() == episode["obs"].nbytes
        assert episode["obs"].any()


def test_replay_buffer_same_seed_same_samples() -> None:
    one, two, other = filled(20, 20, 3), filled(20, 20, 3), filled(20, 20, 4)
    samples = [[numbers(buffer.sample(4)) for _ in range(5)] for buffer in (one, two, other)]
    assert samples[0] == samples[1]
    assert samples[0] != samples[2]


def test_replay_buffer_state_round_trip() -> None:
    buffer = filled(5, 8)
    buffer.sample(3)
    copied = ReplayBuffer(5, seed=99)
    copied.load_state_dict(copy.deepcopy(buffer.state_dict()))
    for n in range(8, 12):
        for each in (buffer, copied):
            each.insert(numbered(n))
        assert numbers(buffer.sample(3)) == numbers(copied.sample(3))
    assert sorted(numbers(copied.sample(5))) == [7, 8, 9, 10, 11]


def test_offline_buffer_draws_different_episodes_with_a_seed(two_step_file: Path) -> None:
    data = RecordedEpisodes(two_step_file)
    one, two, other = (OfflineEpisodes(data, 16, seed) for seed in (1, 1, 2))
    first, again, differs = one.sample(), two.sample(), other.sample()
    assert first.batch_size == 16
    assert same(first.tensors(), again.tensors())
    assert not torch.equal(first.actions, differs.actions)
    everything = OfflineEpisodes(data, 200, 1).sample()
    whole = data.read(torch.arange(200).numpy())
    assert sorted(everything.returns.tolist()) == sorted(whole.returns.tolist())


def test_offline_buffer_state_round_trip(two_step_file: Path) -> None:
    data = RecordedEpisodes(two_step_file)
    buffer, copied = OfflineEpisodes(data, 16, 1), OfflineEpisodes(data, 16, 99)
    buffer.sample()
    copied.load_state_dict(copy.deepcopy(buffer.state_dict()))
    for _ in range(3):
        assert same(buffer.sample().tensors(), copied.sample().tensors())


def test_offline_buffer_refuses_a_batch_larger_than_the_data(two_step_file: Path) -> None:
    with pytest.raises(DataError) as error:
        OfflineEpisodes(RecordedEpisodes(two_step_file), 201, 1)
    assert str(error.value) == f"{two_step_file} has 200 episodes, fewer than batch_size=201"


def test_linear_epsilon() -> None:
    schedule = [linear_epsilon(1.0, 0.2, 100, t) for t in (0, 25, 50, 100, 1000)]
    assert schedule == pytest.approx([1.0, 0.8, 0.6, 0.2, 0.2])


def test_greedy_needs_no_chance_and_skips_the_unavailable() -> None:
    outputs = torch.tensor([[3.0, 2.0, 1.0], [-5.0, -3.0, -4.0]])
    avail = torch.tensor([[False, True, True], [True, False, True]])
    assert epsilon_greedy(outputs, avail, 0.0, None).tolist() == [1, 2]


def test_chance_comes_from_the_generator_alone() -> None:
    outputs, avail = torch.zeros(50, 4), torch.ones(50, 4, dtype=torch.bool)
    state = torch.get_rng_state()
    draws = [
        epsilon_greedy(outputs, avail, 0.5, torch.Generator().manual_seed(seed)).tolist()
        for seed in (0, 0, 1)
    ]
    assert draws[0] == draws[1] != draws[2]
    assert torch.equal(torch.get_rng_state(), state)
