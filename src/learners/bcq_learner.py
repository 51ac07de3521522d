"""bcq_learner: BCQ-MA (eq. 57), Q-learning among actions that a behaviour model finds familiar."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from components.episode_batch import EpisodeBatch
from controllers.bcq_controller import BCQMAC, familiar
from envs.base import EnvInfo
from learners.configs import BCQConfig
from learners.decomposed import DecomposedLearner, critic_metrics
from utils.rl_utils import choices, lambda_returns, log_policy, masked_mean, taken


def familiar_max(qs: Tensor, log_g: Tensor, zeta: float) -> Tensor:
    """max_a Q_i(a) over the familiar actions; qs, log_g (...,A) -> (...).

    In eq. 57 the perturbation moves continuous actions; of discrete ones it only masks.
    """
    return qs.masked_fill(~familiar(log_g, zeta), -torch.inf).max(-1).values


class BCQLearner(DecomposedLearner):
    """The agent is the behaviour model G; the policy is the filtered greedy one of `bcq_mac`."""

    _config: BCQConfig
    _mac: BCQMAC

    def train(self, batch: EpisodeBatch) -> dict[str, Tensor]:
        """One step of the behaviour model (eq. 59), one of the critic (eq. 57)."""
        log_g = log_policy(self._mac, batch, last_row=True)
        metrics = self._train_behaviour(batch, log_g[:, :-1])
        targets = self._targets(batch, log_g.detach())
        q_tot = self._q_tot(batch, self._values(batch))
        loss = masked_mean((q_tot - targets).square(), batch.mask)
        norm = self._critic_step(loss)
        metrics |= critic_metrics(loss, norm, q_tot, targets, batch.mask)
        self._end_step()
        return metrics

    @torch.no_grad()
    def _targets(self, batch: EpisodeBatch, log_g: Tensor) -> Tensor:
        """(B,T): r + gamma max over familiar a' of Q_tot(tau', a'; phi', psi').

        The maximum of sum_i w_i Q_i + b with w_i >= 0 is the agents' own maxima.
        """
        q_i = familiar_max(self._target_values(batch), log_g, self._config.zeta)
        values = self.networks["target_mixer"](q_i, batch.state)
        return lambda_returns(
            batch.rewards, values, batch.terminated, batch.mask,
            self._config.gamma, self._config.td_lambda,
        )  # fmt: skip

    def _train_behaviour(self, batch: EpisodeBatch, log_g: Tensor) -> dict[str, Tensor]:
        mask = choices(batch)
        loss = -masked_mean(taken(log_g, batch.actions[:, :-1]), mask)
        norm = self._descend(self.optimisers["agent_opt"], loss, self._config.grad_norm_clip)
        allowed = familiar(log_g.detach(), self._config.zeta).sum(-1)
        return {
            "behaviour_loss": loss.detach(),
            "agent_grad_norm": norm,
            "familiar_actions": masked_mean(allowed.to(loss.dtype), mask),
        }

    def _make_critic(self, info: EnvInfo) -> nn.Module:
        return self._mac.critic

    def _agent_parameters(self) -> Iterable[Parameter]:
        return self._mac.behaviour.parameters()
