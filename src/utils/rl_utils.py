"""Equations that several algorithms share: tensors in, tensors out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from components.episode_batch import EpisodeBatch
    from controllers.basic_controller import BasicMAC


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` where `mask` is true; both of one shape. 0 where nothing is."""
    return values.where(mask, 0.0).sum() / mask.sum().clamp(min=1)


def implicit_weights(
    values: Tensor,
    mask: Tensor,
    temperature: float | Tensor,
    ceiling: float | None = None,
    per_step: bool = False,
) -> Tensor:
    """rho = M exp(v / alpha) / sum over the mini-batch of exp(v / alpha)  (eq. 56).

    values, mask (B,T) or (B,T,N): the softmax runs over all B*T recorded samples, for each agent
    by itself, M of which are real; with `per_step` over the B samples of each time step. What is
    not in the mask is left out of the sum and gets 0. The mean over the others is 1.
    exp(v / alpha) is cut at `ceiling`. Detached.
    """
    logits = values.detach() / temperature
    if ceiling is not None:
        logits = logits.clamp(max=math.log(ceiling))
    logits = logits.masked_fill(~mask, -torch.inf)
    if per_step:
        weights = logits.softmax(0) * mask.sum(0)
    else:
        weights = logits.flatten(0, 1).softmax(0).view_as(logits) * mask.sum((0, 1))
    return weights.where(mask, 0.0)  # an agent without any sample: 0 / 0


def policy_loss(log_pi: Tensor, weights: Tensor, mask: Tensor) -> Tensor:
    """J_pi = sum_i E[- rho_i log pi_i(a_i | tau_i)], averaged over real samples (Algorithm 2).

    log_pi, weights, mask (B,T,N) -> scalar; no gradient flows through the weights.
    """
    return -masked_mean(weights.detach() * log_pi, mask)


def effective_share(weights: Tensor, mask: Tensor) -> Tensor:
    """Kish's effective sample size (sum w)^2 / sum w^2, as a share of the real samples."""
    weights = weights.where(mask, 0.0)
    size = weights.sum().square() / weights.square().sum().clamp(min=1e-12)
    return size / mask.sum().clamp(min=1)


def lambda_returns(
    rewards: Tensor, values: Tensor, terminated: Tensor, mask: Tensor, gamma: float, lam: float
) -> Tensor:
    """G_t = r_t + gamma [(1 - lam) V_{t+1} + lam G_{t+1}], the lambda-return.

    rewards, terminated, mask (B,T); values (B,T+1) -> (B,T), detached. Nothing follows a true
    end; where the recording stops at a time limit, the last value is bootstrapped in full.
    """
    rewards = rewards.where(mask, 0.0)
    values = values.detach()[:, 1:].where(mask, 0.0)  # V_{t+1}
    goes_on = torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], dim=1)
    discount = gamma * (~terminated).to(values.dtype)
    blend = lam * goes_on.to(values.dtype)
    returns = torch.empty_like(rewards)
    following = values[:, -1]
    for t in range(rewards.shape[1] - 1, -1, -1):
        bootstrap = torch.lerp(values[:, t], following, blend[:, t])
        following = torch.addcmul(rewards[:, t], discount[:, t], bootstrap)
        returns[:, t] = following
    return returns


def traced_returns(
    rewards: Tensor, values: Tensor, q_taken: Tensor, traces: Tensor,
    terminated: Tensor, mask: Tensor, gamma: float,
) -> Tensor:  # fmt: skip
    """G_t = r_t + gamma [V_{t+1} + c_{t+1} (G_{t+1} - Q_{t+1})]  (Munos et al. 2016).

    rewards, terminated, mask (B,T); values V, q_taken Q and traces c (B,T+1) -> (B,T), detached.
    V is the policy's mean of Q. c = lambda is Q(lambda), c = lambda pi(a_{t+1}) is Tree Backup.
    Nothing follows a true end; where the recording stops at a time limit, V is bootstrapped.
    """
    follows = mask & ~terminated
    goes_on = torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], dim=1)
    traces = traces.detach()[:, 1:].where(follows & goes_on, 0.0)
    values, q_taken = (x.detach()[:, 1:].where(follows, 0.0) for x in (values, q_taken))
    returns = rewards.where(mask, 0.0) + gamma * (values - traces * q_taken)
    for t in range(rewards.shape[1] - 2, -1, -1):
        returns[:, t] += gamma * traces[:, t] * returns[:, t + 1]
    return returns


def choices(batch: EpisodeBatch) -> Tensor:
    """(B,T,N) bool: real transitions at which the agent had more than one action to choose from.

    A dead agent has one, so its probability is 1 whatever the network says: nothing to learn.
    """
    return batch.mask.unsqueeze(-1) & (batch.avail_actions[:, :-1].sum(-1) > 1)


def log_policy(mac: BasicMAC, batch: EpisodeBatch, last_row: bool = False) -> Tensor:
    """(B,T,N,A): log pi_i(. | tau_i) over the available actions; -inf for the others.

    With `last_row` (B,T+1,N,A): for the last observation, too.
    """
    rows = slice(None) if last_row else slice(-1)
    logits, _ = mac.forward(batch.obs[:, rows], batch.last_actions()[:, rows])
    return available_log_softmax(logits, batch.avail_actions[:, rows])


def available_log_softmax(logits: Tensor, avail_actions: Tensor) -> Tensor:
    """logits, avail_actions (...,A) -> (...,A): over the available actions, -inf for the others."""
    return logits.masked_fill(~avail_actions, -torch.inf).log_softmax(-1)


def expected(log_pi: Tensor, qs: Tensor) -> Tensor:
    """sum_a pi(a) Q(a): log_pi, qs (...,A) -> (...)."""
    return (log_pi.exp() * qs).sum(-1)


def entropy(log_pi: Tensor) -> Tensor:
    """- sum_a pi(a) log pi(a), in nats: log_pi (...,A), -inf for unavailable actions -> (...)."""
    return -expected(log_pi, log_pi.masked_fill(log_pi == -torch.inf, 0.0))


def taken(values: Tensor, actions: Tensor) -> Tensor:
    """values (...,A), actions (...) -> (...): each agent's value of its action."""
    return values.gather(-1, actions.unsqueeze(-1)).squeeze(-1)
