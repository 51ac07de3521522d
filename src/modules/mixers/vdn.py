"""VDN (Sunehag et al. 2017): the team's value is the sum of the agents' values."""

from __future__ import annotations

from torch import Tensor, nn


class VDNMixer(nn.Module):
    """Q_tot = sum_i Q_i; it has no parameters."""

    def __init__(self, n_agents: int, state_dim: int, embed_dim: int, hypernet_dim: int) -> None:
        super().__init__()
        self.n_agents = n_agents

    def weights(self, state: Tensor) -> Tensor:
        """State (...,S) -> w (...,N), all 1."""
        return state.new_ones(*state.shape[:-1], self.n_agents)

    def forward(self, agent_qs: Tensor, state: Tensor) -> Tensor:
        """agent_qs (...,N), state (...,S) -> (...)."""
        return agent_qs.sum(-1)
