"""A feed-forward critic on the agent's observation and id, and on the state if asked to."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import relu


class MLPCritic(nn.Module):
    """Q_i(o_i, .), or Q_i(s, o_i, .), for every agent by one network of two hidden layers.

    The first layer is used in parts, so that the state's part is computed once for all agents
    and nothing is repeated or concatenated: W [o_i; i; s] = W_o o_i + W_i + W_s s.
    """

    def __init__(
        self, obs_dim: int, n_agents: int, n_actions: int, hidden_dim: int, state_dim: int = 0
    ) -> None:
        """`state_dim` 0: the state is not looked at."""
        super().__init__()
        self._parts = [obs_dim, n_agents, state_dim]
        self.fc1 = nn.Linear(sum(self._parts), hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, hidden_dim)
        self.fc3 = nn.Linear(hidden_dim, n_actions)

    def forward(self, state: Tensor | None, obs: Tensor) -> Tensor:
        """State (...,S), or None where it is not looked at, obs (...,N,O) -> (...,N,A)."""
        return self.fc3(self._hidden(state, obs))

    def _hidden(self, state: Tensor | None, obs: Tensor) -> Tensor:
        w_obs, w_id, w_state = torch.split(self.fc1.weight, self._parts, dim=1)
        x = obs @ w_obs.T + (w_id.T + self.fc1.bias)
        if w_state.shape[1]:
            assert state is not None
            x = x + (state @ w_state.T).unsqueeze(-2)
        return relu(self.fc2(relu(x)))
