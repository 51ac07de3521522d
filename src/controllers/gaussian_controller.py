"""gaussian_mac: one Gaussian policy for all agents, without memory, for continuous actions."""

from __future__ import annotations

import torch
from torch import Tensor

from envs.base import EnvInfo
from learners.configs import ContinuousConfig
from modules.agents import REGISTRY as agent_REGISTRY
from modules.agents.gaussian_agent import GaussianAgent
from utils.config import Settings


class GaussianMAC:
    """Actions outside are in the environment's units, inside in those of their bounds."""

    def __init__(self, info: EnvInfo, settings: Settings) -> None:
        config = settings.learner
        assert isinstance(config, ContinuousConfig)
        self.agent: GaussianAgent = agent_REGISTRY[settings.run.agent](
            info.obs_shape, info.n_agents, config.hidden_dim, config.actor_layers,
            info.action_low, info.action_high,
        )  # fmt: skip

    def unit(self, actions: Tensor) -> Tensor:
        """Actions (...,A) of the environment -> the same in [-1, 1]."""
        low, high = self.agent.low, self.agent.high
        return (2 * actions - (high + low)) / (high - low)

    @torch.no_grad()
    def select_actions(
        self,
        obs: Tensor,
        avail_actions: Tensor,
        last_actions: Tensor,
        hidden: Tensor | None,
        epsilon: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Obs (B,N,O) -> actions (B,N,A): the mean, or with a generator (of the CPU) a sample.

        `epsilon` has no part in it: the policy's own spread is what explores.
        """
        actions = self.agent(obs)
        if generator is not None:
            noise = torch.randn(actions.shape, generator=generator).to(obs.device)
            actions = actions + self.agent.std * noise
        low, high = self.agent.low, self.agent.high
        actions = (high + low + (high - low) * actions) / 2
        return actions.clamp(low, high), None  # rounding may lead outside
