"""What every learner shares: saving, loading, moving, and one step of an optimiser."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, get_total_norm
from torch.optim import Optimizer

from components.episode_batch import EpisodeBatch


class Learner(ABC):
    """A learner names its networks and optimisers; everything here follows from the names.

    `networks` has the targets too, as `target_*`. `optimisers` are named as PyMARL names their
    files (`opt`, `agent_opt`, `critic_opt`). `steps` counts calls of `train`; `counters` are the
    attributes that must survive a restart with it, and so does `generator`, where there is one.
    """

    networks: nn.ModuleDict
    optimisers: dict[str, Optimizer]
    steps: int = 0
    generator: torch.Generator | None = None  # a CPU one, so that a checkpoint resumes anywhere
    counters: ClassVar[tuple[str, ...]] = ("steps",)

    @abstractmethod
    def train(self, batch: EpisodeBatch) -> dict[str, Tensor]:
        """One update from a batch on the learner's device -> detached scalars, not waited for."""

    def state_dict(self) -> dict[str, Any]:
        """{file name: state}: networks, targets, optimisers; and the counters."""
        parts: dict[str, Any] = {name: net.state_dict() for name, net in self.networks.items()}
        parts |= {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()}
        if self.generator is not None:
            parts["generator"] = self.generator.get_state()
        return parts | {name: getattr(self, name) for name in self.counters}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        for name, part in self.networks.items() | self.optimisers.items():
            part.load_state_dict(state[name])
        for name in self.counters:
            setattr(self, name, state[name])
        if self.generator is not None:
            self.generator.set_state(state["generator"])

    def _descend(self, optimiser: Optimizer, loss: Tensor, grad_norm_clip: float | None) -> Tensor:
        """One step, clipped if there is a `grad_norm_clip`; returns the norm before clipping."""
        optimiser.zero_grad()
        loss.backward()
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        if grad_norm_clip is None:
            norm = get_total_norm([p.grad for p in parameters if p.grad is not None])
        else:
            norm = clip_grad_norm_(parameters, grad_norm_clip)
        optimiser.step()
        return norm

    def _sync_targets(self) -> None:
        """Copy every network that has a `target_` twin into it."""
        for name, network in self.networks.items():
            if name.startswith("target_"):
                network.load_state_dict(self.networks[name.removeprefix("target_")].state_dict())
