"""Make recorded data sets, describe them, check them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from utils.errors import ConfigError, exit_code_of

LEVELS, EPSILON = "poor,medium,good", 0.05


def main(argv: list[str]) -> int:
    """Run the command -> its exit code."""
    args = _parser().parse_args(argv)
    return exit_code_of(lambda: args.run(args))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python src/dataset.py", description=__doc__)
    commands = parser.add_subparsers(
        required=True, metavar="record | inspect | check | merge | manifest"
    )
    record = commands.add_parser("record", help="play checkpoints of live runs and record them")
    record.add_argument("runs", nargs="*", type=Path, help="folders of results/models")
    record.add_argument("--env-config", default="", help="with no runs: random play in this env")
    record.add_argument("--levels", default=LEVELS, help="of the paper's Table 3")
    record.add_argument("--episodes", type=int, default=1000, help="in each file")
    record.add_argument("--every", type=int, default=1, help="measure every Nth checkpoint")
    record.add_argument("--policies", type=int, default=8, help="checkpoints in each file")
    record.add_argument("--epsilon", type=float, default=EPSILON, help="share of random actions")
    record.add_argument("--seed", type=int, default=1)
    record.add_argument("--compress", action="store_true", help="for shipping: smaller, slower")
    record.add_argument("--out", type=Path, help="folder; default offline_data/<env>/<map_name>")
    record.set_defaults(run=_record)
    inspect = commands.add_parser("inspect", help="print a file's card and save a picture of it")
    inspect.add_argument("file", type=Path)
    inspect.add_argument("--picture", type=Path, help="default: the file's name with .png")
    inspect.set_defaults(run=_inspect)
    check = commands.add_parser("check", help="look at every row and compare the checksums")
    check.add_argument("files", nargs="+", type=Path)
    check.set_defaults(run=_check)
    merge = commands.add_parser("merge", help="the episodes of several files in one")
    merge.add_argument("files", nargs="+", type=Path)
    merge.add_argument("--out", type=Path, required=True, help="the new file")
    merge.add_argument("--compress", action="store_true", help="for shipping: smaller, slower")
    merge.set_defaults(run=_merge)
    manifest = commands.add_parser("manifest", help="write offline_data/manifest.yaml anew")
    manifest.set_defaults(run=_manifest)
    return parser


def _record(args: argparse.Namespace) -> int:
    from data.recipes import record_levels, record_random
    from data.record import MIN_POLICIES

    for name, value, good in (
        ("episodes", args.episodes, args.episodes >= 1),
        ("policies", args.policies, args.policies >= MIN_POLICIES),
        ("every", args.every, args.every >= 1),
        ("seed", args.seed, args.seed >= 0),
        ("epsilon", args.epsilon, 0 <= args.epsilon <= 1),
    ):
        if not good:
            raise ConfigError(f"--{name}={value} is out of range")
    if args.out and args.out.exists() and not args.out.is_dir():
        raise ConfigError(f"--out={args.out} is not a folder")
    if args.runs and args.env_config:
        raise ConfigError("--env-config is for random play; the runs' own environment is recorded")
    if not args.runs and (args.levels, args.epsilon) != (LEVELS, EPSILON):
        raise ConfigError("--levels and --epsilon need runs; without them play is random")
    if args.runs:
        record_levels(args)
    else:
        record_random(args)
    return 0


def _inspect(args: argparse.Namespace) -> int:
    from data.card import card, draw
    from data.check import check_episodes
    from data.read import RecordedEpisodes

    data = RecordedEpisodes(args.file)
    check_episodes(data)
    picture = args.picture or args.file.with_suffix(".png")
    if picture.suffix != ".png":
        raise ConfigError(f"--picture={picture} must end in .png")
    draw(data, picture)
    sys.stdout.write(f"{card(data)}\npicture    {picture}\n")
    return 0


def _check(args: argparse.Namespace) -> int:
    from data.check import check_checksum, check_episodes
    from data.manifest import check_manifest
    from data.read import RecordedEpisodes

    for path in args.files:
        data = RecordedEpisodes(path)
        check_episodes(data)
        check_checksum(data)
        known = check_manifest(path)
        listed = "as in the manifest" if known else "not in the manifest"
        sys.stdout.write(f"{path}: {len(data)} episodes, sound, {listed}\n")
    return 0


def _merge(args: argparse.Namespace) -> int:
    from data.merge import merge

    if args.out.suffix != ".h5":
        raise ConfigError(f"--out={args.out} must end in .h5")
    n = merge(args.files, args.out, args.compress)
    sys.stdout.write(f"wrote {args.out}: {n} episodes\n")
    return 0


def _manifest(_: argparse.Namespace) -> int:
    from data.manifest import MANIFEST, write_manifest

    write_manifest()
    sys.stdout.write(f"wrote {MANIFEST}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
