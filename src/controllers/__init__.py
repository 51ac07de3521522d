"""REGISTRY of multi-agent controllers (MAC): from what the agents see to what they do."""

from utils.registry import Registry

REGISTRY = Registry(
    {
        "basic_mac": "controllers.basic_controller:BasicMAC",
        "bcq_mac": "controllers.bcq_controller:BCQMAC",
        "gaussian_mac": "controllers.gaussian_controller:GaussianMAC",
        "scripted_mac": "controllers.scripted_controller:ScriptedMAC",
    }
)
