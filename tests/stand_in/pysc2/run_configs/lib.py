"""Version -> its build, as pysc2 knows it."""

from types import SimpleNamespace

VERSIONS = {
    "4.10.0": SimpleNamespace(build_version=75689),
    "4.12.1": SimpleNamespace(build_version=80188),
}
