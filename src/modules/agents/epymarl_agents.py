"""What EPyMARL has beside the recurrent agent: one without memory, and a network for each agent."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import relu


class FeedForwardAgent(nn.Module):
    """EPyMARL's `use_rnn=False`: `rnn` is a linear layer with ReLU, nothing is remembered."""

    def __init__(self, input_dim: int, hidden_dim: int, n_actions: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(input_dim, hidden_dim)
        self.rnn = nn.Linear(hidden_dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, n_actions)

    def forward(self, inputs: Tensor, hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Inputs (B,T,N,I) -> outputs (B,T,N,A), and a hidden state of no numbers."""
        return self.fc2(relu(self.rnn(relu(self.fc1(inputs))))), inputs.new_zeros(0)


class NonSharedAgent(nn.Module):
    """EPyMARL's `rnn_ns`: agent i has a network of its own, agents[i]."""

    def __init__(self, agents: Sequence[nn.Module]) -> None:
        super().__init__()
        self.agents = nn.ModuleList(agents)

    def forward(self, inputs: Tensor, hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Inputs (B,T,N,I) -> outputs (B,T,N,A), the agents' hidden states (N,...)."""
        before = [None] * len(self.agents) if hidden is None else list(hidden)
        parts = [agent(inputs[:, :, i : i + 1], before[i]) for i, agent in enumerate(self.agents)]
        outputs, after = zip(*parts, strict=True)
        return torch.cat(outputs, dim=2), torch.stack(after)
