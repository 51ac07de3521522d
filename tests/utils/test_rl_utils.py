"""The shared equations: by hand, by a slow loop, and with garbage where no one may look."""

from __future__ import annotations

import math

import pytest
import torch
from batches import INFO, LENGTHS, random_batch
from torch import Tensor

from controllers.basic_controller import BasicMAC
from utils.config import load_settings
from utils.rl_utils import choices, entropy, lambda_returns, log_policy, masked_mean, taken

NAN = float("nan")


def n_step_return(
    rewards: Tensor, values: Tensor, ends: bool, t: int, n: int, gamma: float
) -> float:
    """G_t^(n) = sum_{k<n} gamma^k r_{t+k} + gamma^n V_{t+n}, of one episode."""
    total = sum(gamma**k * float(rewards[t + k]) for k in range(n))
    nothing_follows = ends and t + n == len(rewards)
    return total + (0.0 if nothing_follows else gamma**n * float(values[t + n]))


def slow_lambda_returns(
    rewards: Tensor, values: Tensor, ends: bool, gamma: float, lam: float
) -> list[float]:
    """(1 - lam) sum_n lam^(n-1) G_t^(n), and all the rest of the weight on the longest."""
    length = len(rewards)
    returns = []
    for t in range(length):
        steps = [
            n_step_return(rewards, values, ends, t, n, gamma) for n in range(1, length - t + 1)
        ]
        weighted = sum((1 - lam) * lam**n * g for n, g in enumerate(steps[:-1]))
        returns.append(weighted + lam ** (len(steps) - 1) * steps[-1])
    return returns


def test_lambda_returns_by_hand() -> None:
    rewards = torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 0.0]])
    values = torch.tensor([[9.0, 10.0, 20.0, 40.0], [9.0, 10.0, 20.0, 7.0]])
    terminated = torch.tensor([[False, False, True], [False, False, False]])
    mask = torch.tensor([[True, True, True], [True, True, False]])
    returns = lambda_returns(rewards, values, terminated, mask, gamma=0.5, lam=0.5)
    # ended:  3;  2 + .5 (.5*20 + .5*3) = 7.75;   1 + .5 (.5*10 + .5*7.75) = 5.4375
    # cut:        2 + .5 * 20 = 12;               1 + .5 (.5*10 + .5*12) = 6.5
    assert returns[0].tolist() == [5.4375, 7.75, 3.0]
    assert returns[1, :2].tolist() == [6.5, 12.0]


@pytest.mark.parametrize("lam", [0.0, 0.3, 0.8, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_lambda_returns_equal_a_slow_loop(seed: int, lam: float) -> None:
    chance = torch.Generator().manual_seed(seed)
    lengths = tuple(torch.randint(1, 9, (6,), generator=chance).tolist())
    batch = random_batch(lengths, seed, torch.float64)
    values = torch.randn(6, max(lengths) + 1, generator=chance, dtype=torch.float64)
    returns = lambda_returns(batch.rewards, values, batch.terminated, batch.mask, 0.9, lam)
    for i, length in enumerate(lengths):
        ends = bool(batch.terminated[i].any())
        slow = slow_lambda_returns(batch.rewards[i, :length], values[i], ends, 0.9, lam)
        torch.testing.assert_close(returns[i, :length], torch.tensor(slow, dtype=torch.float64))


def test_lambda_zero_is_one_step_td() -> None:
    batch = random_batch()
    values = torch.randn(len(LENGTHS), max(LENGTHS) + 1)
    returns = lambda_returns(batch.rewards, values, batch.terminated, batch.mask, 0.9, 0.0)
    td = batch.rewards + 0.9 * values[:, 1:] * ~batch.terminated
    torch.testing.assert_close(returns[batch.mask], td[batch.mask])


def test_lambda_one_is_monte_carlo_with_a_bootstrap_where_time_ran_out() -> None:
    batch = random_batch((4, 4))
    values = torch.randn(2, 5)
    returns = lambda_returns(batch.rewards, values, batch.terminated, batch.mask, 0.9, 1.0)
    discounts = 0.9 ** torch.arange(4)
    ended, cut = (batch.rewards * discounts).sum(1)
    torch.testing.assert_close(returns[0, 0], ended)
    torch.testing.assert_close(returns[1, 0], cut + 0.9**4 * values[1, 4])


@pytest.mark.parametrize("garbage", [1e30, float("inf"), NAN])
def test_lambda_returns_never_look_behind_an_episode(garbage: float) -> None:
    batch = random_batch()
    values = torch.randn(len(LENGTHS), max(LENGTHS) + 1)
    arguments = (batch.terminated, batch.mask, 0.9, 0.8)
    clean = lambda_returns(batch.rewards, values, *arguments)
    behind = torch.arange(values.shape[1]) > batch.lengths[:, None]
    dirty = lambda_returns(
        batch.rewards.masked_fill(~batch.mask, garbage),
        values.masked_fill(behind, garbage),
        *arguments,
    )
    assert torch.equal(dirty[batch.mask], clean[batch.mask])


def test_lambda_returns_are_detached() -> None:
    batch = random_batch()
    values = torch.randn(len(LENGTHS), max(LENGTHS) + 1, requires_grad=True)
    returns = lambda_returns(batch.rewards, values, batch.terminated, batch.mask, 0.9, 0.8)
    assert not returns.requires_grad


def test_masked_mean() -> None:
    mask = torch.tensor([True, True, False, False])
    values = torch.tensor([1.0, 2.0, NAN, float("inf")], requires_grad=True)
    mean = masked_mean(values, mask)
    mean.backward()
    assert mean.item() == 1.5
    assert values.grad is not None
    assert values.grad.tolist() == [0.5, 0.5, 0.0, 0.0]


def test_choices_are_real_steps_with_two_actions_or_more() -> None:
    batch = random_batch()
    chosen = choices(batch)
    assert chosen.shape == (len(LENGTHS), max(LENGTHS), INFO.n_agents)
    for b, t, i in torch.cartesian_prod(*(torch.arange(n) for n in chosen.shape)).tolist():
        several = int(batch.avail_actions[b, t, i].sum()) > 1
        assert bool(chosen[b, t, i]) == (t < LENGTHS[b] and several)
    assert chosen.any()
    assert not chosen[batch.mask].all()


def test_log_policy_is_a_distribution_over_the_available_actions() -> None:
    batch = random_batch()
    mac = BasicMAC(INFO, load_settings("bc", "two_step", {}))
    log_pi = log_policy(mac, batch)
    avail = batch.avail_actions[:, :-1]
    assert log_pi.shape == avail.shape
    assert torch.equal(log_pi == -torch.inf, ~avail)
    torch.testing.assert_close(log_pi.exp().sum(-1), torch.ones(avail.shape[:-1]))
    logits, _ = mac.forward(batch.obs[:, :-1], batch.last_actions()[:, :-1])
    weights = logits.exp() * avail
    torch.testing.assert_close(log_pi.exp(), weights / weights.sum(-1, keepdim=True))


def test_taken() -> None:
    values = torch.tensor([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]])
    assert taken(values, torch.tensor([[2, 0]])).tolist() == [[3.0, 4.0]]


def test_entropy_of_a_half_and_two_quarters_and_of_a_single_choice() -> None:
    log_pi = torch.tensor([[0.5, 0.25, 0.25, 0.0], [0.0, 1.0, 0.0, 0.0]]).log()
    torch.testing.assert_close(entropy(log_pi), torch.tensor([1.5 * math.log(2), 0.0]))
