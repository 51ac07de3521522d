"""A feed-forward critic on the state, the agent's observation and its id."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import relu


class MLPCritic(nn.Module):
    """Q_i(s, o_i, .) for every agent by one network of two hidden layers.

    The first layer is kept in parts, so that the state's part is computed once for all agents
    and nothing is repeated or concatenated: W [s; o_i; i] = W_s s + W_o o_i + W_i.
    """

    def __init__(
        self, state_dim: int, obs_dim: int, n_agents: int, n_actions: int, hidden_dim: int
    ) -> None:
        super().__init__()
        self.fc1 = nn.Linear(state_dim + obs_dim + n_agents, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, hidden_dim)
        self.fc3 = nn.Linear(hidden_dim, n_actions)
        self._parts = [state_dim, obs_dim, n_agents]

    def forward(self, state: Tensor, obs: Tensor) -> Tensor:
        """State (...,S), obs (...,N,O) -> (...,N,A)."""
        w_state, w_obs, w_id = torch.split(self.fc1.weight, self._parts, dim=1)
        team = state @ w_state.T + self.fc1.bias
        x = relu(obs @ w_obs.T + team.unsqueeze(-2) + w_id.T)
        return self.fc3(relu(self.fc2(x)))
