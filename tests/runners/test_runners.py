"""Runners: one true episode from every slot, fair evaluation, and nothing lost on resuming."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from batches import CPU, same

from components.episode_batch import EpisodeBatch
from controllers.basic_controller import BasicMAC
from envs.base import EnvInfo, Observation, Step
from runners.live_runner import EpisodeRunner, ParallelRunner
from runners.offline_runner import OfflineRunner
from runners.rollout import Evaluation, evaluate, rollout
from utils.config import RunConfig, Settings, load_settings


class Ragged:
    """A game whose slots last 1 to 6 steps, drawn from the seed; it shows slot, length and time.

    Every step pays 1 and the action; short games end, those of more than 3 steps run out of time.
    Slots whose length is even win.
    """

    info = EnvInfo(2, 3, obs_shape=3, state_shape=3, episode_limit=6)

    def __init__(self, env_args: dict[str, Any], batch_size: int) -> None:
        self.batch_size = batch_size
        self.closed = False

    def reset(self, seed: int) -> Observation:
        self.lengths = np.random.default_rng(seed).integers(1, 7, self.batch_size)
        self.time = np.zeros(self.batch_size, dtype=int)
        return self._observe()

    def step(self, actions: np.ndarray) -> Step:
        over = self.time == self.lengths
        self.time = self.time + ~over
        ends = ~over & (self.time == self.lengths)
        rewards = np.where(over, 0, 1 + actions[:, 0]).astype(np.float32)
        cut = self.lengths > 3
        return Step(self._observe(), rewards, ends & ~cut, ends & cut, self.lengths % 2 == 0)

    def close(self) -> None:
        self.closed = True

    def _observe(self) -> Observation:
        slot = np.arange(self.batch_size)
        state = np.stack([slot, self.lengths, self.time], axis=-1).astype(np.float32)
        avail = np.ones((self.batch_size, 2, 3), dtype=bool)
        avail[:, :, 2] = (self.time % 2 == 0)[:, None]
        return Observation(np.repeat(state[:, None], 2, axis=1), state, avail)


def settings(**updates: Any) -> Settings:
    small = {"rnn_hidden_dim": 8, "batch_size_run": 4, "epsilon_anneal_time": 100}
    return load_settings("qmix", "two_step", small | updates)


def config(**updates: Any) -> RunConfig:
    return settings(**updates).run


def controller() -> BasicMAC:
    torch.manual_seed(0)
    return BasicMAC(Ragged.info, settings())


def runner(**updates: Any) -> ParallelRunner:
    made = ParallelRunner(config(**updates), CPU)
    made._env = Ragged({}, made._slots())
    made.setup(controller())
    return made


def same_episodes(ours: EpisodeBatch, theirs: EpisodeBatch) -> bool:
    return same(ours.tensors(), theirs.tensors())


def test_rollout_gives_one_whole_episode_per_slot() -> None:
    env = Ragged({}, 32)
    chance = torch.Generator().manual_seed(0)
    batch, won = rollout(env, controller(), 5, CPU, 0.5, chance)
    lengths = torch.from_numpy(env.lengths)
    assert set(env.lengths) == set(range(1, 7))
    assert torch.equal(batch.lengths, lengths)
    assert batch.mask.shape == (32, 6)
    assert won.tolist() == (env.lengths % 2 == 0).tolist()
    last = torch.arange(6) == lengths[:, None] - 1
    assert torch.equal(batch.terminated, last & (lengths <= 3)[:, None])
    assert torch.equal(batch.truncated, last & (lengths > 3)[:, None])
    expected = (1 + batch.actions[:, :-1, 0]) * batch.mask
    assert torch.equal(batch.rewards, expected.float())


def test_rollout_keeps_the_true_final_observation_and_repeats_it() -> None:
    env = Ragged({}, 32)
    batch, _ = rollout(env, controller(), 5, CPU)
    time = torch.minimum(torch.arange(7), batch.lengths[:, None])
    assert torch.equal(batch.state[:, :, 2], time.float())
    assert torch.equal(batch.obs, batch.state.unsqueeze(2).expand(-1, -1, 2, -1))
    assert torch.equal(batch.avail_actions[..., 2], (time % 2 == 0).unsqueeze(-1).expand(-1, -1, 2))
    taken = batch.avail_actions.gather(-1, batch.actions.unsqueeze(-1))
    assert taken.all()  # in the last row and behind it too


def test_rollout_plays_what_the_controller_says_of_the_whole_history() -> None:
    mac = controller()
    batch, _ = rollout(Ragged({}, 8), mac, 5, CPU)
    outputs, _ = mac.forward(batch.obs, batch.last_actions())
    best = outputs.masked_fill(~batch.avail_actions, -torch.inf).argmax(-1)
    assert torch.equal(batch.actions, best)


def test_rollout_same_seed_same_episodes() -> None:
    batches = [
        rollout(Ragged({}, 8), controller(), seed, CPU, 0.5, torch.Generator().manual_seed(1))[0]
        for seed in (5, 5, 6)
    ]
    assert same_episodes(batches[0], batches[1])
    assert not torch.equal(batches[0].lengths, batches[2].lengths)


def test_dtypes_are_those_of_the_contract() -> None:
    batch, won = rollout(Ragged({}, 2), controller(), 5, CPU)
    others = {"actions": torch.int64} | dict.fromkeys(("obs", "state", "rewards"), torch.float32)
    for name, value in batch.tensors().items():
        assert value.dtype == others.get(name, torch.bool), name
    assert won.dtype == bool


@pytest.mark.parametrize(("asked", "played"), [(1, 8), (8, 8), (9, 16), (17, 24)])
def test_evaluation_gives_every_slot_the_same_quota(asked: int, played: int) -> None:
    env = Ragged({}, 8)
    rng, twin = np.random.default_rng(0), np.random.default_rng(0)
    found = evaluate(env, controller(), asked, rng, CPU)
    seeds = [int(twin.integers(2**31)) for _ in range(played // 8)]
    lengths = np.concatenate([np.random.default_rng(s).integers(1, 7, 8) for s in seeds])
    assert found.lengths.tolist() == lengths.tolist()
    assert found.battle_won.tolist() == (lengths % 2 == 0).tolist()
    assert found.returns.shape == (played,)
    assert (found.returns >= found.lengths).all()


def test_statistics_by_hand() -> None:
    games = Evaluation(
        np.array([0.0, 10.0, 20.0]), np.array([4, 6, 11]), np.array([False, True, True])
    )
    assert games.statistics() == pytest.approx(
        {
            "return_mean": 10.0,
            "return_std": (200 / 3) ** 0.5,
            "return_se": 10 / 3**0.5,
            "battle_won_mean": 2 / 3,
            "ep_length_mean": 7.0,
            "n_episodes": 3.0,
        }
    )


def test_what_an_environment_tells_does_not_replace_what_is_measured() -> None:
    told = [{"return": 7.0, "dead_allies": 2.0}, {"dead_allies": 1.0}]
    games = Evaluation(np.array([1.0, 2.0]), np.array([3, 4]), np.array([True, False]), None, told)
    stats = games.statistics()
    assert (stats["return_mean"], stats["dead_allies_mean"]) == (1.5, 1.5)


def test_one_episode_has_no_spread() -> None:
    stats = Evaluation(np.array([5.0]), np.array([3]), np.array([True])).statistics()
    assert (stats["return_mean"], stats["return_std"], stats["return_se"]) == (5.0, 0.0, 0.0)


def test_t_env_counts_transitions_and_drives_epsilon() -> None:
    live = runner(epsilon_start=1.0, epsilon_finish=0.5)
    assert live.epsilon == 1.0
    steps = int(live.run().mask.sum())
    assert live.t_env == steps
    assert live.epsilon == pytest.approx(1 - 0.5 * steps / 100)
    live.evaluate(8)
    assert live.t_env == steps
    live.t_env = 1000
    assert live.epsilon == 0.5


def test_evaluating_changes_no_training_episode() -> None:
    plain, watched = runner(), runner()
    for _ in range(4):
        watched.evaluate(9)
        assert same_episodes(plain.run(), watched.run())


def test_training_changes_no_evaluation() -> None:
    plain, busy = runner(), runner()
    for _ in range(3):
        busy.run()
        ours, theirs = plain.evaluate(4), busy.evaluate(4)
        assert ours.lengths.tolist() == theirs.lengths.tolist()
        assert ours.returns.tolist() == theirs.returns.tolist()


def test_evaluations_are_fresh_and_the_seed_decides() -> None:
    one, two, other = runner(), runner(), runner(seed=2)
    first = one.evaluate(4).lengths.tolist()
    assert two.evaluate(4).lengths.tolist() == first
    assert one.evaluate(4).lengths.tolist() != first
    assert other.evaluate(4).lengths.tolist() != first
    assert not same_episodes(two.run(), other.run())


def test_a_resumed_live_runner_plays_the_same_episodes() -> None:
    through = runner()
    through.run()
    through.evaluate(4)
    resumed = runner(seed=9)
    resumed.load_state_dict(copy.deepcopy(through.state_dict()))
    for _ in range(3):
        assert same_episodes(through.run(), resumed.run())
        ours, theirs = through.evaluate(4), resumed.evaluate(4)
        assert ours.returns.tolist() == theirs.returns.tolist()
    assert resumed.t_env == through.t_env


def test_episode_runner_plays_one_game_at_a_time() -> None:
    live = EpisodeRunner(config(batch_size_run=8), CPU)
    live.setup(BasicMAC(live.get_env_info(), settings()))
    assert live._env is None
    batch = live.run()
    assert (batch.batch_size, live.env.batch_size, live.t_env) == (1, 1, 2)
    assert live.evaluate(3).lengths.tolist() == [2, 2, 2]


def test_parallel_runner_builds_its_environment_late_and_closes_it() -> None:
    live = ParallelRunner(config(batch_size_run=8), CPU)
    live.close_env()
    assert live.get_env_info().n_agents == 2
    assert live._env is None
    live.setup(BasicMAC(live.get_env_info(), settings()))
    assert live.run().batch_size == 8
    built = Ragged({}, 8)
    live._env = built
    live.close_env()
    assert built.closed


@pytest.fixture
def offline_config(two_step_file: Path) -> RunConfig:
    updates = {"runner": "offline", "dataset": str(two_step_file), "batch_size": 16}
    return config(**updates)


def test_offline_runner_needs_the_environment_only_to_evaluate(offline_config: RunConfig) -> None:
    offline = OfflineRunner(offline_config, CPU)
    offline.setup(BasicMAC(offline.get_env_info(), settings()))
    for t in range(1, 6):
        batch = offline.run()
        assert batch.batch_size == 16
        assert batch.mask.any(1).all()
        assert offline.t_env == t
    assert offline._live._env is None
    assert offline.evaluate(5).lengths.tolist() == [2] * 8
    assert offline._live._env is not None
    assert offline.t_env == 5


def test_a_resumed_offline_runner_goes_on_as_if_it_had_not_stopped(
    offline_config: RunConfig,
) -> None:
    through = OfflineRunner(offline_config, CPU)
    resumed = OfflineRunner(offline_config.model_copy(update={"seed": 9}), CPU)
    for offline in (through, resumed):
        offline.setup(controller())
        offline._live._env = Ragged({}, 4)
    through.run()
    through.evaluate(4)
    resumed.load_state_dict(copy.deepcopy(through.state_dict()))
    for _ in range(3):
        assert same_episodes(through.run(), resumed.run())
        assert through.evaluate(4).lengths.tolist() == resumed.evaluate(4).lengths.tolist()
    assert resumed.t_env == through.t_env == 4
