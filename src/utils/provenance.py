"""What made a file or a run: the commit, the packages, the simulator."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
from typing import Any

from utils.paths import ROOT

PACKAGES = ("torch", "numpy", "h5py", "jax", "jaxmarl", "gymnasium", "mujoco", "stable-baselines3")


def software(simulator: dict[str, str]) -> dict[str, Any]:
    """The commit, the packages, and what the environment says of its versions."""
    return {"commit": _commit(), "packages": package_versions(*PACKAGES), "simulator": simulator}


def package_versions(*names: str) -> dict[str, str]:
    """Package -> its version here."""
    return {name: _version(name) for name in names}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    describe = ["describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    command = ["git", "-C", str(ROOT), *describe]
    known = os.environ.get("ICQ_COMMIT", "unknown")  # of the Docker image
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return known
