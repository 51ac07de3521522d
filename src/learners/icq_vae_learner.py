"""icq_vae_learner: ICQ for continuous actions, Z by a learnt behaviour model (eq. 55)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.optim import Adam

from components.episode_batch import EpisodeBatch
from controllers.gaussian_controller import GaussianMAC
from envs.base import EnvInfo
from learners.configs import ICQVAEConfig
from learners.icq_continuous_learner import ICQContinuousLearner
from modules.behaviour.vae import ConditionalVAE
from utils.rl_utils import masked_mean

UNCUT = 30.0  # e^30: a weight without a ceiling stays finite in float32
PIECE = 1024  # pairs of situation and action that stay in a CPU's cache together


def behaviour_weights(
    values: Tensor, samples: Tensor, temperature: float | Tensor, ceiling: float | None = None
) -> Tensor:
    """rho = exp(v / alpha) / Z, Z = 1/n sum_j exp(v_j / alpha), v_j of sampled actions  (eq. 55).

    values (...), samples (n,...) -> (...); rho is cut at `ceiling`. Detached.
    """
    log_z = (samples.detach() / temperature).logsumexp(0) - math.log(len(samples))
    log_rho = values.detach() / temperature - log_z
    return log_rho.clamp(max=UNCUT if ceiling is None else math.log(ceiling)).exp()


class ICQVAELearner(ICQContinuousLearner):
    """The behaviour model learns first, for `behaviour_steps`; then it stays as it is."""

    _config: ICQVAEConfig

    def __init__(
        self, mac: GaussianMAC, info: EnvInfo, config: ICQVAEConfig, device: torch.device
    ) -> None:
        super().__init__(mac, info, config, device)
        self._model = ConditionalVAE(
            info.obs_shape, info.n_agents, info.n_actions, config.behaviour_hidden_dim
        ).to(device)
        self.networks["behaviour"] = self._model
        parameters = self._model.parameters()
        self.optimisers["behaviour_opt"] = Adam(parameters, config.behaviour_lr, fused=True)
        self.generator = torch.Generator().manual_seed(int(torch.randint(2**31, ())))

    def train(self, batch: EpisodeBatch) -> dict[str, Tensor]:
        """A step of the behaviour model, or one pass of Algorithm 1's loop."""
        if self.steps < self._config.behaviour_steps:
            return self._train_behaviour(batch)
        return super().train(batch)

    def _train_behaviour(self, batch: EpisodeBatch) -> dict[str, Tensor]:
        actions = self._mac.unit(batch.actions[:, :-1])
        noise = self._noise(actions)
        loss_i = self._model.loss(batch.obs[:, :-1], actions, noise)
        loss = masked_mean(loss_i, batch.mask.unsqueeze(-1).expand_as(loss_i))
        norm = self._descend(self.optimisers["behaviour_opt"], loss, self._config.grad_norm_clip)
        self.steps += 1
        return {"behaviour_loss": loss.detach(), "behaviour_grad_norm": norm}

    def _policy_weights(
        self, batch: EpisodeBatch, actions: Tensor, mean: Tensor, q_i: Tensor, mask: Tensor
    ) -> Tensor:
        """(B,T,N): exp(w_i Q_i / alpha) / Z_i(s)."""
        config, w, obs = self._config, self._weights(batch), batch.obs[:, :-1]
        pieces = self._noise(mean, config.n_samples).split(self._piece(batch))
        critic = self.networks["critic"]
        samples = torch.cat([critic(obs, self._model.sample(obs, z)).amin(0) for z in pieces])
        baseline = samples.mean(0)
        values, samples = w * (q_i.amin(0) - baseline), w * (samples - baseline)
        temperature = self._temperature(config.policy_temperature, values, mask)
        return behaviour_weights(values, samples, temperature, config.max_weight)

    def _value_weights(self, batch: EpisodeBatch, values: Tensor, follows: Tensor) -> Tensor:
        """(B,T): exp(Q' / alpha) / Z(s')."""
        config, obs = self._config, batch.obs[:, 1:]
        pieces = self._noise(batch.actions[:, 1:], config.n_samples).split(self._piece(batch))
        samples = torch.cat(
            [self._target_values(batch, self._model.sample(obs, z)) for z in pieces]
        )
        baseline = samples.mean(0)
        values, samples = values - baseline, samples - baseline
        temperature = self._temperature(config.value_temperature, values, follows)
        return behaviour_weights(values, samples, temperature)

    def _noise(self, like: Tensor, *n: int) -> Tensor:
        """(n,B,T,N,2A): standard normal, for actions (B,T,N,A)."""
        shape = (*n, *like.shape[:-1], self._model.latent_dim)
        on_gpu = like.device.type == "cuda"
        noise = torch.randn(shape, generator=self.generator, dtype=like.dtype, pin_memory=on_gpu)
        return noise.to(like.device, non_blocking=True)

    def _piece(self, batch: EpisodeBatch) -> int:
        """How many of the n samples are looked at together."""
        on_cpu = batch.mask.device.type == "cpu"
        return max(1, PIECE // batch.mask.numel()) if on_cpu else self._config.n_samples
