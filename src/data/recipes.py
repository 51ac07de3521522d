"""What `dataset.py record` does: levels from checkpoints, or random play."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path

from data.record import (
    Recorder,
    checkpoints_of,
    choose,
    load_policy,
    random_policy,
    read_levels,
)
from utils.config import ROOT, RunConfig, scenario
from utils.errors import ConfigError


def record_levels(args: argparse.Namespace) -> None:
    """Measure every checkpoint of the runs, choose each level's, record them."""
    levels = read_levels(args.levels)
    runs = dict.fromkeys(run.resolve() for run in args.runs)  # each once
    folders = [folder for run in runs for folder in checkpoints_of(run)[:: args.every]]
    policies = [load_policy(folder) for folder in folders]
    with closing(Recorder(policies[0].config, args.epsilon, args.seed)) as recorder:
        measured = recorder.measure_all(policies)
        chosen = {level.name: choose(measured, level, args.policies) for level in levels}
        for level, behaviour in chosen.items():
            path = _folder(args.out, policies[0].config) / f"{level}.h5"
            recorder.record(behaviour, args.episodes, path, level, args.compress)
            for policy in behaviour:
                sys.stdout.write(
                    f"{level:<8}{policy.facts['checkpoint']:<50}"
                    f"{policy.facts['return_mean']:6.2f} +- {policy.facts['return_se']:.2f}\n"
                )
            sys.stdout.write(f"wrote {path}\n")


def record_random(args: argparse.Namespace) -> None:
    """Record actions drawn evenly from the available ones."""
    policy = random_policy(args.env_config, args.seed, args.key, args.env_args)
    path = _folder(args.out, policy.config) / "random.h5"
    if args.env_args and not args.out:
        raise ConfigError("`with` makes other data than usual: say where it goes with --out=FOLDER")
    with closing(Recorder(policy.config, 1.0, args.seed)) as recorder:
        recorder.record([policy], args.episodes, path, "random", args.compress)
    sys.stdout.write(f"wrote {path}\n")


def _folder(out: Path | None, config: RunConfig) -> Path:
    return out or ROOT.joinpath("offline_data", config.env, scenario(config.env_args))
