"""Critics of continuous actions, Q_i(o_i, a_i): one network for all agents, or several of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from modules.mlp import AgentMLP


class ActionCritic(nn.Module):
    """`n_critics` networks of equal shape, apart in nothing but their first weights."""

    def __init__(
        self,
        obs_dim: int,
        n_agents: int,
        n_actions: int,
        hidden_dim: int,
        n_layers: int,
        n_critics: int,
    ) -> None:
        super().__init__()
        self.critics = nn.ModuleList(
            AgentMLP(n_agents, [obs_dim, n_actions], hidden_dim, n_layers, 1)
            for _ in range(n_critics)
        )

    def forward(self, obs: Tensor, actions: Tensor) -> Tensor:
        """Obs (...,N,O), actions (...,N,A), or of shapes that broadcast -> (n_critics,...,N)."""
        return torch.stack([q(obs, actions).squeeze(-1) for q in self.critics])
