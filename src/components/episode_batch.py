"""EpisodeBatch: whole episodes as tensors, which buffers, runners and learners share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn.functional import pad


@dataclass(frozen=True)
class EpisodeBatch:
    """B episodes, padded to the longest one's T transitions.

    Episode i has `mask[i].sum()` transitions and one row more: its last observation, with the
    action that the behaviour policy took there. Rows behind that repeat the last observation, so
    that padding is always a valid input; no learner may let it change a result.
    """

    obs: Tensor  # (B, T+1, N, O) float
    state: Tensor  # (B, T+1, S) float
    avail_actions: Tensor  # (B, T+1, N, A) bool
    actions: Tensor  # (B, T+1, N) int64
    rewards: Tensor  # (B, T) float, 0 in padding
    terminated: Tensor  # (B, T) bool, a true end: nothing follows
    truncated: Tensor  # (B, T) bool, a time limit: the last observation still bootstraps
    mask: Tensor  # (B, T) bool, a real transition

    @property
    def batch_size(self) -> int:
        """B, the number of episodes."""
        return self.mask.shape[0]

    @property
    def lengths(self) -> Tensor:
        """(B,) int64, transitions in each episode."""
        return self.mask.sum(1)

    @property
    def returns(self) -> Tensor:
        """(B,) float, undiscounted return of each episode."""
        return (self.rewards * self.mask).sum(1)

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def to(self, device: torch.device) -> EpisodeBatch:
        """The same episodes on `device`."""
        return EpisodeBatch(
            **{k: v.to(device, non_blocking=True) for k, v in self.tensors().items()}
        )

    def last_actions(self) -> Tensor:
        """(B, T+1, N) int64: the action before each row, -1 where there is none."""
        return pad(self.actions[:, :-1], (0, 0, 1, 0), value=-1)

    def trim(self) -> EpisodeBatch:
        """The same episodes without the time steps in which all of them are over."""
        longest = int(self.lengths.max())
        return EpisodeBatch(
            **{k: v[:, : longest + _extra_row(k)] for k, v in self.tensors().items()}
        )

    def episodes(self, index: Sequence[int] | Tensor) -> EpisodeBatch:
        """The chosen episodes, in the order of `index`."""
        return EpisodeBatch(**{k: v[index] for k, v in self.tensors().items()})

    @staticmethod
    def concatenate(batches: Sequence[EpisodeBatch]) -> EpisodeBatch:
        """All episodes of `batches`, padded to the longest."""
        length = max(batch.mask.shape[1] for batch in batches)
        padded = [batch._padded(length).tensors() for batch in batches]
        return EpisodeBatch(**{k: torch.cat([p[k] for p in padded]) for k in padded[0]})

    def _padded(self, length: int) -> EpisodeBatch:
        missing = length - self.mask.shape[1]
        if missing == 0:
            return self
        rows = self.tensors()
        for name, value in rows.items():
            tail = value[:, -1:] if _extra_row(name) else torch.zeros_like(value[:, -1:])
            rows[name] = torch.cat([value, tail.repeat_interleave(missing, dim=1)], dim=1)
        return EpisodeBatch(**rows)


def _extra_row(name: str) -> int:
    """1 for what has a row for the last observation, 0 for what belongs to transitions."""
    return int(name in {"obs", "state", "avail_actions", "actions"})
