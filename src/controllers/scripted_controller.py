"""scripted_mac: attack the first enemy in range, else advance. What learning has to beat."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from components.action_selectors import epsilon_greedy
from envs.base import EnvInfo
from utils.config import Settings
from utils.errors import ConfigError

ADVANCE = "east"


class ScriptedMAC:
    """Ranks the actions once and for all; the best available one is taken."""

    def __init__(self, info: EnvInfo, settings: Settings) -> None:
        if ADVANCE not in info.action_names:
            raise ConfigError(
                f"mac=scripted_mac plays battle maps only, env={settings.run.env} is none"
            )
        self.agent: nn.Module = nn.Module()
        attacks = [name for name in info.action_names if name.startswith("attack")]
        order = [*attacks, ADVANCE]
        self._scores = torch.tensor(
            [len(order) - order.index(n) if n in order else 0.0 for n in info.action_names]
        )

    def select_actions(
        self,
        obs: Tensor,
        avail_actions: Tensor,
        last_actions: Tensor,
        hidden: Tensor | None,
        epsilon: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """avail_actions (B,N,A) -> actions (B,N)."""
        scores = self._scores.to(avail_actions.device).expand(avail_actions.shape)
        return epsilon_greedy(scores, avail_actions, epsilon, generator), hidden
