"""The linear mixer without learnt weights: Q_tot = sum_i Q_i + b(s)."""

from __future__ import annotations

import torch
from torch import Tensor

from modules.mixers.linear import LinearMixer


class UniformMixer(LinearMixer):
    """Every w_i is 1; only the bias is learnt."""

    def __init__(self, n_agents: int, state_dim: int, embed_dim: int, hypernet_dim: int) -> None:
        super().__init__(n_agents, state_dim, embed_dim, hypernet_dim)
        self.n_agents = n_agents
        del self.hyper_w

    def weights(self, state: Tensor) -> Tensor:
        """State (...,S) -> w (...,N), all 1."""
        return torch.ones(*state.shape[:-1], self.n_agents, dtype=state.dtype, device=state.device)
