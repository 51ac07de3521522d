"""The keys of each learner: types and ranges. The values stand in config/algs/*.yaml.

They live apart from the learners so that a mistake in the configuration is answered at once,
before PyTorch is imported.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class LearnerConfig(BaseModel):
    """What every learner has."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    lr: float = Field(gt=0)
    grad_norm_clip: float | None = Field(gt=0)


class BCConfig(LearnerConfig):
    """Behaviour cloning needs nothing else."""


class CriticConfig(LearnerConfig):
    """What learners of a mixed value share."""

    gamma: float = Field(gt=0, le=1)
    td_lambda: float = Field(ge=0, le=1)
    target_update_interval: int = Field(ge=1)
    mixing_embed_dim: int = Field(ge=1)
    hypernet_embed: int = Field(ge=1)


class QConfig(CriticConfig):
    """QMIX and VDN."""

    mixer: str
    double_q: bool


class DecomposedConfig(CriticConfig):
    """BCQ-MA, CQL-MA and ICQ-MA use the mixer's w_i, so the mixer must be linear."""

    mixer: Literal["linear", "normalised", "uniform"]
    critic: str
    critic_lr: float = Field(gt=0)
    critic_hidden_dim: int = Field(ge=1)
    critic_sees_state: bool
    optimiser: Literal["adam", "rmsprop"]


class BCQConfig(DecomposedConfig):
    """BCQ-MA."""

    zeta: float = Field(ge=0, lt=1)

    @field_validator("critic_sees_state")
    @classmethod
    def _acts_without_the_state(cls, value: bool) -> bool:
        if value:
            raise ValueError("the critic of BCQ-MA acts, so it must do without the state")
        return value


class CQLConfig(DecomposedConfig):
    """CQL-MA."""

    cql_alpha: float = Field(ge=0)
    policy_gradient: Literal["expected", "recorded"]
    entropy_coef: float = Field(ge=0)


class ICQConfig(DecomposedConfig):
    """ICQ-MA, its ablations and its official code."""

    policy_temperature: float = Field(gt=0)
    max_weight: float | None = Field(ge=1)
    value_temperature: float = Field(gt=0)
    clamp_value_weights: bool
    critic_steps: int = Field(ge=1)
    target: Literal["implicit", "q_lambda", "tree_backup"]
    joint_weights: bool
    softmax_over: Literal["batch", "time_step"]
    softmax_padding: bool
    mixer_weight: Literal["exponent", "factor"]
    forced_actions: bool
    critic_step_per: Literal["batch", "time_step"]
    critic_first: bool
    epsilon_floor: bool
    epsilon_start: float = Field(ge=0, le=1)
    epsilon_finish: float = Field(ge=0, le=1)
    epsilon_anneal_time: int = Field(ge=1)


class ContinuousConfig(LearnerConfig):
    """What learners of continuous actions share: a Gaussian policy."""

    hidden_dim: int = Field(ge=1)
    actor_layers: int = Field(ge=1)
    weight_decay: float = Field(ge=0)


class BCContinuousConfig(ContinuousConfig):
    """Behaviour cloning."""


class ICQContinuousConfig(ContinuousConfig):
    """Single-agent ICQ, Z by the softmax over the mini-batch."""

    critic_lr: float = Field(gt=0)
    critic_layers: int = Field(ge=1)
    n_critics: int = Field(ge=1)
    gamma: float = Field(gt=0, le=1)
    tau: float = Field(gt=0, le=1)
    mixer: Literal["linear", "uniform", "vdn"]
    mixing_embed_dim: int = Field(ge=1)
    hypernet_embed: int = Field(ge=1)
    policy_temperature: float = Field(gt=0)
    value_temperature: float = Field(gt=0)
    relative_temperature: bool
    max_weight: float | None = Field(ge=1)
    value_weight_scale: float = Field(gt=0)
    max_value_weight: float | None = Field(gt=0)
    policy_weight_of: Literal["advantage", "q", "td_error"]


class ICQVAEConfig(ICQContinuousConfig):
    """Single-agent ICQ, Z by a learnt behaviour model: Z(s) needs no advantage."""

    policy_weight_of: Literal["q"]  # pyright: ignore[reportIncompatibleVariableOverride]
    n_samples: int = Field(ge=1)
    behaviour_lr: float = Field(gt=0)
    behaviour_hidden_dim: int = Field(ge=1)
    behaviour_steps: int = Field(ge=1)
