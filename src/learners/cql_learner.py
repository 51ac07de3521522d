"""cql_learner: CQL-MA (eq. 58), conservative values and a decomposed policy gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from components.episode_batch import EpisodeBatch
from learners.configs import CQLConfig
from learners.decomposed import DecomposedLearner, critic_metrics
from utils.rl_utils import (
    choices,
    entropy,
    expected,
    log_policy,
    masked_mean,
    taken,
    traced_returns,
)


def conservative_gap(qs: Tensor, weights: Tensor, avail: Tensor, actions: Tensor) -> Tensor:
    """sum_i [log sum_a exp(w_i Q_i(a)) - w_i Q_i(a_i)] >= 0, over available actions (eq. 58).

    qs, avail (...,N,A), weights, actions (...,N) -> (...). Of Q_tot = sum_i w_i Q_i + b this is
    log sum over joint actions of exp Q_tot, minus Q_tot of the recorded one: b cancels.
    """
    scaled = weights.unsqueeze(-1) * qs
    everything = scaled.masked_fill(~avail, -torch.inf).logsumexp(-1)
    return (everything - taken(scaled, actions)).sum(-1)


class CQLLearner(DecomposedLearner):
    """The critic pushes unrecorded actions down; the policy climbs its values."""

    _config: CQLConfig

    def train(self, batch: EpisodeBatch) -> dict[str, Tensor]:
        """One step of the policy, one of the critic."""
        log_pi = log_policy(self._mac, batch, last_row=True)
        targets = self._targets(batch, log_pi.detach())
        qs, weights = self._values(batch), self._weights(batch.state[:, :-1])
        metrics = self._train_policy(batch, log_pi[:, :-1], qs.detach(), weights.detach())
        metrics |= self._train_critic(batch, qs, weights, targets)
        self._end_step()
        return metrics

    @torch.no_grad()
    def _targets(self, batch: EpisodeBatch, log_pi: Tensor) -> Tensor:
        """(B,T): y^CQL, Tree Backup over the whole rest of the episode."""
        mixer, qs = self.networks["target_mixer"], self._target_values(batch)
        values = mixer(expected(log_pi, qs), batch.state)
        q_tot = mixer(taken(qs, batch.actions), batch.state)
        traces = self._config.td_lambda * taken(log_pi, batch.actions).sum(-1).exp()
        return traced_returns(
            batch.rewards, values, q_tot, traces, batch.terminated, batch.mask, self._config.gamma
        )

    def _train_critic(
        self, batch: EpisodeBatch, qs: Tensor, weights: Tensor, targets: Tensor
    ) -> dict[str, Tensor]:
        """alpha_CQL E[gap] + 1/2 E[(y - Q_tot)^2]."""
        avail, actions = batch.avail_actions[:, :-1], batch.actions[:, :-1]
        gap = masked_mean(conservative_gap(qs, weights, avail, actions), batch.mask)
        q_tot = self._q_tot(batch, qs)
        error = masked_mean((targets - q_tot).square(), batch.mask)
        loss = self._config.cql_alpha * gap + 0.5 * error
        metrics = critic_metrics(loss, self._critic_step(loss), q_tot, targets, batch.mask)
        return metrics | {"cql_gap": gap.detach()}

    def _train_policy(
        self, batch: EpisodeBatch, log_pi: Tensor, qs: Tensor, weights: Tensor
    ) -> dict[str, Tensor]:
        """Climb E[Q_tot(tau, pi)] = E[sum_i w_i sum_a pi_i(a) Q_i(a)] + const, and the entropy.

        With `entropy_coef` 1 the best policy is softmax(w_i Q_i), the one whose actions' values
        the penalty lowers. `recorded` climbs log pi_i(a_i) Q_i(a_i) of the recorded a_i instead
        of the values: with `entropy_coef` 0 that is eq. 58 as printed.
        """
        mask = choices(batch)
        if self._config.policy_gradient == "expected":
            objective = weights * expected(log_pi, qs)
        else:
            actions = batch.actions[:, :-1]
            objective = taken(log_pi, actions) * taken(qs, actions)
        loss = -masked_mean(objective + self._config.entropy_coef * entropy(log_pi), mask)
        norm = self._descend(self.optimisers["agent_opt"], loss, self._config.grad_norm_clip)
        return {
            "actor_loss": loss.detach(),
            "agent_grad_norm": norm,
            "pi_max": masked_mean(log_pi.detach().exp().max(-1).values, mask),
        }
