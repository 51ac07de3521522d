"""icq_learner: ICQ-MA, Algorithm 2 of "Believe What You See" (NeurIPS 2021).

Critic and policy regress on recorded actions: the weights exp(Q / alpha) / Z make the improvement,
Z is the softmax over the mini-batch (eq. 56). docs/algorithms.md has the table of
equations and the decisions taken here.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from components.episode_batch import EpisodeBatch
from components.epsilon_schedules import linear_epsilon
from learners.configs import ICQConfig
from learners.decomposed import DecomposedLearner, critic_metrics
from utils.rl_utils import (
    choices,
    effective_share,
    expected,
    implicit_weights,
    lambda_returns,
    log_policy,
    masked_mean,
    policy_loss,
    taken,
    traced_returns,
)

TINY = 1e-30


def floored_log_policy(logits: Tensor, avail_actions: Tensor, epsilon: float) -> Tensor:
    """log of (1 - epsilon) softmax + epsilon / A, the available actions' share of it.

    logits, avail_actions (...,A) -> (...,A); -inf for the others. The official code's.
    """
    pi = (1 - epsilon) * logits.softmax(-1) + epsilon / logits.shape[-1]
    pi = pi.where(avail_actions, 0.0)
    pi = pi / pi.sum(-1, keepdim=True).clamp(min=TINY)
    return pi.clamp(min=TINY).log().where(avail_actions, -torch.inf)


def with_empty_padding(batch: EpisodeBatch) -> EpisodeBatch:
    """The same episodes, their padding all zero and without available actions, as in PyMARL."""
    real = torch.cat([torch.ones_like(batch.mask[:, :1]), batch.mask], dim=1)
    of_agents = real.unsqueeze(-1)
    return replace(
        batch,
        obs=batch.obs.where(of_agents.unsqueeze(-1), 0.0),
        state=batch.state.where(of_agents, 0.0),
        avail_actions=batch.avail_actions & of_agents.unsqueeze(-1),
        actions=batch.actions.where(of_agents, 0),
    )


class ICQLearner(DecomposedLearner):
    """Weighted regression for the policy, SARSA-style lambda-returns for the critic."""

    _config: ICQConfig

    def train(self, batch: EpisodeBatch) -> dict[str, Tensor]:
        """One pass of Algorithm 2's loop on B whole episodes: the policy, then the critic."""
        if self._config.softmax_padding:
            batch = with_empty_padding(batch)
        targets = self._targets(batch)
        if self._config.critic_first:
            metrics = self._train_critic(batch, targets)
            with torch.no_grad():
                qs = self._values(batch)
            metrics |= self._train_policy(batch, qs)
        else:
            qs = self._values(batch)
            metrics = self._train_policy(batch, qs.detach())
            metrics |= self._train_critic(batch, targets, qs)
        self._end_step()
        return metrics

    @torch.no_grad()
    def _targets(self, batch: EpisodeBatch) -> Tensor:
        """(B,T): lambda-returns of rho(tau', a') Q(tau', a'; phi', psi'), a' as recorded."""
        config, qs = self._config, self._target_values(batch)
        q_tot = self.networks["target_mixer"](taken(qs, batch.actions), batch.state)
        if config.target != "implicit":
            return self._policy_targets(batch, qs, q_tot)
        follows = batch.mask & ~batch.terminated
        rho = self._rho(q_tot[:, 1:], follows, ~follows, config.value_temperature)
        if config.clamp_value_weights:
            rho = rho.clamp(max=1 / config.gamma)
        values = torch.cat([q_tot[:, :1], rho * q_tot[:, 1:]], dim=1)
        return lambda_returns(
            batch.rewards, values, batch.terminated, batch.mask, config.gamma, config.td_lambda
        )

    def _policy_targets(self, batch: EpisodeBatch, qs: Tensor, q_tot: Tensor) -> Tensor:
        """(B,T): Q(lambda) or Tree Backup of the learnt policy; they look at unrecorded actions."""
        config = self._config
        log_pi = log_policy(self._mac, batch, last_row=True)
        values = self.networks["target_mixer"](expected(log_pi, qs), batch.state)
        traces = torch.full_like(values, config.td_lambda)
        if config.target == "tree_backup":
            traces = traces * taken(log_pi, batch.actions).sum(-1).exp()
        return traced_returns(
            batch.rewards, values, q_tot, traces, batch.terminated, batch.mask, config.gamma
        )

    def _train_critic(
        self, batch: EpisodeBatch, targets: Tensor, qs: Tensor | None = None
    ) -> dict[str, Tensor]:
        """`critic_steps` passes over the batch; qs: the critic's values, if already computed."""
        q_tot, norm = self._critic_pass(batch, targets, qs)
        for _ in range(self._config.critic_steps - 1):
            q_tot, norm = self._critic_pass(batch, targets)
        loss = masked_mean((q_tot - targets).square(), batch.mask)
        return critic_metrics(loss, norm, q_tot, targets, batch.mask)

    def _critic_pass(
        self, batch: EpisodeBatch, targets: Tensor, qs: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """One step on all of the batch, or one for every time step of it.

        -> Q_tot (B,T), each part before its own step; the mean norm of the gradients.
        """
        length = batch.mask.shape[1]
        each = 1 if self._config.critic_step_per == "time_step" else length
        parts: list[Tensor] = []
        norms: list[Tensor] = []
        for t in range(0, length, each):
            time = slice(t, t + each)
            q_i = qs[:, time] if qs is not None else self._values(batch, time)
            q_tot, qs = self._q_tot(batch, q_i, time), None
            error = (q_tot - targets[:, time]).square()
            norms.append(self._critic_step(masked_mean(error, batch.mask[:, time])))
            parts.append(q_tot.detach())
        return torch.cat(parts, dim=1), torch.stack(norms).mean()

    def _train_policy(self, batch: EpisodeBatch, qs: Tensor) -> dict[str, Tensor]:
        everyone = batch.mask.unsqueeze(-1).expand_as(batch.actions[:, :-1])
        mask = everyone if self._config.forced_actions else choices(batch)
        log_pi = self._log_policy(batch)
        with torch.no_grad():
            advantages = self._advantages(batch, log_pi, qs)
            rho = self._policy_weights(batch, advantages, mask, ~everyone)
        loss = policy_loss(taken(log_pi, batch.actions[:, :-1]), rho, mask)
        norm = self._descend(self.optimisers["agent_opt"], loss, self._config.grad_norm_clip)
        return {
            "actor_loss": loss.detach(),
            "agent_grad_norm": norm,
            "pi_max": masked_mean(log_pi.detach().exp().max(-1).values, mask),
            "advantage_mean": masked_mean(advantages, mask),
            "effective_samples": effective_share(rho, mask),
        }

    def _log_policy(self, batch: EpisodeBatch) -> Tensor:
        c, epsilon = self._config, 0.0
        if c.epsilon_floor:
            epsilon = linear_epsilon(
                c.epsilon_start, c.epsilon_finish, c.epsilon_anneal_time, self.steps
            )
        elif not c.softmax_padding:  # empty padding has no available action: no softmax over those
            return log_policy(self._mac, batch)
        logits, _ = self._mac.forward(batch.obs[:, :-1], batch.last_actions()[:, :-1])
        return floored_log_policy(logits, batch.avail_actions[:, :-1], epsilon)

    def _advantages(self, batch: EpisodeBatch, log_pi: Tensor, qs: Tensor) -> Tensor:
        """(B,T,N): w_i(tau) (Q_i(tau_i, a_i) - sum_a pi_i(a) Q_i(tau_i, a)).

        The second term depends on tau alone, so the exact Z(tau) would cancel it; in eq. 56's
        batch-wide Z it stops good states from outweighing good actions.
        """
        advantages = taken(qs, batch.actions[:, :-1]) - expected(log_pi, qs)
        if self._config.mixer_weight == "factor":
            return advantages
        return self._weights(batch.state[:, :-1]) * advantages

    def _policy_weights(
        self, batch: EpisodeBatch, advantages: Tensor, mask: Tensor, padding: Tensor
    ) -> Tensor:
        """(B,T,N): each agent's weights, or the joint action's for all of them."""
        config = self._config
        temperature, ceiling = config.policy_temperature, config.max_weight
        if config.joint_weights:
            joint, anyone = advantages.where(mask, 0.0).sum(-1), mask.any(-1)
            rho = self._rho(joint, anyone, ~batch.mask, temperature, ceiling)
            rho = rho.unsqueeze(-1).expand_as(advantages)
        else:
            rho = self._rho(advantages, mask, padding, temperature, ceiling)
        if config.mixer_weight == "factor":
            rho = self._weights(batch.state[:, :-1]) * rho
        return rho

    def _rho(
        self, values: Tensor, mask: Tensor, padding: Tensor, temperature: float,
        ceiling: float | None = None,
    ) -> Tensor:  # fmt: skip
        """`implicit_weights` as configured; `padding` (also what follows an end) may take part."""
        config = self._config
        mask = mask | padding if config.softmax_padding else mask
        per_step = config.softmax_over == "time_step"
        return implicit_weights(values, mask, temperature, ceiling, per_step)
