"""The official code's mixer: Q_tot = sum_i w_i(s) Q_i with w_i >= 0 and sum_i w_i = 1, no bias."""

from __future__ import annotations

from torch import Tensor, nn


class NormalisedMixer(nn.Module):
    """w is |W_1(s)| |w_f(s)|, linear in each, divided by its sum over the agents."""

    def __init__(self, n_agents: int, state_dim: int, embed_dim: int, hypernet_dim: int) -> None:
        super().__init__()
        self.n_agents, self.embed_dim = n_agents, embed_dim
        self.hyper_w_1 = nn.Linear(state_dim, n_agents * embed_dim)
        self.hyper_w_final = nn.Linear(state_dim, embed_dim)

    def weights(self, state: Tensor) -> Tensor:
        """State (...,S) -> w (...,N), of sum 1."""
        w1 = self.hyper_w_1(state).abs().unflatten(-1, (self.n_agents, self.embed_dim))
        w = (w1 @ self.hyper_w_final(state).abs().unsqueeze(-1)).squeeze(-1)
        return w / w.sum(-1, keepdim=True).clamp(min=1e-12)

    def forward(self, agent_qs: Tensor, state: Tensor) -> Tensor:
        """agent_qs (...,N), state (...,S) -> (...)."""
        return (self.weights(state) * agent_qs).sum(-1)
