"""basic_mac: one agent network for all agents, told who it is and what it did last."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from components.action_selectors import REGISTRY as action_REGISTRY
from envs.base import EnvInfo
from modules.agents import REGISTRY as agent_REGISTRY
from utils.config import Settings


class BasicMAC:
    """Keeps the agent network and nothing between calls: the hidden state is the caller's."""

    def __init__(self, info: EnvInfo, settings: Settings) -> None:
        config = settings.run
        self._info = info
        self._select = action_REGISTRY[config.action_selector]
        self._obs_last_action = config.obs_last_action
        self._obs_agent_id = config.obs_agent_id
        input_dim = (
            info.obs_shape
            + info.n_actions * self._obs_last_action
            + info.n_agents * self._obs_agent_id
        )
        self.agent: nn.Module = agent_REGISTRY[config.agent](
            input_dim, config.rnn_hidden_dim, info.n_actions
        )

    def forward(
        self, obs: Tensor, last_actions: Tensor, hidden: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The same call trains (T rows) and acts (T = 1).

        obs (B,T,N,O), last_actions (B,T,N) with -1 for none -> outputs (B,T,N,A), hidden.
        """
        return self.agent(self._inputs(obs, last_actions), hidden)

    @torch.no_grad()
    def select_actions(
        self,
        obs: Tensor,
        avail_actions: Tensor,
        last_actions: Tensor,
        hidden: Tensor | None,
        epsilon: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """One step: obs (B,N,O), avail_actions (B,N,A), last_actions (B,N) -> actions (B,N)."""
        outputs, hidden = self.forward(obs.unsqueeze(1), last_actions.unsqueeze(1), hidden)
        scores = self._scores(outputs.squeeze(1), obs, avail_actions)
        return self._select(scores, avail_actions, epsilon, generator), hidden

    def _scores(self, outputs: Tensor, obs: Tensor, avail_actions: Tensor) -> Tensor:
        """(B,N,A): of which the highest available one is the greedy action."""
        return outputs

    def _inputs(self, obs: Tensor, last_actions: Tensor) -> Tensor:
        parts = [obs]
        if self._obs_last_action:
            every = torch.arange(self._info.n_actions, device=obs.device)
            parts.append((last_actions.unsqueeze(-1) == every).to(obs.dtype))  # none: all zero
        if self._obs_agent_id:
            ids = torch.eye(self._info.n_agents, dtype=obs.dtype, device=obs.device)
            parts.append(ids.expand(*obs.shape[:2], -1, -1))
        return torch.cat(parts, dim=-1)
