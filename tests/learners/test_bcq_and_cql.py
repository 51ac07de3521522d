"""BCQ-MA and CQL-MA: equations by hand, updates by slow loops, how they act, what they learn."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from batches import CPU, INFO, make_learner, random_batch
from torch import Tensor

from components.episode_batch import EpisodeBatch
from controllers.bcq_controller import familiar
from data.read import RecordedEpisodes
from envs.two_step import TwoStepEnv
from learners.bcq_learner import familiar_max
from learners.cql_learner import conservative_gap
from runners.rollout import evaluate
from utils.rl_utils import (
    available_log_softmax,
    entropy,
    log_policy,
    taken,
    traced_returns,
)
from utils.rl_utils import expected as expected_value

F64 = torch.float64
INF = math.inf


def test_an_action_is_familiar_above_zeta_times_the_likeliest() -> None:
    log_g = torch.tensor([[0.6, 0.2, 0.15, 0.05], [1.0, 0.0, 0.0, 0.0]]).log()
    assert familiar(log_g, 0.3).tolist() == [[True, True, False, False], [True, *[False] * 3]]
    assert familiar(log_g, 0.2)[0].tolist() == [True, True, True, False]
    assert familiar(log_g, 0.99)[0].tolist() == [True, False, False, False]
    assert familiar(log_g, 0.0).tolist() == [[True] * 4, [True, *[False] * 3]]


def test_an_action_of_exactly_zeta_is_unfamiliar() -> None:
    assert familiar(torch.tensor([0.5, 0.25]).log(), 0.5).tolist() == [True, False]


def test_familiar_max_by_hand() -> None:
    log_g = torch.tensor([0.6, 0.3, 0.1, 0.0]).log()
    qs = torch.tensor([1.0, 2.0, 7.0, 9.0])
    assert [familiar_max(qs, log_g, zeta).item() for zeta in (0.6, 0.3, 0.1)] == [1.0, 2.0, 7.0]


def test_the_maximum_of_the_joint_value_is_that_of_the_agents() -> None:
    torch.manual_seed(0)
    learner: Any = make_learner("bcq", dtype=F64, zeta=0.6)
    batch = random_batch(dtype=F64)
    log_g = log_policy(learner._mac, batch, last_row=True).detach()
    qs = learner._target_values(batch)
    mixer = learner.networks["target_mixer"]
    decomposed = mixer(familiar_max(qs, log_g, 0.6), batch.state).detach()
    allowed = familiar(log_g, 0.6)
    for b, t in product(range(batch.batch_size), range(batch.obs.shape[1])):
        choices = [allowed[b, t, i].nonzero().flatten().tolist() for i in range(INFO.n_agents)]
        joint = max(
            float(mixer(taken(qs[b, t], torch.tensor(actions)), batch.state[b, t]).detach())
            for actions in product(*choices)
        )
        assert float(decomposed[b, t]) == pytest.approx(joint, rel=1e-9)


@pytest.mark.parametrize("lam", [0.0, 0.7])
def test_bcq_by_a_slow_loop(lam: float) -> None:
    learner: Any = make_learner("bcq", dtype=F64, gamma=0.9, td_lambda=lam, zeta=0.5)
    spread(learner)
    batch = random_batch(dtype=F64)
    with torch.no_grad():
        log_g = log_policy(learner._mac, batch, last_row=True)
        q_tot = learner._q_tot(batch, learner._values(batch))
        best = torch.full(log_g.shape[:3], -INF, dtype=F64)
        qs = learner._target_values(batch)
        for index in np.ndindex(*log_g.shape):
            likeliest = float(log_g[index[:3]].max().exp())
            if float(log_g[index].exp()) > 0.5 * likeliest:
                best[index[:3]] = max(float(best[index[:3]]), float(qs[index]))
        values = learner.networks["target_mixer"](best, batch.state)
    squared = []
    for b, length in enumerate(batch.lengths.tolist()):
        after = 0.0
        for t in reversed(range(length)):
            value = float(values[b, t + 1])
            blend = value if t == length - 1 else (1 - lam) * value + lam * after
            after = float(batch.rewards[b, t]) + 0.9 * (not batch.terminated[b, t]) * blend
            squared.append((float(q_tot[b, t]) - after) ** 2)
    found = learner.train(batch)["critic_loss"].item()
    assert found == pytest.approx(float(np.mean(squared)), rel=1e-9)


def test_bcq_acts_on_its_values_among_familiar_actions() -> None:
    learner: Any = make_learner("bcq", zeta=0.6)
    spread(learner)
    batch, mac = random_batch(), learner._mac
    log_g = log_policy(mac, batch, last_row=True)
    qs = learner.networks["critic"](batch.state, batch.obs)
    hidden: Tensor | None = None
    for t in range(batch.obs.shape[1]):
        actions, hidden = mac.select_actions(
            batch.obs[:, t], batch.avail_actions[:, t], batch.last_actions()[:, t], hidden
        )
        allowed = familiar(log_g[:, t], 0.6)
        assert taken(allowed, actions).all()
        assert torch.equal(qs[:, t].masked_fill(~allowed, -INF).argmax(-1), actions)


def test_a_checkpoint_of_bcq_acts_by_agent_th_alone() -> None:
    ours: Any = make_learner("bcq", seed=0)
    theirs: Any = make_learner("bcq", seed=1)
    theirs._mac.agent.load_state_dict(ours.state_dict()["agent"])
    batch = random_batch()
    step = (batch.obs[:, 0], batch.avail_actions[:, 0], batch.last_actions()[:, 0], None)
    assert torch.equal(theirs._mac.select_actions(*step)[0], ours._mac.select_actions(*step)[0])


def test_the_conservative_gap_by_hand() -> None:
    qs = torch.tensor([[1.0, 2.0, 9.0], [0.0, 4.0, 5.0]])
    avail = torch.tensor([[True, True, False], [True, True, True]])
    weights, actions = torch.tensor([2.0, 0.5]), torch.tensor([0, 2])
    expected = math.log(math.exp(2) + math.exp(4)) - 2
    expected += math.log(1 + math.exp(2) + math.exp(2.5)) - 2.5
    assert conservative_gap(qs, weights, avail, actions).item() == pytest.approx(expected)


def test_the_conservative_gap_is_that_of_all_joint_actions() -> None:
    """Eq. 58 as printed adds b once for every agent; the joint log-sum-exp adds it once."""
    torch.manual_seed(0)
    learner: Any = make_learner("cql", dtype=F64)
    batch = random_batch(dtype=F64)
    mixer, qs = learner.networks["mixer"], learner._values(batch).detach()
    avail, actions = batch.avail_actions[:, :-1], batch.actions[:, :-1]
    weights = mixer.weights(batch.state[:, :-1]).detach()
    gap = conservative_gap(qs, weights, avail, actions)
    for b, t in product(range(batch.batch_size), range(actions.shape[1])):
        choices = [avail[b, t, i].nonzero().flatten().tolist() for i in range(INFO.n_agents)]
        everything = [
            float(mixer(taken(qs[b, t], torch.tensor(joint)), batch.state[b, t]).detach())
            for joint in product(*choices)
        ]
        recorded = float(mixer(taken(qs[b, t], actions[b, t]), batch.state[b, t]).detach())
        expected = float(np.logaddexp.reduce(everything)) - recorded
        assert float(gap[b, t]) == pytest.approx(expected, rel=1e-9)
    assert (gap >= 0).all()


def slow_tree_backup(
    rewards: list[float], v: list[float], q: list[float], pi: list[float], ends: bool, lam: float
) -> list[float]:
    """Tree Backup of one episode as the sum of its traced TD errors; gamma .9, by definition."""
    length = len(rewards)
    found = []
    for start in range(length):
        total, trace = q[start], 1.0
        for t in range(start, length):
            follows = 0.0 if ends and t == length - 1 else 1.0
            delta = rewards[t] + 0.9 * follows * v[t + 1] - q[t]
            total += trace * delta
            trace *= 0.9 * lam * pi[t + 1]
        found.append(total)
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("lam", [0.0, 0.6, 1.0])
def test_traced_returns_are_the_sum_of_traced_errors(seed: int, lam: float) -> None:
    chance = torch.Generator().manual_seed(seed)
    batch = random_batch(seed=seed, dtype=F64)
    shape = (batch.batch_size, batch.mask.shape[1] + 1)
    v, q = (torch.randn(shape, generator=chance, dtype=F64) for _ in range(2))
    pi = torch.rand(shape, generator=chance, dtype=F64)
    ends = (batch.terminated, batch.mask)
    returns = traced_returns(batch.rewards, v, q, lam * pi, *ends, 0.9)
    for b, length in enumerate(batch.lengths.tolist()):
        of_b = [x[b].tolist() for x in (v, q, pi)]
        rewards, end = batch.rewards[b, :length].tolist(), bool(batch.terminated[b].any())
        expected = slow_tree_backup(rewards, *of_b, end, lam)
        torch.testing.assert_close(returns[b, :length], torch.tensor(expected, dtype=F64))


def test_traced_returns_ignore_padding_and_what_follows_an_end() -> None:
    batch = random_batch((3, 1), dtype=F64)
    values = torch.randn(2, 4, dtype=F64)
    dirty = values.clone()
    dirty[0, 3] = dirty[1, 2:] = float("nan")
    arguments = (batch.terminated, batch.mask, 0.9)
    clean = traced_returns(batch.rewards, values, values, values.abs(), *arguments)
    found = traced_returns(batch.rewards, dirty, dirty, dirty.abs(), *arguments)
    assert torch.equal(found[batch.mask], clean[batch.mask])


@pytest.mark.parametrize("gradient", ["expected", "recorded"])
def test_cql_by_a_slow_loop(gradient: str) -> None:
    keys: dict[str, Any] = {"gamma": 0.9, "td_lambda": 0.6, "cql_alpha": 1.5, "entropy_coef": 0.7}
    learner: Any = make_learner("cql", dtype=F64, policy_gradient=gradient, **keys)
    spread(learner)
    batch = random_batch(dtype=F64)
    with torch.no_grad():
        log_pi = log_policy(learner._mac, batch, last_row=True)
        target, mixer = learner._target_values(batch), learner.networks["target_mixer"]
        v = mixer((log_pi.exp() * target).sum(-1), batch.state)
        q = mixer(taken(target, batch.actions), batch.state)
        pi = taken(log_pi, batch.actions).sum(-1).exp()
        qs = learner._values(batch)
        weights = learner.networks["mixer"].weights(batch.state)
        q_tot = learner._q_tot(batch, qs)
    gaps, squared, climbs = [], [], []
    for b, length in enumerate(batch.lengths.tolist()):
        rewards, end = batch.rewards[b, :length].tolist(), bool(batch.terminated[b].any())
        y = slow_tree_backup(rewards, v[b].tolist(), q[b].tolist(), pi[b].tolist(), end, 0.6)
        for t in range(length):
            squared.append((y[t] - float(q_tot[b, t])) ** 2)
            gap = 0.0
            for i in range(INFO.n_agents):
                able = [a for a in range(INFO.n_actions) if batch.avail_actions[b, t, i, a]]
                w, a_i = float(weights[b, t, i]), int(batch.actions[b, t, i])
                q_i = qs[b, t, i].tolist()
                gap += float(np.log(sum(np.exp(w * q_i[a]) for a in able))) - w * q_i[a_i]
                if len(able) > 1:
                    log_p = log_pi[b, t, i].tolist()
                    p = np.exp(log_p)
                    spread_out = -sum(p[a] * log_p[a] for a in able)
                    value = w * sum(p[a] * q_i[a] for a in able)
                    climb = value if gradient == "expected" else log_p[a_i] * q_i[a_i]
                    climbs.append(climb + 0.7 * spread_out)
            gaps.append(gap)
    metrics = learner.train(batch)
    expected = 1.5 * float(np.mean(gaps)) + 0.5 * float(np.mean(squared))
    assert metrics["critic_loss"].item() == pytest.approx(expected, rel=1e-9)
    assert metrics["cql_gap"].item() == pytest.approx(float(np.mean(gaps)), rel=1e-9)
    assert metrics["actor_loss"].item() == pytest.approx(-float(np.mean(climbs)), rel=1e-9)


def test_the_penalty_lowers_the_actions_of_the_policy_that_climbs_value_and_entropy() -> None:
    """Its gradient in w_i Q_i is softmax(w_i Q_i) less the recorded action; it is that policy's
    value and entropy, which no other policy exceeds, less the recorded action's value."""
    batch = random_batch(dtype=F64)
    avail, actions = batch.avail_actions, batch.actions
    chance = torch.Generator().manual_seed(1)
    scaled, other = (3 * torch.randn(avail.shape, generator=chance, dtype=F64) for _ in range(2))
    scaled.requires_grad_()
    gap = conservative_gap(scaled, torch.ones(actions.shape, dtype=F64), avail, actions)
    (gradient,) = torch.autograd.grad(gap.sum(), scaled)
    best, worse = (available_log_softmax(x, avail) for x in (scaled.detach(), other))
    recorded = torch.nn.functional.one_hot(actions, INFO.n_actions)
    torch.testing.assert_close(gradient, best.exp() - recorded)
    objective = expected_value(best, scaled) + entropy(best)
    torch.testing.assert_close((objective - taken(scaled, actions)).sum(-1), gap)
    assert (expected_value(worse, scaled) + entropy(worse) <= objective + 1e-12).all()


def test_the_policy_becomes_the_softmax_of_the_values() -> None:
    """Of fixed values; every game is at its first step, so the agent's memory plays no part."""
    learner: Any = make_learner("cql", lr=0.01, critic_lr=1e-12)
    batch = random_batch((1, 1), seed=2)
    qs, weights = learner._values(batch).detach(), learner._weights(batch.state[:, :-1]).detach()
    avail = batch.avail_actions[:, :-1]
    for _ in range(500):
        learner.train(batch)
    with torch.no_grad():
        found = log_policy(learner._mac, batch).exp()
    wanted = available_log_softmax(weights.unsqueeze(-1) * qs, avail).exp()
    torch.testing.assert_close(found, wanted, atol=0.02, rtol=0)


def test_more_conservatism_makes_smaller_gaps() -> None:
    gaps = []
    for alpha in (0.0, 10.0):
        learner = make_learner("cql", cql_alpha=alpha, critic_lr=0.01)
        gaps.append([learner.train(random_batch())["cql_gap"].item() for _ in range(50)][-1])
    assert gaps[1] < 0.5 * gaps[0]


@pytest.mark.parametrize(
    ("alg", "keys", "found"),
    [("bcq", {"zeta": 0.1}, 8.0), ("cql", {"cql_alpha": 0.1}, 8.0), ("cql", {}, 7.0)],
)
def test_they_find_the_rare_best_games_or_stay_with_the_frequent_ones(
    alg: str, keys: dict[str, float], found: float, two_step_file: Path
) -> None:
    """Of games that paid 7, or rarely 8; alpha_CQL = 2 keeps to what is frequent."""
    batch = recorded(two_step_file, {7.0, 8.0})
    info = TwoStepEnv.env_info({})
    learner: Any = make_learner(alg, info, rnn_hidden_dim=16, lr=0.01, critic_lr=0.01, **keys)
    for _ in range(200):
        learner.train(batch)
    games = evaluate(TwoStepEnv({}, 4), learner._mac, 4, np.random.default_rng(0), CPU)
    assert games.statistics()["return_mean"] == found


def recorded(path: Path, returns: set[float]) -> EpisodeBatch:
    """The recorded games that brought one of `returns`."""
    data = RecordedEpisodes(path)
    return data.read(np.flatnonzero(np.isin(data.episodes["return"], list(returns))))


def spread(learner: Any) -> None:
    """Weights far from zero, targets unlike their twins."""
    torch.manual_seed(3)
    for value in learner.networks.parameters():
        torch.nn.init.normal_(value, std=0.4)
