"""Flags that tell how a new file is packed, for the subcommands that write one."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data.write import Storage


def add_storage_flags(parser: argparse.ArgumentParser) -> None:
    """--compress and --float16."""
    parser.add_argument("--compress", action="store_true", help="for shipping: smaller, slower")
    parser.add_argument("--float16", action="store_true", help="obs and state in half precision")


def storage_of(args: argparse.Namespace) -> Storage:
    """What the flags say."""
    from data.write import Storage

    return Storage(args.compress, args.float16)
