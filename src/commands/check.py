"""dataset.py check: everything that is wrong with recorded episodes; --fix mends what can be."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.sources import add_source_flags, env_args, open_named
from utils.errors import ConfigError, DataError, NotInstalledError, without_password

if TYPE_CHECKING:
    from data.findings import Findings
    from data.read import Episodes


def add(commands: Any) -> None:
    """Its flags."""
    check = commands.add_parser(
        "check", help="find what is wrong: every row, every episode, the checksums"
    )
    check.add_argument("files", nargs="+")
    add_source_flags(check)
    check.add_argument(
        "--limit", type=int, default=10, help="lines of each kind of finding (default 10)"
    )
    check.add_argument(
        "--fix", metavar="NEW.h5", type=Path, help="write a mended copy, if that is then sound"
    )
    check.set_defaults(run=_check, takes_with=True)


def _check(args: argparse.Namespace) -> int:
    """0: all sound, or mended; 1: findings; 2: a file that cannot be read."""
    env_args(args.words, args.command)
    if args.limit < 0:
        raise ConfigError(f"--limit={args.limit} must be 0 or more")
    if args.fix and len(args.files) > 1:
        raise ConfigError(f"--fix={args.fix} takes one file, here are {len(args.files)}")
    if args.fix and args.fix.suffix != ".h5":
        raise ConfigError(f"--fix={args.fix} must end in .h5")
    code = 0
    for name in args.files:
        try:
            code = max(code, _check_one(args, name))
        except DataError as error:
            sys.stderr.write(f"DataError: {without_password(str(error))}\n")
            code = error.exit_code
    return code


def _check_one(args: argparse.Namespace, name: str) -> int:
    from data.checks import find

    data = open_named(args, name, compare=True)
    found = find(data, args.limit)
    _compare_environment(args, data, found)
    for line in found.lines():
        sys.stdout.write(f"{name}: {line}\n")
    if not found:
        listed = _listed(data)
        sys.stdout.write(f"{name}: {len(data)} episodes, sound, {listed}\n")
    if args.fix:
        return _fix(args.fix, name, data, found)
    return int(bool(found))


def _listed(data: Episodes) -> str:
    from data.manifest import check_manifest
    from data.read import RecordedEpisodes

    if not isinstance(data, RecordedEpisodes):
        return "no checksum in this format"
    return "as in the manifest" if check_manifest(data.path) else "not in the manifest"


def _compare_environment(args: argparse.Namespace, data: Episodes, found: Findings) -> None:
    """With the one that the flags name, if they name any."""
    from data.check import environment_differs
    from data.findings import Finding, Kind
    from data.read import RecordedEpisodes
    from envs import REGISTRY as env_REGISTRY
    from utils.config import COMMAND_LINE, check_env_args, default_env_args, env_values

    given = env_args(args.words, args.command)
    if not (args.env_config or given or (args.key and isinstance(data, RecordedEpisodes))):
        return
    env, values = data.metadata.env, data.metadata.env_args
    if args.env_config:
        yaml = env_values(args.env_config)
        env, values = yaml["env"], yaml["env_args"]
    check_env_args(given, default_env_args(env), COMMAND_LINE)
    if args.key:
        given = {"map_name" if "map_name" in values else "key": args.key} | given
    values = values | given
    info = None
    try:
        info = env_REGISTRY[env].env_info(values)
    except NotInstalledError as error:
        sys.stderr.write(f"sizes were not compared: {error}\n")
    difference = environment_differs(data, env, values, info, "what the flags name")
    if difference:
        meaning = "networks and evaluation would be of another game"
        found.add(Finding(Kind.ENVIRONMENT, f"the file {difference}", meaning))


def _fix(out: Path, name: str, data: Episodes, found: Findings) -> int:
    from data.fix import fix

    if not found:
        sys.stdout.write(f"{name}: nothing to mend, {out} was not written\n")
        return 0
    fixed = fix(data, found, out)
    if fixed.left:
        left = ", ".join(fixed.left)
        sys.stdout.write(f"{name}: not mended: {left}; {out} was not written\n")
        return 1
    mended = "; ".join(fixed.mended)
    sys.stdout.write(f"wrote {out}: {fixed.episodes} episodes, sound; mended: {mended}\n")
    return 0
