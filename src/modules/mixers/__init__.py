"""REGISTRY of mixers: how the agents' values make the team's."""

from utils.registry import Registry

REGISTRY = Registry(
    {
        "vdn": "modules.mixers.vdn:VDNMixer",
        "qmix": "modules.mixers.qmix:QMixer",
        "linear": "modules.mixers.linear:LinearMixer",
        "normalised": "modules.mixers.normalised:NormalisedMixer",
        "uniform": "modules.mixers.uniform:UniformMixer",
    }
)
