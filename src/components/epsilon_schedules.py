"""How exploration fades."""

from __future__ import annotations


def linear_epsilon(start: float, finish: float, anneal_time: int, t_env: int) -> float:
    """From `start` to `finish` over `anneal_time` environment steps, then `finish`."""
    return start + (finish - start) * min(t_env / anneal_time, 1.0)
