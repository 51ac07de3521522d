"""Multi-layer perceptrons whose input may come in parts, for one agent or several."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


class MLP(nn.Module):
    """ReLU layers of one width, then a linear one.

    Parts whose shapes differ are not expanded: W [x; y] = W_x x + W_y y, a sum that broadcasts, so
    that one observation beside n actions costs the first layer only once.
    """

    def __init__(
        self, parts: Sequence[int], hidden_dim: int, n_layers: int, output_dim: int
    ) -> None:
        super().__init__()
        self._parts = list(parts)
        self.first = nn.Linear(sum(parts), hidden_dim)
        self.hidden = nn.ModuleList(nn.Linear(hidden_dim, hidden_dim) for _ in range(n_layers - 1))
        self.last = nn.Linear(hidden_dim, output_dim)

    def forward(self, *inputs: Tensor) -> Tensor:
        """inputs (...,I_k) of `parts`, of shapes that broadcast -> (...,output_dim)."""
        x = self._first(inputs).relu_()
        for layer in self.hidden:
            x = layer(x).relu_()
        return self.last(x)

    def _first(self, inputs: Sequence[Tensor]) -> Tensor:
        if all(part.shape[:-1] == inputs[0].shape[:-1] for part in inputs):
            return self.first(torch.cat(list(inputs), -1) if len(inputs) > 1 else inputs[0])
        weights = torch.split(self.first.weight, self._parts, 1)
        x = linear(inputs[0], weights[0], self.first.bias)
        for part, weight in zip(inputs[1:], weights[1:], strict=True):
            x = x + linear(part, weight)
        return x


class AgentMLP(MLP):
    """One network for all agents, told which of them it computes for where there are several."""

    ids: Tensor

    def __init__(
        self, n_agents: int, parts: Sequence[int], hidden_dim: int, n_layers: int, output_dim: int
    ) -> None:
        self._several = n_agents > 1
        super().__init__([*parts, *[n_agents] * self._several], hidden_dim, n_layers, output_dim)
        self.register_buffer("ids", torch.eye(n_agents), persistent=False)

    def forward(self, *inputs: Tensor) -> Tensor:
        """inputs (...,N,I_k) -> (...,N,output_dim)."""
        return super().forward(*inputs, *[self.ids] * self._several)
