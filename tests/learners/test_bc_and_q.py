"""BC-MA and Q-learning by hand and by slow loops."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from batches import INFO, make_learner, random_batch
from torch import Tensor

from envs.base import EnvInfo
from utils.rl_utils import log_policy

F64 = torch.float64


def test_bc_loss_is_the_mean_over_real_choices() -> None:
    learner: Any = make_learner("bc", dtype=F64)
    batch = random_batch(dtype=F64)
    log_pi = log_policy(learner._mac, batch).detach()
    losses = []
    for b, length in enumerate(batch.lengths.tolist()):
        for t in range(length):
            for i in range(INFO.n_agents):
                if batch.avail_actions[b, t, i].sum() > 1:
                    losses.append(-float(log_pi[b, t, i, batch.actions[b, t, i]]))
    assert learner.train(batch)["bc_loss"].item() == pytest.approx(sum(losses) / len(losses))


def test_bc_learns_the_frequencies_of_the_recorded_actions() -> None:
    info = EnvInfo(n_agents=2, n_actions=3, obs_shape=2, state_shape=1, episode_limit=1)
    recorded = [(0, 2)] * 12 + [(1, 2)] * 6 + [(1, 0)] * 2
    batch = random_batch((1,) * 20, info=info)
    batch = replace(
        batch,
        obs=torch.ones_like(batch.obs),
        avail_actions=torch.ones_like(batch.avail_actions),
        actions=torch.tensor(recorded).unsqueeze(1).expand(20, 2, 2),
    )
    learner: Any = make_learner("bc", info, lr=0.01)
    for _ in range(400):
        learner.train(batch)
    pi = log_policy(learner._mac, batch)[0, 0].exp()
    for agent in range(2):
        counts = Counter(joint[agent] for joint in recorded)
        expected = torch.tensor([counts[a] / 20 for a in range(3)])
        torch.testing.assert_close(pi[agent], expected, atol=0.01, rtol=0)


def test_q_learner_by_a_slow_loop() -> None:
    keys: dict[str, Any] = {"gamma": 0.9, "td_lambda": 0.6}
    learner: Any = make_learner("vdn", dtype=F64, **keys)
    torch.manual_seed(3)
    for value in learner.networks["target_agent"].parameters():
        torch.nn.init.normal_(value, std=0.5)
    batch = random_batch(dtype=F64)
    with torch.no_grad():
        qs, _ = learner._mac.forward(batch.obs, batch.last_actions())
        target_qs, _ = learner._target_mac.forward(batch.obs, batch.last_actions())
    squared = []
    for b, length in enumerate(batch.lengths.tolist()):
        value, following = 0.0, 0.0
        for t in reversed(range(length)):
            value = _greedy_value(qs[b, t + 1], target_qs[b, t + 1], batch.avail_actions[b, t + 1])
            blend = value if t == length - 1 else 0.4 * value + 0.6 * following
            discount = 0.0 if batch.terminated[b, t] else 0.9
            following = float(batch.rewards[b, t]) + discount * blend
            joint = enumerate(batch.actions[b, t].tolist())
            q_tot = sum(float(qs[b, t, i, a]) for i, a in joint)
            squared.append((q_tot - following) ** 2)
    assert learner.train(batch)["loss"].item() == pytest.approx(sum(squared) / len(squared))


def _greedy_value(qs: Tensor, target_qs: Tensor, avail: Tensor) -> float:
    """Double Q-learning: the online network chooses, the target network values."""
    total = 0.0
    for i in range(INFO.n_agents):
        able = [a for a in range(INFO.n_actions) if avail[i, a]]
        best = max(able, key=lambda a, i=i: float(qs[i, a]))
        total += float(target_qs[i, best])
    return total
