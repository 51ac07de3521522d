"""REGISTRY of learners, one algorithm a file, and CONFIGS, the types of their keys."""

from learners.configs import BCConfig, BCQConfig, CQLConfig, ICQConfig, LearnerConfig, QConfig
from utils.registry import Registry

REGISTRY = Registry(
    {
        "icq_learner": "learners.icq_learner:ICQLearner",
        "bcq_learner": "learners.bcq_learner:BCQLearner",
        "cql_learner": "learners.cql_learner:CQLLearner",
        "bc_learner": "learners.bc_learner:BCLearner",
        "q_learner": "learners.q_learner:QLearner",
    }
)

CONFIGS: dict[str, type[LearnerConfig]] = {
    "icq_learner": ICQConfig,
    "bcq_learner": BCQConfig,
    "cql_learner": CQLConfig,
    "bc_learner": BCConfig,
    "q_learner": QConfig,
}
