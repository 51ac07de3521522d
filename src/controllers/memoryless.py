"""What controllers share that act on what they see now and on nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class MemorylessController(ABC):
    """A subclass says how it acts. Its own spread is what explores: `epsilon` has no part in it."""

    @abstractmethod
    def act(self, obs: Tensor, generator: torch.Generator | None) -> Tensor:
        """Obs (B,N,O) -> actions (B,N,A), or (B,N) discrete ones; with a generator (of the CPU)
        by chance.
        """

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
        """One step, as `runners.rollout.Controller` asks for it."""
        return self.act(obs, generator), None
