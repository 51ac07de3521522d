"""q_learner: QMIX and VDN with double Q-learning and lambda-returns, to make behaviour policies."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.optim import Adam

from components.episode_batch import EpisodeBatch
from controllers.basic_controller import BasicMAC
from envs.base import EnvInfo
from learners.base import Learner
from learners.configs import QConfig
from modules.mixers import REGISTRY as mixer_REGISTRY
from utils.rl_utils import lambda_returns, masked_mean, taken


class QLearner(Learner):
    """Minimises the squared error between Q_tot and the lambda-return of the target networks."""

    def __init__(self, mac: BasicMAC, info: EnvInfo, config: QConfig, device: torch.device) -> None:
        self._mac, self._config = mac, config
        self._target_mac = copy.deepcopy(mac)
        mixer = mixer_REGISTRY[config.mixer](
            info.n_agents, info.state_shape, config.mixing_embed_dim, config.hypernet_embed
        )
        self.networks = nn.ModuleDict(
            {
                "agent": mac.agent,
                "mixer": mixer,
                "target_agent": self._target_mac.agent,
                "target_mixer": copy.deepcopy(mixer),
            }
        ).to(device)
        learnt = [*mac.agent.parameters(), *mixer.parameters()]
        self.optimisers = {"opt": Adam(learnt, lr=config.lr)}

    def train(self, batch: EpisodeBatch) -> dict[str, Tensor]:
        """One step on B whole episodes."""
        qs, _ = self._mac.forward(batch.obs, batch.last_actions())
        q_taken = taken(qs[:, :-1], batch.actions[:, :-1])
        q_tot = self.networks["mixer"](q_taken, batch.state[:, :-1])
        targets = self._targets(batch, qs.detach())
        error = q_tot - targets
        loss = masked_mean(error.square(), batch.mask)
        norm = self._descend(self.optimisers["opt"], loss, self._config.grad_norm_clip)
        self.steps += 1
        if self.steps % self._config.target_update_interval == 0:
            self._sync_targets()
        return {
            "loss": loss.detach(),
            "grad_norm": norm,
            "td_error_abs": masked_mean(error.detach().abs(), batch.mask),
            "q_taken_mean": masked_mean(q_tot.detach(), batch.mask),
            "target_mean": masked_mean(targets, batch.mask),
        }

    @torch.no_grad()
    def _targets(self, batch: EpisodeBatch, qs: Tensor) -> Tensor:
        """(B,T): lambda-returns of the greedy joint action's target value."""
        target_qs, _ = self._target_mac.forward(batch.obs, batch.last_actions())
        chooser = qs if self._config.double_q else target_qs
        best = chooser.masked_fill(~batch.avail_actions, -torch.inf).argmax(-1)
        values = self.networks["target_mixer"](taken(target_qs, best), batch.state)
        return lambda_returns(
            batch.rewards, values, batch.terminated, batch.mask,
            self._config.gamma, self._config.td_lambda,
        )  # fmt: skip
