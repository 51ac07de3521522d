"""dataset.py make: whole data sets by recipe, from the training of their policies on."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from utils.errors import ConfigError


def add(commands: Any) -> None:
    """Its flags."""
    make = commands.add_parser(
        "make", help="whole data sets by recipe: train, measure, record every level, merge"
    )
    make.add_argument(
        "recipes", nargs="*", metavar="RECIPE",
        help="a name in src/config/recipes, say smax/3m, or the path of a YAML",
    )  # fmt: skip
    make.add_argument("--out", type=Path, help="folder of the files; default the recipe's")
    make.add_argument(
        "--results", type=Path, help="folder of the trainings, in recipes/RECIPE; default results"
    )
    make.add_argument("--dry-run", action="store_true", help="only say what is done, what is not")
    make.add_argument("--list", action="store_true", help="only list the recipes")
    make.set_defaults(run=_make)


def _make(args: argparse.Namespace) -> int:
    from data.making.layers import headline, recipes

    if args.list:
        for name in recipes():
            sys.stdout.write(f"{name:<24}{headline(name)}\n")
        return 0
    if not args.recipes:
        raise ConfigError("make needs a recipe: smax/3m, say; --list lists them")
    if args.out and len(args.recipes) > 1:
        raise ConfigError(f"--out={args.out} is for one recipe; make them one by one")
    from data.making.make import make_all

    return make_all(args)
