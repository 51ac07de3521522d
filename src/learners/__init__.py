"""REGISTRY of learners, one algorithm a file, and CONFIGS, the types of their keys."""

from learners.configs import (
    BCConfig,
    BCContinuousConfig,
    BCQConfig,
    CQLConfig,
    ICQConfig,
    ICQContinuousConfig,
    ICQVAEConfig,
    LearnerConfig,
    QConfig,
)
from utils.registry import Registry

REGISTRY = Registry(
    {
        "icq_learner": "learners.icq_learner:ICQLearner",
        "bcq_learner": "learners.bcq_learner:BCQLearner",
        "cql_learner": "learners.cql_learner:CQLLearner",
        "bc_learner": "learners.bc_learner:BCLearner",
        "q_learner": "learners.q_learner:QLearner",
        "icq_continuous_learner": "learners.icq_continuous_learner:ICQContinuousLearner",
        "icq_vae_learner": "learners.icq_vae_learner:ICQVAELearner",
        "bc_continuous_learner": "learners.bc_continuous_learner:BCContinuousLearner",
    }
)

CONFIGS: dict[str, type[LearnerConfig]] = {
    "icq_learner": ICQConfig,
    "bcq_learner": BCQConfig,
    "cql_learner": CQLConfig,
    "bc_learner": BCConfig,
    "q_learner": QConfig,
    "icq_continuous_learner": ICQContinuousConfig,
    "icq_vae_learner": ICQVAEConfig,
    "bc_continuous_learner": BCContinuousConfig,
}
