"""dataset.py manifest: what the repository ships."""

from __future__ import annotations

import argparse
import sys
from typing import Any


def add(commands: Any) -> None:
    """Its flags."""
    manifest = commands.add_parser("manifest", help="write offline_data/manifest.yaml anew")
    manifest.set_defaults(run=_manifest)


def _manifest(_: argparse.Namespace) -> int:
    from data.manifest import MANIFEST, write_manifest

    write_manifest()
    sys.stdout.write(f"wrote {MANIFEST}\n")
    return 0
