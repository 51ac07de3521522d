"""bc_learner: behaviour cloning for many agents (eq. 59)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Adam

from components.episode_batch import EpisodeBatch
from controllers.basic_controller import BasicMAC
from envs.base import EnvInfo
from learners.base import Learner
from learners.configs import BCConfig
from utils.rl_utils import choices, log_policy, masked_mean, taken


class BCLearner(Learner):
    """Maximises the likelihood of the recorded actions and nothing else."""

    def __init__(
        self, mac: BasicMAC, info: EnvInfo, config: BCConfig, device: torch.device
    ) -> None:
        self._mac, self._config = mac, config
        self.networks = nn.ModuleDict({"agent": mac.agent}).to(device)
        self.optimisers = {"agent_opt": Adam(mac.agent.parameters(), lr=config.lr)}

    def train(self, batch: EpisodeBatch) -> dict[str, Tensor]:
        """One step on J = sum_i E[-log pi_i(a_i | tau_i)]."""
        log_pi = log_policy(self._mac, batch)
        loss = -masked_mean(taken(log_pi, batch.actions[:, :-1]), choices(batch))
        norm = self._descend(self.optimisers["agent_opt"], loss, self._config.grad_norm_clip)
        self.steps += 1
        pi_max = log_pi.detach().exp().max(-1).values
        return {
            "bc_loss": loss.detach(),
            "bc_grad_norm": norm,
            "pi_max": masked_mean(pi_max, choices(batch)),
        }
