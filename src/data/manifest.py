"""offline_data/manifest.yaml: sha256, size and returns of every file that is shipped."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import yaml

from data.read import RecordedEpisodes
from utils.errors import DataError
from utils.paths import ROOT

FOLDER = ROOT / "offline_data"
MANIFEST = FOLDER / "manifest.yaml"


def describe(path: Path) -> dict[str, Any]:
    """One file's row in the manifest."""
    data = RecordedEpisodes(path)
    returns = data.episodes["return"]
    return {
        "sha256": _sha256(path),
        "bytes": path.stat().st_size,
        "episodes": len(data),
        "transitions": data.n_transitions,
        "return_mean": round(float(returns.mean()), 3),
        "battle_won_mean": round(float(data.episodes["battle_won"].mean()), 3),
    }


def write_manifest() -> None:
    """Describe every file in offline_data but those that git leaves out."""
    rows = {str(p.relative_to(FOLDER)): describe(p) for p in _shipped()}
    MANIFEST.write_text("# Made by: python src/dataset.py manifest\n" + yaml.safe_dump(rows))


def _shipped() -> list[Path]:
    """The data files that git has or would take; all of them where there is no checkout."""
    command = ["git", "-C", str(FOLDER), "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return sorted(FOLDER.rglob("*.h5"))
    return [FOLDER / name for name in sorted(listed.splitlines()) if name.endswith(".h5")]


def check_manifest(path: Path) -> bool:
    """Whether the manifest lists the file; DataError when it is not the file that it lists."""
    rows = yaml.safe_load(MANIFEST.read_text()) if MANIFEST.is_file() else {}
    full = path.resolve()
    name = str(full.relative_to(FOLDER)) if full.is_relative_to(FOLDER) else ""
    if name not in rows:
        return False
    found, listed = _sha256(path), rows[name]["sha256"]
    if found != listed:
        raise DataError(
            f"{path} is not the file of the manifest (sha256 {found[:12]}..., listed "
            f"{listed[:12]}...): copy it again, or run src/dataset.py manifest if you made it anew"
        )
    return True


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
