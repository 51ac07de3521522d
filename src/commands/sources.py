"""Flags that tell what a source is, for the subcommands that read one."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from utils.errors import ConfigError, DataError

if TYPE_CHECKING:
    from data.read import Episodes


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


def open_named(args: argparse.Namespace, name: str, compare: bool = False) -> Episodes:
    """The recorded episodes called `name`, with what the flags tell of them.

    A file of our format says itself what it is of: flags that tell it are refused, unless the
    caller is to `compare` them.
    """
    from data.formats import open_source
    from data.read import RecordedEpisodes

    given = env_args(args.words, args.command)
    wanted = args.wanted if "wanted" in args else ""
    data = open_source(name, wanted, args.env_config, args.key, given, args.trust_pickle)
    if isinstance(data, RecordedEpisodes) and not compare:
        _refuse_flags(args, data)
    return data


def _refuse_flags(args: argparse.Namespace, data: Episodes) -> None:
    recorded = data.metadata.env_args
    theirs = recorded.get("map_name") or recorded.get("key") or data.metadata.env
    if args.key and args.key != theirs:
        raise DataError(f"{data.path} is of {theirs}, not of --key={args.key}")
    told = [f"--env-config={args.env_config}"] * bool(args.env_config) + args.words
    if told:
        raise ConfigError(f"{data.path} says itself what it is of; leave out {' '.join(told)}")


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
