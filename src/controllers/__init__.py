"""REGISTRY of multi-agent controllers (MAC): from what the agents see to what they do."""

from utils.registry import Registry

REGISTRY = Registry(
    {
        "basic_mac": "controllers.basic_controller:BasicMAC",
        "scripted_mac": "controllers.scripted_controller:ScriptedMAC",
    }
)
