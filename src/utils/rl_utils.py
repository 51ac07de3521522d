"""Equations that several algorithms share: tensors in, tensors out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from components.episode_batch import EpisodeBatch
    from controllers.basic_controller import BasicMAC


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` where `mask` is true; both of one shape. 0 where nothing is."""
    return values.where(mask, 0.0).sum() / mask.sum().clamp(min=1)


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


def choices(batch: EpisodeBatch) -> Tensor:
    """(B,T,N) bool: real transitions at which the agent had more than one action to choose from.

    A dead agent has one, so its probability is 1 whatever the network says: nothing to learn.
    """
    return batch.mask.unsqueeze(-1) & (batch.avail_actions[:, :-1].sum(-1) > 1)


def log_policy(mac: BasicMAC, batch: EpisodeBatch) -> Tensor:
    """(B,T,N,A): log pi_i(. | tau_i) over the available actions; -inf for the others."""
    logits, _ = mac.forward(batch.obs[:, :-1], batch.last_actions()[:, :-1])
    return logits.masked_fill(~batch.avail_actions[:, :-1], -torch.inf).log_softmax(-1)


def taken(values: Tensor, actions: Tensor) -> Tensor:
    """values (...,A), actions (...) -> (...): each agent's value of its action."""
    return values.gather(-1, actions.unsqueeze(-1)).squeeze(-1)
