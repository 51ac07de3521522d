"""dataset.py inspect: a file's card and its picture."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from commands.sources import add_source_flags, open_named
from utils.errors import ConfigError


def add(commands: Any) -> None:
    """Its flags."""
    inspect = commands.add_parser("inspect", help="print a file's card and save a picture of it")
    inspect.add_argument("file", help="of our format or D4RL's, or minari:ID")
    add_source_flags(inspect)
    inspect.add_argument("--picture", type=Path, help="default: the file's name with .png")
    inspect.set_defaults(run=_inspect, takes_with=True)


def _inspect(args: argparse.Namespace) -> int:
    from data.card import card, draw
    from data.check import check_episodes

    data = open_named(args, args.file)
    check_episodes(data)
    picture = args.picture or _beside(args.file)
    if picture.suffix != ".png":
        raise ConfigError(f"--picture={picture} must end in .png")
    draw(data, picture)
    sys.stdout.write(f"{card(data)}\npicture    {picture}\n")
    return 0


def _beside(source: str) -> Path:
    """The picture of a file lies beside it, that of `minari:ID` here."""
    if source.startswith("minari:"):
        return Path(f"{source.removeprefix('minari:').replace('/', '_')}.png")
    return Path(source).with_suffix(".png")
