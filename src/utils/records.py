"""Reading what Sacred's file observer leaves of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def completed_config(record: Path) -> dict[str, Any] | None:
    """The configuration of a run that ended; None where it did not, or is just being written."""
    try:
        if json.loads((record / "run.json").read_text())["status"] != "COMPLETED":
            return None
        return json.loads((record / "config.json").read_text())
    except (json.JSONDecodeError, FileNotFoundError):
        return None
