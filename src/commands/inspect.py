"""dataset.py inspect: cards of recorded episodes, as text or JSON, and a picture of them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.sources import add_source_flags, open_named
from utils.errors import ConfigError

if TYPE_CHECKING:
    from data.card import Card

PICTURES = (".png", ".pdf", ".svg")  # what data.card_picture draws
CARDS = "cards.png"


def add(commands: Any) -> None:
    """Its flags."""
    inspect = commands.add_parser(
        "inspect", help="print the cards of files, side by side, and save a picture of them"
    )
    inspect.add_argument(
        "files", nargs="+", metavar="FILE", help="of any format; minari:ID is one of Minari's"
    )
    add_source_flags(inspect)
    inspect.add_argument(
        "--picture", type=Path,
        help="a .png, .pdf or .svg; default: of one file its name with .png, of several "
        f"{CARDS} beside the first",
    )  # fmt: skip
    inspect.add_argument(
        "--json", action="store_true",
        help="print JSON and nothing else; a picture only where --picture says so",
    )  # fmt: skip
    inspect.set_defaults(run=_inspect, takes_with=True)


def _inspect(args: argparse.Namespace) -> int:
    picture = args.picture
    if picture is None and not args.json:
        picture = _beside(args.files)
    if picture is not None:
        _check_picture(picture)
    cards = [_card(args, name) for name in args.files]
    sys.stdout.write(_json(cards) if args.json else f"{_text(cards)}\n")
    if picture is not None:
        from data.card_picture import draw

        draw(cards, picture)
    if not args.json:
        sys.stdout.write(f"picture: {picture}\n")
    return 0


def _card(args: argparse.Namespace, name: str) -> Card:
    from data.card import card_of
    from data.check import check_episodes
    from data.formats import REGISTRY, format_of
    from data.read import RecordedEpisodes
    from data.schema import FORMAT

    data = open_named(args, name)
    check_episodes(data)
    if isinstance(data, RecordedEpisodes):
        return card_of(data, f"{FORMAT} {data.version}")
    form = format_of(name, args.wanted if "wanted" in args else "")
    return card_of(data, next(key for key, known in REGISTRY.items() if known is form))


def _text(cards: list[Card]) -> str:
    from data.card_text import text

    return f"{text(cards)}\n"


def _json(cards: list[Card]) -> str:
    from data.card import DEFINITIONS

    content = {"cards": [card.to_dict() for card in cards], "definitions": DEFINITIONS}
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False, default=str) + "\n"


def _beside(sources: list[str]) -> Path:
    """The picture of a file lies beside it, that of `minari:ID` here."""
    first, one = sources[0], len(sources) == 1
    if first.startswith("minari:"):
        return Path(f"{first.removeprefix('minari:').replace('/', '_')}.png" if one else CARDS)
    if one and Path(first).is_dir():  # a vault's name may have a point
        return Path(f"{first.rstrip('/')}.png")
    return Path(first).with_suffix(".png") if one else Path(first).parent / CARDS


def _check_picture(picture: Path) -> None:
    if picture.suffix not in PICTURES:
        raise ConfigError(f"--picture={picture}: must end in .png, .pdf or .svg")
    if not picture.parent.is_dir():
        raise ConfigError(
            f"--picture={picture}: there is no folder {picture.parent}; make it first"
        )
