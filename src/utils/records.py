"""Reading what Sacred's file observer leaves of runs."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any


def completed_configs(results: Path) -> dict[str, dict[str, Any]]:
    """Run id -> configuration of the runs that ended, the latest last.

    A record that another run is just writing does not count.
    """
    configs = {}
    for record in sorted(results.glob("sacred/*/run.json"), key=lambda p: p.stat().st_mtime):
        with contextlib.suppress(json.JSONDecodeError, FileNotFoundError):
            if json.loads(record.read_text())["status"] == "COMPLETED":
                config = json.loads(record.with_name("config.json").read_text())
                configs[record.parent.name] = config
    return configs
