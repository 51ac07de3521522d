"""REGISTRY of critics: the value of each agent's actions, seen with or without the whole state."""

from utils.registry import Registry

REGISTRY = Registry(
    {
        "mlp": "modules.critics.mlp_critic:MLPCritic",
        "action": "modules.critics.action_critic:ActionCritic",
        "dueling": "modules.critics.dueling_critic:DuelingCritic",
    }
)
