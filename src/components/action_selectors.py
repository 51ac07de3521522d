"""REGISTRY of action selectors: how a controller turns its outputs into actions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def epsilon_greedy(
    outputs: Tensor, avail_actions: Tensor, epsilon: float, generator: torch.Generator | None
) -> Tensor:
    """The best available action, or with probability `epsilon` any available one.

    outputs (...,A), avail_actions (...,A) bool -> (...) int64. Chance comes from `generator`
    alone, a CPU one wherever the outputs are, so that a checkpoint resumes on either; it may be
    None when epsilon is 0.
    """
    greedy = outputs.masked_fill(~avail_actions, -torch.inf).argmax(-1)
    if epsilon == 0:
        return greedy
    noise = torch.rand(avail_actions.shape, generator=generator).to(outputs.device)
    random = noise.masked_fill(~avail_actions, -1.0).argmax(-1)
    explore = torch.rand(greedy.shape, generator=generator).to(outputs.device) < epsilon
    return torch.where(explore, random, greedy)


def multinomial(
    outputs: Tensor, avail_actions: Tensor, epsilon: float, generator: torch.Generator | None
) -> Tensor:
    """A sample of the softmax over the available actions, or with `epsilon` any of them.

    Shapes and chance as in `epsilon_greedy`; without a generator the likeliest action.
    """
    if generator is not None:
        uniform = torch.rand(avail_actions.shape, generator=generator).to(outputs.device)
        outputs = outputs - (-uniform.clamp(min=1e-20).log()).log()  # Gumbel: argmax is a sample
    return epsilon_greedy(outputs, avail_actions, epsilon, generator)


Selector = Callable[[Tensor, Tensor, float, torch.Generator | None], Tensor]
REGISTRY: dict[str, Selector] = {"epsilon_greedy": epsilon_greedy, "multinomial": multinomial}
