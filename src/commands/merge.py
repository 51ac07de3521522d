"""dataset.py merge, subsample and mix: new files from the episodes of others."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from commands.storage import add_storage_flags, storage_of
from utils.errors import ConfigError


def add(commands: Any) -> None:
    """Their flags."""
    merge = commands.add_parser("merge", help="the episodes of several files in one")
    merge.add_argument("files", nargs="+", type=Path)
    merge.set_defaults(run=_merge)
    subsample = commands.add_parser("subsample", help="some of a file's episodes, drawn evenly")
    subsample.add_argument("file", type=Path)
    subsample.add_argument("--episodes", type=int, help="how many; default all that may be taken")
    subsample.add_argument("--returns", default="", help="LOW:HIGH, from LOW and below HIGH")
    subsample.add_argument("--level", default="", help="poor, medium or good: returns of Table 3")
    subsample.set_defaults(run=_subsample)
    mix = commands.add_parser("mix", help="episodes drawn from several files")
    mix.add_argument("files", nargs="+", help="FILE, or FILE=EPISODES where shares are not equal")
    mix.add_argument("--episodes", type=int, help="in all, the same number of each file")
    mix.set_defaults(run=_mix)
    for parser in (merge, subsample, mix):
        parser.add_argument("--out", type=Path, required=True, help="the new file")
        add_storage_flags(parser)
    for parser in (subsample, mix):
        parser.add_argument("--seed", type=int, default=1, help="of what is drawn")


def _merge(args: argparse.Namespace) -> int:
    from data.merge import merge

    return _told(args, merge(args.files, _out(args), storage_of(args)))


def _subsample(args: argparse.Namespace) -> int:
    from data.merge import Choice, subsample

    low, high = _bounds(args)
    choice = Choice(_positive(args.episodes), low, high)
    return _told(args, subsample(args.file, _out(args), choice, _seed(args), storage_of(args)))


def _mix(args: argparse.Namespace) -> int:
    from data.merge import mix

    paths, choices = _shares(args.files, _positive(args.episodes))
    return _told(args, mix(paths, choices, _out(args), _seed(args), storage_of(args)))


def _told(args: argparse.Namespace, episodes: int) -> int:
    sys.stdout.write(f"wrote {args.out}: {episodes} episodes\n")
    if args.float16:
        sys.stdout.write("obs and state are in half precision\n")
    return 0


def _out(args: argparse.Namespace) -> Path:
    if args.out.suffix != ".h5":
        raise ConfigError(f"--out={args.out} must end in .h5")
    if args.out.is_dir():
        raise ConfigError(f"--out={args.out} is a folder; name a new file")
    return args.out


def _positive(episodes: int | None) -> int | None:
    if episodes is not None and episodes < 1:
        raise ConfigError(f"--episodes={episodes} is out of range")
    return episodes


def _seed(args: argparse.Namespace) -> int:
    if args.seed < 0:
        raise ConfigError(f"--seed={args.seed} is out of range")
    return args.seed


def _bounds(args: argparse.Namespace) -> tuple[float, float]:
    from data.levels import LEVELS

    if args.level and args.returns:
        raise ConfigError("--level stands for --returns; give one of them")
    if args.level:
        if args.level not in LEVELS:
            raise ConfigError(f"--level={args.level}: there are {', '.join(LEVELS)}")
        low, high = LEVELS[args.level]
        return low, float("inf") if args.level == list(LEVELS)[-1] else high
    if not args.returns:
        return -float("inf"), float("inf")
    try:
        low, high = (float(bound) for bound in args.returns.split(":"))
    except ValueError:
        low, high = 1.0, 0.0
    if not low < high:
        raise ConfigError(f"--returns={args.returns} is not LOW:HIGH, say 5:12.5")
    return low, high


def _shares(files: list[str], episodes: int | None) -> tuple[list[Path], list[Any]]:
    """The files and how many episodes of each; either all are said, or --episodes is."""
    from data.merge import Choice

    said = [_share(name) for name in files]
    paths, counts = [path for path, _ in said], [count for _, count in said]
    if episodes is None:
        if 0 in counts:
            raise ConfigError("FILE=EPISODES: EPISODES must be 1 or more")
        if not all(counts):
            raise ConfigError("mix needs --episodes=N, or FILE=EPISODES for each file")
        return paths, [Choice(count) for count in counts]
    if any(count is not None for count in counts):
        raise ConfigError(f"--episodes={episodes} is for all files; leave out FILE=EPISODES")
    if episodes < len(files):
        raise ConfigError(f"--episodes={episodes} is less than one of each file")
    each, rest = divmod(episodes, len(files))
    return paths, [Choice(each + (i < rest)) for i in range(len(files))]


def _share(name: str) -> tuple[Path, int | None]:
    """(file, episodes) of FILE=EPISODES, or of FILE alone."""
    path, _, count = name.rpartition("=")
    return (Path(path), int(count)) if path and count.isdigit() else (Path(name), None)
