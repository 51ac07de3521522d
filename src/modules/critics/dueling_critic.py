"""The official code's critic: Q = A + V without taking A's mean out."""

from __future__ import annotations

from torch import Tensor, nn

from modules.critics.mlp_critic import MLPCritic


class DuelingCritic(MLPCritic):
    """`MLPCritic` with one output more, which all actions share."""

    def __init__(
        self, obs_dim: int, n_agents: int, n_actions: int, hidden_dim: int, state_dim: int = 0
    ) -> None:
        super().__init__(obs_dim, n_agents, n_actions, hidden_dim, state_dim)
        self.fc_v = nn.Linear(hidden_dim, 1)

    def forward(self, state: Tensor | None, obs: Tensor) -> Tensor:
        """As `MLPCritic.forward`."""
        x = self._hidden(state, obs)
        return self.fc3(x) + self.fc_v(x)
