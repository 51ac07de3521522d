"""dataset.py convert: from one format to another."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from commands.sources import add_source_flags, open_named


def add(commands: Any) -> None:
    """Its flags."""
    convert = commands.add_parser("convert", help="from any format to any other")
    convert.add_argument("source", help="a file, a folder or minari:ID")
    convert.add_argument("target", help="a new file, folder or minari:ID")
    convert.add_argument("--from", dest="wanted", default="", help="the source's format")
    convert.add_argument("--to", default="", help="the target's, if its name does not tell it")
    add_source_flags(convert)
    convert.add_argument("--compress", action="store_true", help="for shipping: smaller, slower")
    convert.add_argument("--float16", action="store_true", help="obs and state in half precision")
    convert.set_defaults(run=_convert, takes_with=True)


def _convert(args: argparse.Namespace) -> int:
    from data.convert import convert
    from data.write import Storage

    data = open_named(args, args.source)
    lost = convert(data, args.target, args.to, Storage(args.compress, args.float16))
    sys.stdout.write(f"wrote {args.target}: {len(data)} episodes\n")
    if lost:
        sys.stdout.write(f"not in it: {'; '.join(lost)}\n")
    return 0
