"""gaussian_mac: one Gaussian policy for all agents, without memory, for continuous actions."""

from __future__ import annotations

import torch
from torch import Tensor

from controllers.memoryless import MemorylessController
from envs.base import EnvInfo
from learners.configs import ContinuousConfig
from modules.agents import REGISTRY as agent_REGISTRY
from modules.agents.gaussian_agent import GaussianAgent
from utils.config import Settings


class GaussianMAC(MemorylessController):
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

    def act(self, obs: Tensor, generator: torch.Generator | None) -> Tensor:
        """Obs (B,N,O) -> actions (B,N,A): the mean, or with a generator a sample."""
        actions = self.agent(obs)
        if generator is not None:
            noise = torch.randn(actions.shape, generator=generator).to(obs.device)
            actions = actions + self.agent.std * noise
        low, high = self.agent.low, self.agent.high
        actions = (high + low + (high - low) * actions) / 2
        return actions.clamp(low, high)  # rounding may lead outside
