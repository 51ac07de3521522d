"""REGISTRY of learners, one algorithm a file, and CONFIGS, the types of their keys."""

from learners.configs import BCConfig, ICQConfig, LearnerConfig, QConfig
from utils.registry import Registry

REGISTRY = Registry(
    {
        "icq_learner": "learners.icq_learner:ICQLearner",
        "bc_learner": "learners.bc_learner:BCLearner",
        "q_learner": "learners.q_learner:QLearner",
    }
)

CONFIGS: dict[str, type[LearnerConfig]] = {
    "icq_learner": ICQConfig,
    "bc_learner": BCConfig,
    "q_learner": QConfig,
}
