"""What BCQ-MA, CQL-MA and ICQ-MA share: Q_tot = sum_i w_i(s) Q_i(o_i, a_i) + b(s) and its step."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import Parameter
from torch.optim import Adam, Optimizer, RMSprop

from components.episode_batch import EpisodeBatch
from controllers.basic_controller import BasicMAC
from envs.base import EnvInfo
from learners.base import Learner
from learners.configs import DecomposedConfig
from modules.critics import REGISTRY as critic_REGISTRY
from modules.mixers import REGISTRY as mixer_REGISTRY
from utils.rl_utils import masked_mean, taken

TRANSITIONS = slice(-1)
"""Every row but the last, which belongs to no transition."""


class DecomposedLearner(Learner):
    """An agent network, the agents' values by a critic, a linear mixer, and both values' targets.

    A subclass says what the agent learns, what the values regress on, and what it adds to the
    squared error. Targets are copied once `target_update_interval` critic steps have passed.
    """

    critic_updates: int = 0
    synced_at: int = 0
    counters: ClassVar[tuple[str, ...]] = ("steps", "critic_updates", "synced_at")

    def __init__(
        self, mac: BasicMAC, info: EnvInfo, config: DecomposedConfig, device: torch.device
    ) -> None:
        self._mac, self._config = mac, config
        critic = self._make_critic(info)
        mixer = mixer_REGISTRY[config.mixer](
            info.n_agents, info.state_shape, config.mixing_embed_dim, config.hypernet_embed
        )
        self.networks = nn.ModuleDict(
            {
                "agent": mac.agent,
                "critic": critic,
                "mixer": mixer,
                "target_critic": copy.deepcopy(critic),
                "target_mixer": copy.deepcopy(mixer),
            }
        ).to(device)
        self._weights = mixer.weights
        learnt = self._agent_parameters()
        valued = [*critic.parameters(), *mixer.parameters()]
        self.optimisers = {
            "agent_opt": self._make_optimiser(learnt, config.lr),
            "critic_opt": self._make_optimiser(valued, config.critic_lr),
        }

    def _make_critic(self, info: EnvInfo) -> nn.Module:
        config = self._config
        return critic_REGISTRY[config.critic](
            info.obs_shape, info.n_agents, info.n_actions, config.critic_hidden_dim,
            info.state_shape * config.critic_sees_state,
        )  # fmt: skip

    def _agent_parameters(self) -> Iterable[Parameter]:
        return self._mac.agent.parameters()

    def _make_optimiser(self, parameters: Iterable[Parameter], lr: float) -> Optimizer:
        if self._config.optimiser == "rmsprop":
            return RMSprop(parameters, lr=lr, alpha=0.99, eps=1e-5)  # PyMARL's
        return Adam(parameters, lr=lr)

    def _values(self, batch: EpisodeBatch, time: slice = TRANSITIONS) -> Tensor:
        """(B,T,N,A): Q_i(o_i, .), or Q_i(s, o_i, .) with `critic_sees_state`."""
        return self.networks["critic"](batch.state[:, time], batch.obs[:, time])

    @torch.no_grad()
    def _target_values(self, batch: EpisodeBatch) -> Tensor:
        """(B,T+1,N,A): the same by the target network, and of the last observation."""
        return self.networks["target_critic"](batch.state, batch.obs)

    def _q_tot(self, batch: EpisodeBatch, qs: Tensor, time: slice = TRANSITIONS) -> Tensor:
        """(B,T): Q_tot of the recorded joint actions, of values (B,T,N,A)."""
        return self.networks["mixer"](taken(qs, batch.actions[:, time]), batch.state[:, time])

    def _critic_step(self, loss: Tensor) -> Tensor:
        """One step of critic and mixer -> the gradient's norm."""
        self.critic_updates += 1
        return self._descend(self.optimisers["critic_opt"], loss, self._config.grad_norm_clip)

    def _end_step(self) -> None:
        """Count this call of `train`; copy into the targets when it is time."""
        self.steps += 1
        if self.critic_updates - self.synced_at >= self._config.target_update_interval:
            self._sync_targets()
            self.synced_at = self.critic_updates


def critic_metrics(
    loss: Tensor, norm: Tensor, q_tot: Tensor, targets: Tensor, mask: Tensor
) -> dict[str, Tensor]:
    """PyMARL's statistics of a step on `loss`; q_tot, targets, mask (B,T)."""
    q_tot = q_tot.detach()
    return {
        "critic_loss": loss.detach(),
        "critic_grad_norm": norm,
        "td_error_abs": masked_mean((q_tot - targets).abs(), mask),
        "q_taken_mean": masked_mean(q_tot, mask),
        "target_mean": masked_mean(targets, mask),
    }
