"""The recurrent agent of DRQN as PyMARL uses it: linear, ReLU, GRU, linear."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import relu


class RNNAgent(nn.Module):
    """One network for all agents; a whole sequence is one GRU call."""

    def __init__(self, input_dim: int, hidden_dim: int, n_actions: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(input_dim, hidden_dim)
        self.rnn = nn.GRU(hidden_dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, n_actions)

    def forward(self, inputs: Tensor, hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Inputs (B,T,N,I), hidden (1,B*N,H) -> outputs (B,T,N,A), hidden (1,B*N,H)."""
        b, t, n, _ = inputs.shape
        x = relu(self.fc1(inputs)).transpose(0, 1).reshape(t, b * n, -1)
        x, last = self.rnn(x, hidden)
        return self.fc2(x).view(t, b, n, -1).transpose(0, 1), last
