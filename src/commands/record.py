"""dataset.py record: play and record checkpoints of live runs, a policy trained for it, chance."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from commands.storage import add_storage_flags, storage_of
from utils.errors import ConfigError

LEVELS, EPSILON, POLICIES = "poor,medium,good", 0.05, 8
SB3_LEVELS = "medium,expert,medium-expert,medium-replay,full-replay"


def add(commands: Any) -> None:
    """Its flags."""
    record = commands.add_parser(
        "record",
        help="play and record: checkpoints of live runs, a policy trained for it, or chance",
    )
    _add_policies(record)
    _add_sb3(record)
    record.add_argument("--episodes", type=int, default=1000, help="in each file")
    record.add_argument("--epsilon", type=float, default=EPSILON, help="share of random actions")
    record.add_argument("--seed", type=int, default=1)
    add_storage_flags(record)
    record.add_argument(
        "--out", type=Path, help="folder; default offline_data/<env>/<map_name or key>"
    )
    record.set_defaults(run=_record, takes_with=True)


def _add_policies(record: argparse.ArgumentParser) -> None:
    """Who plays, where, and which of them make a file."""
    record.add_argument(
        "runs", nargs="*", type=Path,
        help="folders of results/models, or single checkpoints; PyMARL's and EPyMARL's, too",
    )  # fmt: skip
    record.add_argument(
        "--env-config", default="",
        help="with no runs: random play in this env; with PyMARL's: the env they were trained in; "
        "`with env_args.KEY=VALUE ...` may follow",
    )  # fmt: skip
    record.add_argument(
        "--key", default="", help="with --env-config: its task or map, say Hopper-v5"
    )
    record.add_argument(
        "--pymarl-config", action="append", type=Path, default=[],
        help="PyMARL's results/sacred/ID/config.json: for all its runs, or given for each in order",
    )  # fmt: skip
    record.add_argument(
        "--levels", default="",
        help=f"{LEVELS}, or NAME=LOW:HIGH of mean returns; with --sb3 {SB3_LEVELS}",
    )  # fmt: skip
    record.add_argument(
        "--quality", default="", help="instead of levels: every checkpoint given, into QUALITY.h5"
    )
    record.add_argument("--every", type=int, default=1, help="measure every Nth checkpoint")
    record.add_argument(
        "--policies", type=int, default=POLICIES, help="checkpoints in each level's file"
    )


def _add_sb3(record: argparse.ArgumentParser) -> None:
    """Of the policy that is trained for it."""
    record.add_argument("--sb3", default="", help="SAC or TD3: train it in --env-config, record it")
    record.add_argument("--steps", type=int, help="with --sb3: of its training; 1,000,000")
    record.add_argument("--save-every", type=int, help="with --sb3: steps; default a 24th of them")
    record.add_argument(
        "--results", type=Path, help="with --sb3: folder of its checkpoints; results"
    )


def _record(args: argparse.Namespace) -> int:
    from data.record_runs import record_levels, record_quality, record_random

    _check_ranges(args)
    _check_together(args)
    _check_quality(args)
    updates = _updates(args)
    args.env_args = updates.pop("env_args", {})
    args.storage = storage_of(args)
    args.inputs = updates
    args.levels = args.levels or (SB3_LEVELS if args.sb3 else LEVELS)
    if args.sb3:
        from data.record_sb3 import record_sb3

        record_sb3(args)
    elif args.quality:
        record_quality(args)
    elif args.runs:
        record_levels(args)
    else:
        record_random(args)
    return 0


def _check_ranges(args: argparse.Namespace) -> None:
    from data.levels import MIN_POLICIES

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
    if args.words and (args.sb3 or not args.env_config):
        raise ConfigError("`with` goes with --env-config: random play, or PyMARL's checkpoints")
    if args.key and not args.env_config:
        raise ConfigError(f"--key={args.key} goes with --env-config")
    if args.pymarl_config and (args.env_config or not args.runs):
        raise ConfigError("--pymarl-config goes with checkpoints of PyMARL and no --env-config")
    if args.sb3 and args.runs:
        raise ConfigError("--sb3 trains its own policies; give it --env-config and no runs")
    if not args.runs and (args.epsilon != EPSILON or (args.levels and not args.sb3)):
        raise ConfigError("--levels and --epsilon need runs; without them play is random")


def _check_quality(args: argparse.Namespace) -> None:
    """--quality names a file of its own, and chooses nothing."""
    from data.levels import LEVELS as OF_THE_PAPER

    if not args.quality:
        return
    if not args.runs or args.levels:
        raise ConfigError(f"--quality={args.quality} goes with runs and without --levels")
    if args.policies != POLICIES:
        raise ConfigError(
            f"--quality={args.quality} takes every checkpoint; --policies goes with --levels"
        )
    if args.quality in (*OF_THE_PAPER, "random") or not re.fullmatch(r"\w[\w-]*", args.quality):
        raise ConfigError(
            f"--quality={args.quality} must be a name of letters, digits, _ and -, and none of "
            f"{', '.join(OF_THE_PAPER)}, random, which have a meaning"
        )


def _updates(args: argparse.Namespace) -> dict[str, Any]:
    """What stands behind `with`: env_args, and of PyMARL's checkpoints which inputs were on."""
    from main import parse_updates

    updates = parse_updates(args.words) if args.words else {}
    inputs = {"obs_last_action", "obs_agent_id"} if args.runs else set()
    if updates.keys() - {"env_args", *inputs}:
        more = "".join(f" and {name}=True or False" for name in sorted(inputs))
        raise ConfigError(
            f"record ... with {' '.join(args.words)}: only env_args.KEY=VALUE{more} can be given"
        )
    for name in inputs & updates.keys():
        if not isinstance(updates[name], bool):
            raise ConfigError(f"{name}={updates[name]}: True or False is needed")
    if updates.get("env_args") and not args.out:
        raise ConfigError("`with` makes other data than usual: say where it goes with --out=FOLDER")
    return updates
