"""The linear mixer without learnt weights: Q_tot = sum_i Q_i + b(s)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class UniformMixer(nn.Module):
    """Every w_i is 1; only the bias is learnt."""

    def __init__(self, n_agents: int, state_dim: int, embed_dim: int, hypernet_dim: int) -> None:
        super().__init__()
        self.n_agents = n_agents
        self.hyper_b = nn.Sequential(
            nn.Linear(state_dim, embed_dim), nn.ReLU(), nn.Linear(embed_dim, 1)
        )

    def weights(self, state: Tensor) -> Tensor:
        """State (...,S) -> w (...,N), all 1."""
        return torch.ones(*state.shape[:-1], self.n_agents, dtype=state.dtype, device=state.device)

    def forward(self, agent_qs: Tensor, state: Tensor) -> Tensor:
        """agent_qs (...,N), state (...,S) -> (...)."""
        return agent_qs.sum(-1) + self.hyper_b(state).squeeze(-1)
