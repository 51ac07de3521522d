"""ICQ's linear mixer: Q_tot = sum_i w_i(s) Q_i + b(s), with w_i >= 0 (Theorem 3's assumption)."""

from __future__ import annotations

from torch import Tensor, nn


class LinearMixer(nn.Module):
    """Weights and bias from hypernetworks of the state."""

    def __init__(self, n_agents: int, state_dim: int, embed_dim: int, hypernet_dim: int) -> None:
        super().__init__()
        self.hyper_w = nn.Sequential(
            nn.Linear(state_dim, hypernet_dim), nn.ReLU(), nn.Linear(hypernet_dim, n_agents)
        )
        self.hyper_b = nn.Sequential(
            nn.Linear(state_dim, embed_dim), nn.ReLU(), nn.Linear(embed_dim, 1)
        )

    def weights(self, state: Tensor) -> Tensor:
        """State (...,S) -> w (...,N), all >= 0."""
        return self.hyper_w(state).abs()

    def forward(self, agent_qs: Tensor, state: Tensor) -> Tensor:
        """agent_qs (...,N), state (...,S) -> (...)."""
        return (self.weights(state) * agent_qs).sum(-1) + self.hyper_b(state).squeeze(-1)
