"""icq_learner: ICQ-MA, Algorithm 2 of "Believe What You See" (NeurIPS 2021).

Critic and policy regress on recorded actions: the weights exp(Q / alpha) / Z make the improvement,
Z is the softmax over the mini-batch (eq. 56). docs/algorithms.md has the table of
equations and the decisions taken here.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.optim import Adam

from components.episode_batch import EpisodeBatch
from controllers.basic_controller import BasicMAC
from envs.base import EnvInfo
from learners.base import Learner
from learners.configs import ICQConfig
from modules.critics import REGISTRY as critic_REGISTRY
from modules.mixers import REGISTRY as mixer_REGISTRY
from utils.rl_utils import choices, lambda_returns, log_policy, masked_mean, taken


def implicit_weights(
    values: Tensor, mask: Tensor, temperature: float, ceiling: float = math.inf
) -> Tensor:
    """rho = M exp(v / alpha) / sum over the mini-batch of exp(v / alpha)  (eq. 56).

    values, mask (B,T) or (B,T,N): the softmax runs over all B*T recorded samples, for each agent
    by itself, M of which are real; padding is left out of the sum and gets 0. The mean over the
    real ones is 1. exp(v / alpha) is cut at `ceiling`. Detached.
    """
    logits = (values.detach() / temperature).clamp(max=math.log(ceiling))
    logits = logits.masked_fill(~mask, -torch.inf)
    weights = logits.flatten(0, 1).softmax(0).view_as(logits)
    return (weights * mask.sum((0, 1))).where(mask, 0.0)  # an agent without any sample: 0 / 0


def policy_loss(log_pi: Tensor, weights: Tensor, mask: Tensor) -> Tensor:
    """J_pi = sum_i E[- rho_i log pi_i(a_i | tau_i)], averaged over real samples (Algorithm 2).

    log_pi, weights, mask (B,T,N) -> scalar; no gradient flows through the weights.
    """
    return -masked_mean(weights.detach() * log_pi, mask)


def effective_share(weights: Tensor, mask: Tensor) -> Tensor:
    """Kish's effective sample size (sum w)^2 / sum w^2, as a share of the real samples."""
    size = weights.sum().square() / weights.square().sum().clamp(min=1e-12)
    return size / mask.sum().clamp(min=1)


class ICQLearner(Learner):
    """Weighted regression for the policy, SARSA-style lambda-returns for the critic."""

    def __init__(
        self, mac: BasicMAC, info: EnvInfo, config: ICQConfig, device: torch.device
    ) -> None:
        self._mac, self._config = mac, config
        critic = critic_REGISTRY[config.critic](
            info.obs_shape, info.n_agents, info.n_actions, config.critic_hidden_dim,
            info.state_shape * config.critic_sees_state,
        )  # fmt: skip
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
        valued = [*critic.parameters(), *mixer.parameters()]
        self.optimisers = {
            "agent_opt": Adam(mac.agent.parameters(), lr=config.lr),
            "critic_opt": Adam(valued, lr=config.critic_lr),
        }

    def train(self, batch: EpisodeBatch) -> dict[str, Tensor]:
        """One pass of Algorithm 2's loop on B whole episodes: the policy, then the critic."""
        targets = self._targets(batch)
        qs = self._values(batch)
        metrics = self._train_policy(batch, qs.detach())
        metrics |= self._train_critic(batch, qs, targets)
        for _ in range(self._config.critic_steps - 1):
            metrics |= self._train_critic(batch, self._values(batch), targets)
        self.steps += 1
        if self.steps % self._config.target_update_interval == 0:
            self._sync_targets()
        return metrics

    def _values(self, batch: EpisodeBatch) -> Tensor:
        """(B,T,N,A): Q_i(o_i, .), or Q_i(s, o_i, .) with `critic_sees_state`."""
        return self.networks["critic"](batch.state[:, :-1], batch.obs[:, :-1])

    @torch.no_grad()
    def _targets(self, batch: EpisodeBatch) -> Tensor:
        """(B,T): lambda-returns of rho(tau', a') Q(tau', a'; phi', psi'), a' as recorded."""
        q_i = taken(self.networks["target_critic"](batch.state, batch.obs), batch.actions)
        q_tot = self.networks["target_mixer"](q_i, batch.state)
        follows = batch.mask & ~batch.terminated
        rho = implicit_weights(q_tot[:, 1:], follows, self._config.value_temperature)
        values = torch.cat([q_tot[:, :1], rho * q_tot[:, 1:]], dim=1)
        return lambda_returns(
            batch.rewards, values, batch.terminated, batch.mask,
            self._config.gamma, self._config.td_lambda,
        )  # fmt: skip

    def _train_critic(self, batch: EpisodeBatch, qs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        q_i = taken(qs, batch.actions[:, :-1])
        q_tot = self.networks["mixer"](q_i, batch.state[:, :-1])
        error = q_tot - targets
        loss = masked_mean(error.square(), batch.mask)
        norm = self._descend(self.optimisers["critic_opt"], loss, self._config.grad_norm_clip)
        return {
            "critic_loss": loss.detach(),
            "critic_grad_norm": norm,
            "td_error_abs": masked_mean(error.detach().abs(), batch.mask),
            "q_taken_mean": masked_mean(q_tot.detach(), batch.mask),
            "target_mean": masked_mean(targets, batch.mask),
        }

    def _train_policy(self, batch: EpisodeBatch, qs: Tensor) -> dict[str, Tensor]:
        mask = choices(batch)
        log_pi = log_policy(self._mac, batch)
        advantages = self._advantages(batch, log_pi.detach().exp(), qs)
        rho = implicit_weights(
            advantages, mask, self._config.policy_temperature, self._config.max_weight
        )
        loss = policy_loss(taken(log_pi, batch.actions[:, :-1]), rho, mask)
        norm = self._descend(self.optimisers["agent_opt"], loss, self._config.grad_norm_clip)
        return {
            "actor_loss": loss.detach(),
            "agent_grad_norm": norm,
            "pi_max": masked_mean(log_pi.detach().exp().max(-1).values, mask),
            "advantage_mean": masked_mean(advantages, mask),
            "effective_samples": effective_share(rho, mask),
        }

    @torch.no_grad()
    def _advantages(self, batch: EpisodeBatch, pi: Tensor, qs: Tensor) -> Tensor:
        """(B,T,N): w_i(tau) (Q_i(tau_i, a_i) - sum_a pi_i(a) Q_i(tau_i, a)).

        The second term depends on tau alone, so the exact Z(tau) would cancel it; in eq. 56's
        batch-wide Z it stops good states from outweighing good actions.
        """
        advantages = taken(qs, batch.actions[:, :-1]) - (pi * qs).sum(-1)
        return self._weights(batch.state[:, :-1]) * advantages
