"""dataset.py check: every row of files, and their checksums."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from commands.sources import add_source_flags, open_named


def add(commands: Any) -> None:
    """Its flags."""
    check = commands.add_parser("check", help="look at every row and compare the checksums")
    check.add_argument("files", nargs="+")
    add_source_flags(check)
    check.set_defaults(run=_check, takes_with=True)


def _check(args: argparse.Namespace) -> int:
    from data.check import check_checksum, check_episodes
    from data.manifest import check_manifest
    from data.read import RecordedEpisodes

    for name in args.files:
        data = open_named(args, name)
        check_episodes(data)
        if isinstance(data, RecordedEpisodes):
            check_checksum(data)
            listed = "as in the manifest" if check_manifest(data.path) else "not in the manifest"
        else:
            listed = "no checksum in this format"
        sys.stdout.write(f"{name}: {len(data)} episodes, sound, {listed}\n")
    return 0
