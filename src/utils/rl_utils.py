"""Equations that several algorithms share: tensors in, tensors out."""

from __future__ import annotations

import torch
from torch import Tensor


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` where `mask` is true; both of one shape. Garbage elsewhere has no effect."""
    return values.where(mask, 0.0).sum() / mask.sum()


def lambda_returns(
    rewards: Tensor, values: Tensor, terminated: Tensor, mask: Tensor, gamma: float, lam: float
) -> Tensor:
    """G_t = r_t + gamma [(1 - lam) V_{t+1} + lam G_{t+1}], the lambda-return.

    rewards, terminated, mask (B,T); values (B,T+1) -> (B,T), detached. Nothing follows a true
    end; where the recording stops at a time limit, the last value is bootstrapped in full.
    """
    values = values.detach()
    goes_on = torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], dim=1)
    discount = gamma * (~terminated).to(values.dtype)
    blend = lam * goes_on.to(values.dtype)
    returns = torch.empty_like(rewards)
    following = values[:, -1]
    for t in range(rewards.shape[1] - 1, -1, -1):
        bootstrap = torch.lerp(values[:, t + 1], following, blend[:, t])
        following = torch.addcmul(rewards[:, t], discount[:, t], bootstrap)
        returns[:, t] = following
    return returns
