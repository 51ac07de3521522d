"""bc_continuous_learner: behaviour cloning of continuous actions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Adam

from components.episode_batch import EpisodeBatch
from controllers.gaussian_controller import GaussianMAC
from envs.base import EnvInfo
from learners.base import Learner
from learners.configs import BCContinuousConfig
from utils.rl_utils import masked_mean


class BCContinuousLearner(Learner):
    """Maximises the likelihood of the recorded actions and nothing else."""

    def __init__(
        self, mac: GaussianMAC, info: EnvInfo, config: BCContinuousConfig, device: torch.device
    ) -> None:
        self._mac, self._config = mac, config
        self.networks = nn.ModuleDict({"agent": mac.agent}).to(device)
        parameters = mac.agent.parameters()
        opt = Adam(parameters, config.lr, weight_decay=config.weight_decay, fused=True)
        self.optimisers = {"agent_opt": opt}

    def train(self, batch: EpisodeBatch) -> dict[str, Tensor]:
        """One step on J = sum_i E[-log pi_i(a_i | o_i)]."""
        agent, mask = self._mac.agent, batch.mask.unsqueeze(-1)
        mean = agent(batch.obs[:, :-1])
        log_pi = agent.log_prob(mean, self._mac.unit(batch.actions[:, :-1]))
        loss = -masked_mean(log_pi, mask.expand_as(log_pi))
        norm = self._descend(self.optimisers["agent_opt"], loss, self._config.grad_norm_clip)
        self.steps += 1
        return {
            "bc_loss": loss.detach(),
            "bc_grad_norm": norm,
            "pi_std": agent.std.detach().mean(),
        }
