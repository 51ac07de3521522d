"""BCQ's conditional VAE: which actions does the data have in a situation? (Fujimoto et al. 2019)"""

from __future__ import annotations

from torch import Tensor, nn

from modules.mlp import AgentMLP

LOG_STD = (-4.0, 15.0)  # of the latent variable, BCQ's
LATENT = 0.5  # samples come from the prior, cut at this
KL_WEIGHT = 0.5


class ConditionalVAE(nn.Module):
    """Actions in units of their bounds; a latent variable of twice their dimension."""

    def __init__(self, obs_dim: int, n_agents: int, n_actions: int, hidden_dim: int) -> None:
        super().__init__()
        self.latent_dim = 2 * n_actions
        latent = self.latent_dim
        self.encoder = AgentMLP(n_agents, [obs_dim, n_actions], hidden_dim, 2, 2 * latent)
        self.decoder = AgentMLP(n_agents, [obs_dim, latent], hidden_dim, 2, n_actions)

    def loss(self, obs: Tensor, actions: Tensor, noise: Tensor) -> Tensor:
        """Squared error plus half the divergence from the prior, as BCQ weighs them.

        obs (...,N,O), actions (...,N,A), noise (...,N,2A), standard normal -> (...,N).
        """
        mean, log_std = self.encoder(obs, actions).chunk(2, dim=-1)
        log_std = log_std.clamp(*LOG_STD)
        latent = mean + log_std.exp() * noise
        decoded = self.decoder(obs, latent).tanh()
        divergence = mean.square() + (2 * log_std).exp() - 1 - 2 * log_std
        return (decoded - actions).square().mean(-1) + KL_WEIGHT * divergence.mean(-1) / 2

    def sample(self, obs: Tensor, noise: Tensor) -> Tensor:
        """Obs (...,N,O), noise (n,...,N,2A), standard normal -> n actions each (n,...,N,A)."""
        return self.decoder(obs, noise.clamp(-LATENT, LATENT)).tanh()
