"""What the learners of a linearly mixed critic share: no value runs away, nothing leaks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from batches import make_learner, random_batch, same

from components.episode_batch import EpisodeBatch

OFFLINE = ["bcq", "cql", "icq", "icq_tree_backup"]


def long_batch() -> EpisodeBatch:
    """Eight episodes of 40 steps, rewards of up to 1e4."""
    batch = random_batch((40,) * 8, seed=1)
    return replace(batch, rewards=1e4 * torch.rand_like(batch.rewards))


def value_after(steps: int, alg: str, **keys: Any) -> float:
    """The mean of Q_tot on a batch after many steps on it."""
    learner = make_learner(alg, critic_lr=0.01, critic_hidden_dim=32, **keys)
    batch, metrics = long_batch(), {}
    for _ in range(steps):
        metrics = learner.train(batch)
        assert all(value.isfinite() for value in metrics.values()), metrics
    return metrics["q_taken_mean"].item()


@pytest.mark.parametrize("alg", ["bcq", "cql", "icq", "icq_one_step", "icq_tree_backup"])
def test_no_value_exceeds_all_rewards_together(alg: str) -> None:
    assert value_after(250, alg) < 40 * 1e4


@pytest.mark.parametrize("temperature", [1e-3, 1.0])
def test_no_value_runs_away_at_a_low_value_temperature(temperature: float) -> None:
    assert value_after(250, "icq", value_temperature=temperature) < 40 * 1e4


def test_without_the_clamp_it_runs_away() -> None:
    assert value_after(250, "icq_one_step", clamp_value_weights=False) > 40 * 1e4


@pytest.mark.parametrize("alg", OFFLINE)
def test_the_policys_step_leaves_the_values_alone_and_theirs_the_policy(alg: str) -> None:
    usual, policy, values = (make_learner(alg, **k) for k in ({}, {"lr": 0.1}, {"critic_lr": 0.1}))
    for learner in (usual, policy, values):
        learner.train(random_batch())
    for name in ("critic", "mixer"):
        ours = usual.networks[name].state_dict()
        assert same(ours, policy.networks[name].state_dict()), name
        assert not same(ours, values.networks[name].state_dict()), name
    agents = [_agent(learner).state_dict() for learner in (usual, policy, values)]
    assert same(agents[0], agents[2])
    assert not same(agents[0], agents[1])


def _agent(learner: Any) -> torch.nn.Module:
    """What picks or judges actions, without the critic that BCQ-MA's agent has, too."""
    return getattr(learner._mac, "behaviour", learner._mac.agent)


def test_the_conservative_gap_moves_the_weights_but_not_the_bias() -> None:
    """In eq. 58 as printed it would move b, too."""
    moved = []
    for alpha in (0.0, 5.0):
        learner: Any = make_learner("cql", cql_alpha=alpha, dtype=torch.float64)
        batch = random_batch(dtype=torch.float64)
        learner.train(batch)
        grads = learner.networks["mixer"].named_parameters()
        moved.append({name: p.grad.clone() for name, p in grads})
    assert all(torch.equal(moved[0][k], moved[1][k]) == ("hyper_b" in k) for k in moved[0])


def test_targets_of_a_critic_stepped_per_time_step_follow_its_steps() -> None:
    """Batches of 7 time steps and an interval of 10 critic steps: after the 2nd, 4th, 6th batch."""
    learner = make_learner("icq_per_step_critic", target_update_interval=10)
    for step in range(1, 7):
        learner.train(random_batch(seed=step))
        twins = [learner.networks[name].state_dict() for name in ("critic", "target_critic")]
        assert same(*twins) == (step % 2 == 0)
