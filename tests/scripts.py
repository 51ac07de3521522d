"""What tests of the shell scripts need: a clean environment, programs that only seem to be."""

from __future__ import annotations

import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def environment(**values: str) -> dict[str, str]:
    """The machine's, less what would change what is tested."""
    ours = re.compile(r"(?i)SC2|SMAC|ACCEPT|TORCH|EXTRAS|BASE_IMAGE|COMMIT|ICQ_|DOCKER|.*_proxy")
    return {k: v for k, v in os.environ.items() if not ours.match(k)} | values


def fake(folder: Path, name: str, script: str) -> Path:
    """A folder for PATH with a program in it."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    (programs / name).write_text(f"#!/bin/sh\n{script}\n")
    (programs / name).chmod(0o755)
    return programs
