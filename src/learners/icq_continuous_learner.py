"""icq_continuous_learner: ICQ for continuous actions, Algorithm 1, Z by the mini-batch (eq. 56).

Critic and policy regress on recorded actions, as in `icq_learner`; several agents' values are mixed
as there, one agent has no mixer. docs/algorithms.md has the decisions taken here.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.swa_utils import get_ema_multi_avg_fn

from components.episode_batch import EpisodeBatch
from controllers.gaussian_controller import GaussianMAC
from envs.base import EnvInfo
from learners.base import Learner
from learners.configs import ICQContinuousConfig
from modules.critics.action_critic import ActionCritic
from modules.mixers import REGISTRY as mixer_REGISTRY
from utils.rl_utils import effective_share, implicit_weights, masked_mean, policy_loss


def one_step_targets(
    rewards: Tensor, values: Tensor, rho: Tensor, follows: Tensor, gamma: float
) -> Tensor:
    """r + gamma rho(s', a') Q'(s', a')  (Algorithm 1), all (B,T); r alone where nothing follows."""
    return rewards + gamma * (rho * values).where(follows, 0.0)


class ICQContinuousLearner(Learner):
    """Weighted regression for the policy, SARSA with implicit weights for the critic."""

    def __init__(
        self, mac: GaussianMAC, info: EnvInfo, config: ICQContinuousConfig, device: torch.device
    ) -> None:
        self._mac, self._config = mac, config
        critic = ActionCritic(
            info.obs_shape, info.n_agents, info.n_actions,
            config.hidden_dim, config.critic_layers, config.n_critics,
        )  # fmt: skip
        learnt: dict[str, nn.Module] = {"critic": critic}
        if info.n_agents > 1:
            learnt["mixer"] = mixer_REGISTRY[config.mixer](
                info.n_agents, info.state_shape, config.mixing_embed_dim, config.hypernet_embed
            )
        targets = {f"target_{name}": copy.deepcopy(net) for name, net in learnt.items()}
        self.networks = nn.ModuleDict({"agent": mac.agent} | learnt | targets).to(device)
        decay = config.weight_decay
        valued = [p for net in learnt.values() for p in net.parameters()]
        self.optimisers = {
            "agent_opt": Adam(mac.agent.parameters(), config.lr, weight_decay=decay, fused=True),
            "critic_opt": Adam(valued, config.critic_lr, fused=True),
        }
        self._average = get_ema_multi_avg_fn(1 - config.tau)
        self._valued = tuple(valued)
        self._following = tuple(
            p for name in learnt for p in self.networks[f"target_{name}"].parameters()
        )

    def train(self, batch: EpisodeBatch) -> dict[str, Tensor]:
        """One pass of Algorithm 1's loop: the policy, the critic, the targets a little after it."""
        actions = self._mac.unit(batch.actions)
        targets = self._targets(batch, actions)
        q_i = self.networks["critic"](batch.obs[:, :-1], actions[:, :-1])
        q_tot = self._mix("mixer", q_i, batch.state[:, :-1])
        metrics = self._train_policy(batch, actions, q_i.detach())
        metrics |= self._train_critic(batch, q_tot, targets)
        self._follow()
        self.steps += 1
        return metrics

    @torch.no_grad()
    def _targets(self, batch: EpisodeBatch, actions: Tensor) -> Tensor:
        """(B,T): the next recorded action's value, the least of the critics', weighted."""
        config, follows = self._config, batch.mask & ~batch.terminated
        values = self._target_values(batch, actions[:, 1:])
        rho = self._value_weights(batch, values, follows) * config.value_weight_scale
        rho = rho.clamp(max=config.max_value_weight or math.inf)
        return one_step_targets(batch.rewards, values, rho, follows, config.gamma)

    def _target_values(self, batch: EpisodeBatch, actions: Tensor) -> Tensor:
        """(...,B,T): Q' of what follows and of `actions` (...,B,T,N,A) there."""
        q_i = self.networks["target_critic"](batch.obs[:, 1:], actions)
        return self._mix("target_mixer", q_i, batch.state[:, 1:]).amin(0)

    def _train_critic(
        self, batch: EpisodeBatch, q_tot: Tensor, targets: Tensor
    ) -> dict[str, Tensor]:
        """q_tot (n_critics,B,T)."""
        mask = batch.mask
        error = (q_tot - targets).square().sum(0)
        loss = masked_mean(error, mask)
        norm = self._descend(self.optimisers["critic_opt"], loss, self._config.grad_norm_clip)
        return {
            "critic_loss": loss.detach(),
            "critic_grad_norm": norm,
            "q_taken_mean": masked_mean(q_tot.detach()[0], mask),
            "target_mean": masked_mean(targets, mask),
        }

    def _train_policy(self, batch: EpisodeBatch, actions: Tensor, q_i: Tensor) -> dict[str, Tensor]:
        """actions (B,T+1,N,A), q_i (n_critics,B,T,N) of those that belong to transitions."""
        agent = self._mac.agent
        mean = agent(batch.obs[:, :-1])
        log_pi = agent.log_prob(mean, actions[:, :-1])
        mask = batch.mask.unsqueeze(-1).expand_as(log_pi)
        with torch.no_grad():
            rho = self._policy_weights(batch, actions, mean.detach(), q_i, mask)
        loss = policy_loss(log_pi, rho, mask)
        norm = self._descend(self.optimisers["agent_opt"], loss, self._config.grad_norm_clip)
        return {
            "actor_loss": loss.detach(),
            "agent_grad_norm": norm,
            "pi_std": agent.std.detach().mean(),
            "effective_samples": effective_share(rho, mask),
        }

    def _policy_weights(
        self, batch: EpisodeBatch, actions: Tensor, mean: Tensor, q_i: Tensor, mask: Tensor
    ) -> Tensor:
        """(B,T,N): exp(v / alpha) / Z, Z over the mini-batch, with v as `policy_weight_of` says.

        An advantage is taken over the policy's mean action. What is taken off depends on the state
        alone, so the exact Z(s) would cancel it; in a batch-wide Z it stops good states from
        outweighing good actions.
        """
        config, w, least = self._config, self._weights(batch), q_i.amin(0)
        if config.policy_weight_of == "td_error":
            values = self._td_errors(batch, actions, q_i).unsqueeze(-1).expand_as(least)
        elif config.policy_weight_of == "q":
            values = w * least
        else:
            baseline = self.networks["critic"](batch.obs[:, :-1], mean).amin(0)
            values = w * (least - baseline)
        temperature = self._temperature(config.policy_temperature, values, mask)
        return implicit_weights(values, mask, temperature, config.max_weight)

    def _td_errors(self, batch: EpisodeBatch, actions: Tensor, q_i: Tensor) -> Tensor:
        """(B,T): r + gamma Q(s', a') - Q(s, a), without weights or targets: the official code's."""
        following = self.networks["critic"](batch.obs[:, 1:], actions[:, 1:])
        values = self._mix("mixer", following, batch.state[:, 1:]).amin(0)
        follows = batch.mask & ~batch.terminated
        ones = torch.ones_like(values)
        targets = one_step_targets(batch.rewards, values, ones, follows, self._config.gamma)
        return targets - self._mix("mixer", q_i, batch.state[:, :-1]).amin(0)

    def _value_weights(self, batch: EpisodeBatch, values: Tensor, follows: Tensor) -> Tensor:
        """(B,T): exp(Q' / alpha) / Z, Z over the mini-batch."""
        deviations = values - masked_mean(values, follows)
        temperature = self._temperature(self._config.value_temperature, deviations, follows)
        return implicit_weights(deviations, follows, temperature)

    def _temperature(self, alpha: float, values: Tensor, mask: Tensor) -> float | Tensor:
        """alpha, in units of the values' mean absolute one if it is relative."""
        if not self._config.relative_temperature:
            return alpha
        return alpha * masked_mean(values.abs(), mask).clamp(min=1e-6)

    def _mix(self, mixer: str, q_i: Tensor, state: Tensor) -> Tensor:
        """q_i (...,B,T,N), state (B,T,S) -> (...,B,T)."""
        return self.networks[mixer](q_i, state) if mixer in self.networks else q_i.squeeze(-1)

    def _weights(self, batch: EpisodeBatch) -> Tensor | float:
        """(B,T,N): the mixer's w_i; 1 for one agent."""
        if "mixer" not in self.networks:
            return 1.0
        weights = self.networks["mixer"].weights
        assert callable(weights)
        return weights(batch.state[:, :-1])

    @torch.no_grad()
    def _follow(self) -> None:
        """The targets go a step of `tau` towards their networks (Polyak)."""
        self._average(self._following, self._valued, 0)
