"""REGISTRY of agents: what one agent computes from what it has seen."""

from utils.registry import Registry

REGISTRY = Registry(
    {
        "rnn": "modules.agents.rnn_agent:RNNAgent",
        "gaussian": "modules.agents.gaussian_agent:GaussianAgent",
    }
)
