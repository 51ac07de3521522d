"""dataset.py convert: from one format to another."""

from __future__ import annotations

import argparse
import sys
from typing import Any


def add(commands: Any) -> None:
    """Its flags."""
    convert = commands.add_parser(
        "convert", help="D4RL's or Minari's to our format, ours to Minari"
    )
    convert.add_argument("source", help="a file or minari:ID")
    convert.add_argument("target", help="a new file or minari:ID")
    convert.add_argument("--key", default="", help="the task of a D4RL file, such as Hopper-v5")
    convert.add_argument("--compress", action="store_true", help="for shipping: smaller, slower")
    convert.set_defaults(run=_convert)


def _convert(args: argparse.Namespace) -> int:
    from data.convert import convert

    n = convert(args.source, args.target, args.key, args.compress)
    sys.stdout.write(f"wrote {args.target}: {n} episodes\n")
    return 0
