"""Make recorded data sets, describe them, check them."""

from __future__ import annotations

import argparse
import sys

from commands import check, convert, inspect, make, manifest, merge, record
from utils.errors import ConfigError, exit_code_of

COMMANDS = (record, make, inspect, check, convert, merge, manifest)


def main(argv: list[str]) -> int:
    """Run the command -> its exit code."""
    argv, words = _split_with(argv)
    args = _parser().parse_args(argv)
    args.words = words
    return exit_code_of(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    if args.words and not args.takes_with:
        raise ConfigError(f"with {' '.join(args.words)}: {args.command} takes no `with`")
    return args.run(args)


def _split_with(argv: list[str]) -> tuple[list[str], list[str]]:
    """What stands before and behind `with`."""
    if "with" not in argv:
        return argv, []
    place = argv.index("with")
    return argv[:place], argv[place + 1 :]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python src/dataset.py", description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command")
    parser.set_defaults(takes_with=False)
    for command in COMMANDS:
        command.add(commands)
    commands.metavar = " | ".join(commands.choices)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
