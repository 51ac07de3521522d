"""Flags that tell what a source is, for the subcommands that read one."""

from __future__ import annotations

import argparse
from typing import Any

from utils.errors import ConfigError


def add_source_flags(parser: argparse.ArgumentParser) -> None:
    """--key, --env-config and --trust-pickle; `with env_args.KEY=VALUE` may follow."""
    parser.add_argument(
        "--key", default="", help="the map or task of a source that does not name it"
    )
    parser.add_argument(
        "--env-config", default="", help="its environment; default sc2, of D4RL's and Minari's d4rl"
    )
    parser.add_argument(
        "--trust-pickle", action="store_true",
        help="read pickles, which may run any code: only those whose maker you trust",
    )  # fmt: skip


def open_named(args: argparse.Namespace, name: str, stream: bool = True) -> Any:
    """The recorded episodes called `name`, with what the flags tell of them."""
    from data.formats import open_source

    return open_source(
        name,
        args.wanted if "wanted" in args else "",
        args.env_config,
        args.key,
        env_args(args.words, args.command),
        args.trust_pickle,
        stream,
    )


def env_args(words: list[str], command: str) -> dict[str, Any]:
    """What stands behind `with`: env_args.KEY=VALUE alone."""
    if not words:
        return {}
    from main import parse_updates

    updates = parse_updates(words)
    if updates.keys() - {"env_args"} or not isinstance(updates["env_args"], dict):
        given = " ".join(words)
        raise ConfigError(f"{command} ... with {given}: only env_args.KEY=VALUE can be given")
    return updates["env_args"]
