"""Actions drawn evenly within their bounds: random play in a continuous task."""

from __future__ import annotations

import torch
from torch import Tensor

from controllers.memoryless import MemorylessController
from envs.base import EnvInfo


class UniformController(MemorylessController):
    """It has nothing to learn."""

    def __init__(self, info: EnvInfo) -> None:
        self._low, high = torch.tensor(info.action_low), torch.tensor(info.action_high)
        self._range = high - self._low

    def act(self, obs: Tensor, generator: torch.Generator | None) -> Tensor:
        """Obs (B,N,O) -> actions (B,N,A)."""
        shape = (*obs.shape[:2], len(self._range))
        return self._low + self._range * torch.rand(shape, generator=generator)
