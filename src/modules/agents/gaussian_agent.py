"""A Gaussian policy: its mean is bounded by tanh, its standard deviation is one for all states."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from modules.mlp import AgentMLP

LOG_STD = (-5.0, 2.0)


class GaussianAgent(nn.Module):
    """Actions in units of their bounds: -1 is the lowest, 1 the highest."""

    low: Tensor  # (A,), in the environment's units
    high: Tensor

    def __init__(
        self, obs_dim: int, n_agents: int, hidden_dim: int, n_layers: int,
        low: Sequence[float], high: Sequence[float],
    ) -> None:  # fmt: skip
        super().__init__()
        n_actions = len(low)
        self.register_buffer("low", torch.tensor(low), persistent=False)
        self.register_buffer("high", torch.tensor(high), persistent=False)
        self.body = AgentMLP(n_agents, [obs_dim], hidden_dim, n_layers, n_actions)
        self.log_std = nn.Parameter(torch.zeros(n_agents, n_actions))

    def forward(self, obs: Tensor) -> Tensor:
        """Obs (...,N,O) -> mean (...,N,A) in [-1, 1]."""
        return self.body(obs).tanh()

    def log_prob(self, mean: Tensor, actions: Tensor) -> Tensor:
        """Mean, actions (...,N,A) -> (...,N): log pi_i(a_i | o_i), summed over the dimensions."""
        with torch.no_grad():  # in the graph a clamp would let nothing back in that is outside
            self.log_std.clamp_(*LOG_STD)
        return Normal(mean, self.std, validate_args=False).log_prob(actions).sum(-1)

    @property
    def std(self) -> Tensor:
        """(N,A)."""
        return self.log_std.clamp(*LOG_STD).exp()
