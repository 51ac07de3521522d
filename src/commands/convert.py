"""dataset.py convert: from one format to another."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from commands.sources import add_source_flags, open_named
from commands.storage import add_storage_flags, storage_of


def add(commands: Any) -> None:
    """Its flags."""
    convert = commands.add_parser("convert", help="from any format to any other")
    convert.add_argument("source", help="a file, a folder or minari:ID")
    convert.add_argument("target", help="a new file, folder or minari:ID")
    convert.add_argument("--from", dest="wanted", default="", help="the source's format")
    convert.add_argument("--to", default="", help="the target's, if its name does not tell it")
    add_source_flags(convert)
    add_storage_flags(convert)
    convert.set_defaults(run=_convert, takes_with=True)


def _convert(args: argparse.Namespace) -> int:
    from data.convert import convert

    data = open_named(args, args.source)
    lost = convert(data, args.target, args.to, storage_of(args))
    sys.stdout.write(f"wrote {args.target}: {len(data)} episodes\n")
    if lost:
        sys.stdout.write(f"not in it: {'; '.join(lost)}\n")
    return 0
