"""REGISTRY of critics: the value of each agent's actions, seen with or without the whole state."""

from utils.registry import Registry

REGISTRY = Registry(
    {
        "mlp": "modules.critics.mlp_critic:MLPCritic",
        "dueling": "modules.critics.dueling_critic:DuelingCritic",
    }
)
