"""The keys of each learner: types and ranges. The values stand in config/algs/*.yaml.

They live apart from the learners so that a mistake in the configuration is answered at once,
before PyTorch is imported.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class LearnerConfig(BaseModel):
    """What every learner has."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    lr: float = Field(gt=0)
    grad_norm_clip: float = Field(gt=0)


class BCConfig(LearnerConfig):
    """Behaviour cloning needs nothing else."""


class CriticConfig(LearnerConfig):
    """What learners of a mixed value share."""

    gamma: float = Field(ge=0, le=1)
    td_lambda: float = Field(ge=0, le=1)
    target_update_interval: int = Field(ge=1)
    mixing_embed_dim: int = Field(ge=1)
    hypernet_embed: int = Field(ge=1)


class QConfig(CriticConfig):
    """QMIX and VDN."""

    mixer: str
    double_q: bool


class ICQConfig(CriticConfig):
    """ICQ-MA. Its policy weights need the mixer's w_i, so the mixer must be linear."""

    mixer: Literal["linear"]
    critic: str
    critic_lr: float = Field(gt=0)
    critic_hidden_dim: int = Field(ge=1)
    critic_sees_state: bool
    critic_steps: int = Field(ge=1)
    policy_temperature: float = Field(gt=0)
    max_weight: float = Field(ge=1)
    value_temperature: float = Field(gt=0)
