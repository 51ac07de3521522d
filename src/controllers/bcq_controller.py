"""bcq_mac: of the actions that the behaviour model finds familiar, the one of the highest value."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from controllers.basic_controller import BasicMAC
from envs.base import EnvInfo
from learners.configs import BCQConfig
from modules.critics import REGISTRY as critic_REGISTRY
from utils.config import Settings
from utils.rl_utils import available_log_softmax


def familiar(log_g: Tensor, zeta: float) -> Tensor:
    """G(a) / max_a G(a) > zeta (eq. 57): log_g (...,A) -> (...,A) bool; -inf is never familiar.

    zeta < 1, so the likeliest action always is.
    """
    ratio = log_g - log_g.max(-1, keepdim=True).values
    return (ratio > math.log(zeta)) if zeta else log_g.isfinite()


class BCQMAC(BasicMAC):
    """`agent` holds both networks, so that a checkpoint's agent.th is all that acting needs."""

    def __init__(self, info: EnvInfo, settings: Settings) -> None:
        super().__init__(info, settings)
        config = settings.learner
        assert isinstance(config, BCQConfig)
        self._zeta = config.zeta
        self.behaviour = self.agent
        self.critic: nn.Module = critic_REGISTRY[config.critic](
            info.obs_shape, info.n_agents, info.n_actions, config.critic_hidden_dim
        )
        self.agent = nn.ModuleDict({"behaviour": self.behaviour, "critic": self.critic})

    def forward(
        self, obs: Tensor, last_actions: Tensor, hidden: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The behaviour model's logits; shapes as in `BasicMAC.forward`."""
        return self.behaviour(self._inputs(obs, last_actions), hidden)

    def _scores(self, outputs: Tensor, obs: Tensor, avail_actions: Tensor) -> Tensor:
        log_g = available_log_softmax(outputs, avail_actions)
        return self.critic(None, obs).masked_fill(~familiar(log_g, self._zeta), -torch.inf)
