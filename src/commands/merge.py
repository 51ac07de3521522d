"""dataset.py merge: the episodes of several files in one."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from utils.errors import ConfigError


def add(commands: Any) -> None:
    """Its flags."""
    merge = commands.add_parser("merge", help="the episodes of several files in one")
    merge.add_argument("files", nargs="+", type=Path)
    merge.add_argument("--out", type=Path, required=True, help="the new file")
    merge.add_argument("--compress", action="store_true", help="for shipping: smaller, slower")
    merge.set_defaults(run=_merge)


def _merge(args: argparse.Namespace) -> int:
    from data.merge import merge

    if args.out.suffix != ".h5":
        raise ConfigError(f"--out={args.out} must end in .h5")
    n = merge(args.files, args.out, args.compress)
    sys.stdout.write(f"wrote {args.out}: {n} episodes\n")
    return 0
