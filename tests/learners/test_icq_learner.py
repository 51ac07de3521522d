"""ICQ: its equations by hand, its update by slow loops over numpy, and what it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from batches import CPU, INFO, make_learner, random_batch
from torch import Tensor

from components.episode_batch import EpisodeBatch
from data.read import RecordedEpisodes
from envs.two_step import TwoStepEnv
from runners.rollout import evaluate
from utils.rl_utils import implicit_weights, log_policy, policy_loss

F64 = torch.float64
Part = dict[str, np.ndarray]
GAMMA, LAMBDA, POLICY_ALPHA, VALUE_ALPHA, CEILING = 0.9, 0.7, 0.2, 1.5, 3.0


def test_implicit_weights_by_hand() -> None:
    values = torch.log(torch.tensor([[1.0, 2.0], [5.0, 99.0]]))
    mask = torch.tensor([[True, True], [True, False]])
    weights = implicit_weights(values, mask, 1.0)
    torch.testing.assert_close(weights, torch.tensor([[3 / 8, 6 / 8], [15 / 8, 0.0]]))
    squares = implicit_weights(values, mask, 0.5)  # exp(2 log v) = v^2
    torch.testing.assert_close(squares, torch.tensor([[3 / 30, 12 / 30], [75 / 30, 0.0]]))


def test_implicit_weights_are_cut_at_the_ceiling() -> None:
    values, mask = torch.log(torch.tensor([[1.0, 2.0, 50.0]])), torch.ones(1, 3, dtype=torch.bool)
    weights = implicit_weights(values, mask, 1.0, ceiling=3.0)
    torch.testing.assert_close(weights, torch.tensor([[3 / 6, 6 / 6, 9 / 6]]))


@pytest.mark.parametrize("temperature", [1e-3, 0.1, 1.0, 1e6])
@pytest.mark.parametrize("shape", [(4, 7), (4, 7, 3)])
def test_implicit_weights_sum_to_the_number_of_samples(
    shape: tuple[int, ...], temperature: float
) -> None:
    chance = torch.Generator().manual_seed(0)
    values = 20 * torch.randn(shape, generator=chance, dtype=F64)
    mask = torch.rand(shape, generator=chance) < 0.6
    values = values.masked_fill(~mask, torch.nan)
    weights = implicit_weights(values, mask, temperature)
    assert weights.isfinite().all()
    assert (weights >= 0).all()
    assert (weights[~mask] == 0).all()
    torch.testing.assert_close(weights.sum((0, 1)), mask.sum((0, 1)).double())
    if temperature == 1e6:
        torch.testing.assert_close(weights, mask.double(), atol=1e-3, rtol=0)


def test_each_agent_has_its_own_softmax() -> None:
    chance = torch.Generator().manual_seed(0)
    values = torch.randn(4, 7, 3, generator=chance)
    mask = torch.rand(4, 7, 3, generator=chance) < 0.6
    together = implicit_weights(values, mask, 0.5)
    for i in range(3):
        torch.testing.assert_close(
            together[..., i], implicit_weights(values[..., i], mask[..., i], 0.5)
        )


def test_a_constant_shift_changes_no_weight() -> None:
    values, mask = torch.randn(4, 7, 3, dtype=F64), torch.ones(4, 7, 3, dtype=torch.bool)
    shifts = torch.tensor([-100.0, 5.0, 1000.0])
    shifted = implicit_weights(values + shifts, mask, 0.3)
    torch.testing.assert_close(shifted, implicit_weights(values, mask, 0.3))


def test_an_agent_without_samples_has_no_weight() -> None:
    mask = torch.ones(4, 7, 3, dtype=torch.bool)
    mask[..., 1] = False
    weights = implicit_weights(torch.randn(4, 7, 3), mask, 0.1)
    assert (weights[..., 1] == 0).all()
    assert weights.isfinite().all()
    assert (weights[..., 0] > 0).any()


def test_no_gradient_flows_through_the_weights() -> None:
    values = torch.randn(2, 3, 2, requires_grad=True)
    mask = torch.ones(2, 3, 2, dtype=torch.bool)
    assert not implicit_weights(values, mask, 1.0).requires_grad
    log_pi = torch.randn(2, 3, 2, requires_grad=True)
    policy_loss(log_pi, values, mask).backward()
    assert values.grad is None
    assert log_pi.grad is not None
    torch.testing.assert_close(log_pi.grad, -values.detach() / 12)


def test_policy_loss_by_hand() -> None:
    log_pi = torch.tensor([[[-1.0, -2.0], [-4.0, -torch.inf]]])
    weights = torch.tensor([[[0.5, 2.0], [1.0, 0.0]]])
    mask = torch.tensor([[[True, True], [True, False]]])
    assert policy_loss(log_pi, weights, mask).item() == pytest.approx((0.5 + 4 + 4) / 3)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def layer(p: Part, name: str, x: np.ndarray) -> np.ndarray:
    return p[f"{name}.weight"] @ x + p[f"{name}.bias"]


def net(p: Part, name: str, x: np.ndarray) -> np.ndarray:
    """Linear, ReLU, linear."""
    return layer(p, f"{name}.2", np.maximum(layer(p, f"{name}.0", x), 0))


def policies(p: Part, obs: np.ndarray, actions: np.ndarray, avail: np.ndarray, i: int) -> Any:
    """pi_i(. | tau_i) at every step of one episode, by a GRU written out."""
    hidden = np.zeros(p["rnn.weight_hh_l0"].shape[1])
    out = []
    for t in range(len(obs)):
        last = np.eye(INFO.n_actions)[actions[t - 1]] if t else np.zeros(INFO.n_actions)
        x = np.maximum(layer(p, "fc1", np.concatenate([obs[t], last, np.eye(3)[i]])), 0)
        gi = p["rnn.weight_ih_l0"] @ x + p["rnn.bias_ih_l0"]
        gh = p["rnn.weight_hh_l0"] @ hidden + p["rnn.bias_hh_l0"]
        (ri, zi, ni), (rh, zh, nh) = np.split(gi, 3), np.split(gh, 3)
        r, z = sigmoid(ri + rh), sigmoid(zi + zh)
        hidden = (1 - z) * np.tanh(ni + r * nh) + z * hidden
        weights = np.exp(layer(p, "fc2", hidden)) * avail[t]
        out.append(weights / weights.sum())
    return out


def q_values(p: Part, state: np.ndarray, obs: np.ndarray, i: int) -> np.ndarray:
    """Q_i(o_i, .), or Q_i(s, o_i, .) where the first layer has room for the state."""
    inputs = np.concatenate([obs, np.eye(3)[i], state])
    x = np.maximum(layer(p, "fc1", inputs[: p["fc1.weight"].shape[1]]), 0)
    return layer(p, "fc3", np.maximum(layer(p, "fc2", x), 0))


def q_total(critic: Part, mixer: Part, e: dict[str, np.ndarray], t: int) -> float:
    """Q_tot of the recorded joint action in row t of an episode."""
    qs = [q_values(critic, e["state"][t], e["obs"][t, i], i)[e["actions"][t, i]] for i in range(3)]
    weights = np.abs(net(mixer, "hyper_w", e["state"][t]))
    return float(weights @ np.array(qs) + net(mixer, "hyper_b", e["state"][t])[0])


def softmax_weights(values: list[float], alpha: float, ceiling: float = np.inf) -> list[float]:
    top = [min(np.exp(v / alpha), ceiling) for v in values]
    return [len(values) * x / sum(top) for x in top]


def slow_critic_loss(parts: dict[str, Part], episodes: list[dict[str, np.ndarray]]) -> float:
    samples = [
        (e, t) for e in range(len(episodes)) for t in range(len(episodes[e]["rewards"]))
        if not episodes[e]["terminated"][t]
    ]  # fmt: skip
    following = [
        q_total(parts["target_critic"], parts["target_mixer"], episodes[e], t + 1)
        for e, t in samples
    ]
    rho = [min(weight, 1 / GAMMA) for weight in softmax_weights(following, VALUE_ALPHA)]
    assert max(softmax_weights(following, VALUE_ALPHA)) > 1 / GAMMA, "nothing to clamp"
    value = {s: r * q for s, r, q in zip(samples, rho, following, strict=True)}
    errors = []
    for e, episode in enumerate(episodes):
        length = len(episode["rewards"])
        after = 0.0
        for t in reversed(range(length)):
            bootstrap = value.get((e, t), 0.0)
            if t < length - 1:
                bootstrap = (1 - LAMBDA) * bootstrap + LAMBDA * after
            after = episode["rewards"][t] + GAMMA * bootstrap
            errors.append((q_total(parts["critic"], parts["mixer"], episode, t) - after) ** 2)
    return float(np.mean(errors))


def slow_actor_loss(parts: dict[str, Part], episodes: list[dict[str, np.ndarray]]) -> float:
    total, count = 0.0, 0
    for i in range(INFO.n_agents):
        advantages, log_pi = [], []
        for e in episodes:
            length = len(e["rewards"])
            obs, actions, avail = (e[k][:length, i] for k in ("obs", "actions", "avail_actions"))
            pis = policies(parts["agent"], obs, actions, avail, i)
            for t in range(length):
                if avail[t].sum() < 2:
                    continue
                qs = q_values(parts["critic"], e["state"][t], obs[t], i)
                w = np.abs(net(parts["mixer"], "hyper_w", e["state"][t]))[i]
                advantages.append(w * (qs[actions[t]] - pis[t] @ qs))
                log_pi.append(np.log(pis[t][actions[t]]))
        total -= float(np.dot(softmax_weights(advantages, POLICY_ALPHA, CEILING), log_pi))
        count += len(log_pi)
    return total / count


def as_episodes(batch: EpisodeBatch) -> list[dict[str, np.ndarray]]:
    """Each episode by itself, without padding."""
    singles = [batch.episodes([b]).trim().tensors() for b in range(batch.batch_size)]
    return [{k: v[0].numpy() for k, v in single.items()} for single in singles]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sees_state", [False, True])
def test_one_update_equals_a_slow_transcription_of_algorithm_2(seed: int, sees_state: bool) -> None:
    keys = {"policy_temperature": POLICY_ALPHA, "value_temperature": VALUE_ALPHA}
    keys |= {"gamma": GAMMA, "td_lambda": LAMBDA, "max_weight": CEILING}
    keys |= {"critic_sees_state": sees_state}
    learner: Any = make_learner("icq", seed=seed, dtype=F64, critic_hidden_dim=8, **keys)
    for value in learner.networks.parameters():  # not near zero, targets unlike their twins
        torch.nn.init.normal_(value, std=0.4)
    parts = {
        name: {k: v.numpy().copy() for k, v in network.state_dict().items()}
        for name, network in learner.networks.items()
    }
    batch = random_batch(seed=seed, dtype=F64)
    episodes = as_episodes(batch)
    metrics = learner.train(batch)
    expected = slow_critic_loss(parts, episodes), slow_actor_loss(parts, episodes)
    assert metrics["critic_loss"].item() == pytest.approx(expected[0], rel=1e-9)
    assert metrics["actor_loss"].item() == pytest.approx(expected[1], rel=1e-9)


def test_critic_steps_take_more_steps_of_the_critic_alone() -> None:
    one, three = make_learner("icq"), make_learner("icq", critic_steps=3)
    batch = random_batch()
    once, thrice = one.train(batch), three.train(batch)
    assert thrice["critic_loss"] < once["critic_loss"]
    ours, theirs = one.networks["agent"].state_dict(), three.networks["agent"].state_dict()
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)


def recorded(path: Path, returns: set[float]) -> EpisodeBatch:
    """The recorded games that brought one of `returns`."""
    data = RecordedEpisodes(path)
    return data.read(np.flatnonzero(np.isin(data.episodes["return"], list(returns))))


def greedy_return(alg: str, batch: EpisodeBatch) -> tuple[Any, float]:
    """A learner trained on the whole of `batch`, and the return of its greedy policy."""
    lr = {"lr": 0.01} | ({"critic_lr": 0.01} if alg == "icq" else {})
    learner: Any = make_learner(alg, TwoStepEnv.env_info({}), rnn_hidden_dim=16, **lr)
    for _ in range(200):
        learner.train(batch)
    games = evaluate(TwoStepEnv({}, 4), learner._mac, 4, np.random.default_rng(0), CPU)
    return learner, games.statistics()["return_mean"]


def pi_second_step(learner: Any, batch: EpisodeBatch, game: int) -> Tensor:
    """(N,A): mean policy in the second step of those who came into `game`."""
    chosen = batch.state[:, 1].argmax(-1) == game
    return log_policy(learner._mac, batch)[chosen, 1].exp().mean(0)


def test_icq_improves_on_random_play_but_trusts_its_values(two_step_file: Path) -> None:
    """Game B pays random players 2.5 on average, game A 7: one step of improvement takes A.

    Within game B the pay-off [[0, 1], [1, 8]] makes both agents choose 1.
    """
    batch = recorded(two_step_file, {0.0, 1.0, 7.0, 8.0})
    learner, found = greedy_return("icq", batch)
    assert found == 7.0
    assert (pi_second_step(learner, batch, game=2)[:, 1] > 0.9).all()


def test_icq_finds_the_rare_best_games_where_imitation_does_not(two_step_file: Path) -> None:
    batch = recorded(two_step_file, {7.0, 8.0})
    assert 0.1 < (batch.returns == 8).float().mean() < 0.4
    assert greedy_return("bc", batch)[1] == 7.0
    assert greedy_return("icq", batch)[1] == 8.0
