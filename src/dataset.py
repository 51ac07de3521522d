"""Make recorded data sets, describe them, check them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from utils.errors import ConfigError, exit_code_of

LEVELS, EPSILON = "poor,medium,good", 0.05
SB3_LEVELS = "medium,expert,medium-expert,medium-replay,full-replay"


def main(argv: list[str]) -> int:
    """Run the command -> its exit code."""
    argv, words = _split_with(argv)
    args = _parser().parse_args(argv)
    args.words = words
    return exit_code_of(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    if args.words and args.run is not _record:
        raise ConfigError(f"with {' '.join(args.words)}: `with` goes with record")
    return args.run(args)


def _split_with(argv: list[str]) -> tuple[list[str], list[str]]:
    """What stands before and behind `with`."""
    if "with" not in argv:
        return argv, []
    place = argv.index("with")
    return argv[:place], argv[place + 1 :]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python src/dataset.py", description=__doc__)
    commands = parser.add_subparsers(
        required=True, metavar="record | inspect | check | convert | merge | manifest"
    )
    _add_record(commands)
    inspect = commands.add_parser("inspect", help="print a file's card and save a picture of it")
    inspect.add_argument("file", help="of our format or D4RL's, or minari:ID")
    inspect.add_argument("--key", default="", help="the task of a D4RL file")
    inspect.add_argument("--picture", type=Path, help="default: the file's name with .png")
    inspect.set_defaults(run=_inspect)
    check = commands.add_parser("check", help="look at every row and compare the checksums")
    check.add_argument("files", nargs="+")
    check.add_argument("--key", default="", help="the task of D4RL files")
    check.set_defaults(run=_check)
    convert = commands.add_parser(
        "convert", help="D4RL's or Minari's to our format, ours to Minari"
    )
    convert.add_argument("source", help="a file or minari:ID")
    convert.add_argument("target", help="a new file or minari:ID")
    convert.add_argument("--key", default="", help="the task of a D4RL file, such as Hopper-v5")
    convert.add_argument("--compress", action="store_true", help="for shipping: smaller, slower")
    convert.set_defaults(run=_convert)
    merge = commands.add_parser("merge", help="the episodes of several files in one")
    merge.add_argument("files", nargs="+", type=Path)
    merge.add_argument("--out", type=Path, required=True, help="the new file")
    merge.add_argument("--compress", action="store_true", help="for shipping: smaller, slower")
    merge.set_defaults(run=_merge)
    manifest = commands.add_parser("manifest", help="write offline_data/manifest.yaml anew")
    manifest.set_defaults(run=_manifest)
    return parser


def _add_record(commands: Any) -> None:
    record = commands.add_parser(
        "record",
        help="play and record: checkpoints of live runs, a policy trained for it, or chance",
    )
    record.add_argument("runs", nargs="*", type=Path, help="folders of results/models")
    record.add_argument(
        "--env-config", default="",
        help="with no runs: random play in this env; `with env_args.KEY=VALUE ...` may follow",
    )  # fmt: skip
    record.add_argument("--sb3", default="", help="SAC or TD3: train it in --env-config, record it")
    record.add_argument(
        "--key", default="", help="with --env-config: its task or map, say Hopper-v5"
    )
    record.add_argument("--steps", type=int, help="with --sb3: of its training; 1,000,000")
    record.add_argument("--save-every", type=int, help="with --sb3: steps; default a 24th of them")
    record.add_argument(
        "--results", type=Path, help="with --sb3: folder of its checkpoints; results"
    )
    record.add_argument(
        "--levels", default="",
        help=f"{LEVELS}, or NAME=LOW:HIGH of mean returns; with --sb3 {SB3_LEVELS}",
    )  # fmt: skip
    record.add_argument("--episodes", type=int, default=1000, help="in each file")
    record.add_argument("--every", type=int, default=1, help="measure every Nth checkpoint")
    record.add_argument("--policies", type=int, default=8, help="checkpoints in each file")
    record.add_argument("--epsilon", type=float, default=EPSILON, help="share of random actions")
    record.add_argument("--seed", type=int, default=1)
    record.add_argument("--compress", action="store_true", help="for shipping: smaller, slower")
    record.add_argument(
        "--out", type=Path, help="folder; default offline_data/<env>/<map_name or key>"
    )
    record.set_defaults(run=_record)


def _record(args: argparse.Namespace) -> int:
    from data.recipes import record_levels, record_random

    _check_ranges(args)
    _check_together(args)
    args.env_args = _env_args(args.words)
    args.levels = args.levels or (SB3_LEVELS if args.sb3 else LEVELS)
    if args.sb3:
        from data.record_sb3 import record_sb3

        record_sb3(args)
    elif args.runs:
        record_levels(args)
    else:
        record_random(args)
    return 0


def _check_ranges(args: argparse.Namespace) -> None:
    from data.record import MIN_POLICIES

    for name, value, good in (
        ("episodes", args.episodes, args.episodes >= 1),
        ("policies", args.policies, args.policies >= MIN_POLICIES),
        ("every", args.every, args.every >= 1),
        ("steps", args.steps, args.steps is None or args.steps >= 1),
        ("save-every", args.save_every, args.save_every is None or args.save_every >= 1),
        ("seed", args.seed, args.seed >= 0),
        ("epsilon", args.epsilon, 0 <= args.epsilon <= 1),
    ):
        if not good:
            raise ConfigError(f"--{name}={value} is out of range")
    if args.out and args.out.exists() and not args.out.is_dir():
        raise ConfigError(f"--out={args.out} is not a folder")


def _check_together(args: argparse.Namespace) -> None:
    """What record's flags ask of each other."""
    only_sb3 = {"steps": args.steps, "save-every": args.save_every, "results": args.results}
    for name, value in only_sb3.items():
        if value is not None and not args.sb3:
            raise ConfigError(f"--{name}={value} goes with --sb3")
    if args.words and (args.runs or args.sb3 or not args.env_config):
        raise ConfigError("`with` goes with --env-config and random play")
    if args.key and not args.env_config:
        raise ConfigError(f"--key={args.key} goes with --env-config")
    if args.runs and args.env_config:
        raise ConfigError("--env-config is for random play; the runs' own environment is recorded")
    if args.sb3 and args.runs:
        raise ConfigError("--sb3 trains its own policies; give it --env-config and no runs")
    if not args.runs and (args.epsilon != EPSILON or (args.levels and not args.sb3)):
        raise ConfigError("--levels and --epsilon need runs; without them play is random")


def _env_args(words: list[str]) -> dict[str, Any]:
    from main import parse_updates

    updates = parse_updates(words) if words else {}
    if updates.keys() - {"env_args"}:
        raise ConfigError(
            f"record ... with {' '.join(words)}: only env_args.KEY=VALUE can be given"
        )
    return updates.get("env_args", {})


def _inspect(args: argparse.Namespace) -> int:
    from data.card import card, draw
    from data.check import check_episodes
    from data.formats import open_source

    data = open_source(args.file, args.key)
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


def _check(args: argparse.Namespace) -> int:
    from data.check import check_checksum, check_episodes
    from data.formats import open_source
    from data.manifest import check_manifest
    from data.read import RecordedEpisodes

    for name in args.files:
        data = open_source(name, args.key)
        check_episodes(data)
        if isinstance(data, RecordedEpisodes):
            check_checksum(data)
            listed = "as in the manifest" if check_manifest(data.path) else "not in the manifest"
        else:
            listed = "no checksum in this format"
        sys.stdout.write(f"{name}: {len(data)} episodes, sound, {listed}\n")
    return 0


def _convert(args: argparse.Namespace) -> int:
    from data.convert import convert

    n = convert(args.source, args.target, args.key, args.compress)
    sys.stdout.write(f"wrote {args.target}: {n} episodes\n")
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
