"""QMIX (Rashid et al. 2018): a mixing network whose non-negative weights the state decides."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import elu


class QMixer(nn.Module):
    """Q_tot = elu(|W1(s)| q + b1(s)) |w2(s)| + V(s), monotone in every Q_i."""

    def __init__(self, n_agents: int, state_dim: int, embed_dim: int, hypernet_dim: int) -> None:
        super().__init__()
        self.n_agents, self.embed_dim = n_agents, embed_dim
        self.hyper_w_1 = _hypernet(state_dim, hypernet_dim, n_agents * embed_dim)
        self.hyper_w_final = _hypernet(state_dim, hypernet_dim, embed_dim)
        self.hyper_b_1 = nn.Linear(state_dim, embed_dim)
        self.V = _hypernet(state_dim, embed_dim, 1)

    def forward(self, agent_qs: Tensor, state: Tensor) -> Tensor:
        """agent_qs (...,N), state (...,S) -> (...)."""
        w1 = self.hyper_w_1(state).abs().unflatten(-1, (self.n_agents, self.embed_dim))
        hidden = elu((agent_qs.unsqueeze(-1) * w1).sum(-2) + self.hyper_b_1(state))
        w_final = self.hyper_w_final(state).abs()
        return (hidden * w_final).sum(-1) + self.V(state).squeeze(-1)


def _hypernet(state_dim: int, hidden_dim: int, out_dim: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(state_dim, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, out_dim)
    )
