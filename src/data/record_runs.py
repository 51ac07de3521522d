"""What `dataset.py record` does: levels from checkpoints, all of them in one file, random play."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path

from data.levels import choose, read_levels
from data.pymarl_origin import Origin, origin_of_config, origin_of_flags
from data.pymarl_policy import is_pymarls, load_pymarl_policy, read_network
from data.record import (
    BehaviourPolicy,
    Recorder,
    checkpoints_of,
    load_policy,
    random_policy,
)
from utils.config import RunConfig, scenario
from utils.errors import ConfigError
from utils.paths import ROOT


def record_levels(args: argparse.Namespace) -> None:
    """Measure every checkpoint of the runs, choose each level's, record them."""
    levels = read_levels(args.levels)
    policies = _policies(args)
    with closing(Recorder(policies[0].config, args.epsilon, args.seed)) as recorder:
        measured = recorder.measure_all(policies)
        chosen = {level.name: choose(measured, level, args.policies) for level in levels}
        for level, behaviour in chosen.items():
            _record(recorder, behaviour, level, args)


def record_quality(args: argparse.Namespace) -> None:
    """Measure every checkpoint given and record all of them into one file."""
    policies = _policies(args)
    if args.episodes < len(policies):
        raise ConfigError(
            f"--episodes={args.episodes} are fewer than the {len(policies)} checkpoints; give "
            "more, or take every Nth checkpoint with --every=N"
        )
    with closing(Recorder(policies[0].config, args.epsilon, args.seed)) as recorder:
        _record(recorder, recorder.measure_all(policies), args.quality, args)


def record_random(args: argparse.Namespace) -> None:
    """Record actions drawn evenly from the available ones."""
    policy = random_policy(args.env_config, args.seed, args.key, args.env_args)
    path = _folder(args.out, policy.config) / "random.h5"
    with closing(Recorder(policy.config, 1.0, args.seed)) as recorder:
        recorder.record([policy], args.episodes, path, "random", args.storage)
    sys.stdout.write(f"wrote {path}\n")


def _record(
    recorder: Recorder, behaviour: list[BehaviourPolicy], quality: str, args: argparse.Namespace
) -> None:
    path = _folder(args.out, behaviour[0].config) / f"{quality}.h5"
    recorder.record(behaviour, args.episodes, path, quality, args.storage)
    for policy in behaviour:
        sys.stdout.write(
            f"{quality:<8}{policy.facts['checkpoint']:<50}"
            f"{policy.facts['return_mean']:6.2f} +- {policy.facts['return_se']:.2f}\n"
        )
    sys.stdout.write(f"wrote {path}\n")


def _policies(args: argparse.Namespace) -> list[BehaviourPolicy]:
    """Of every checkpoint that is given, in the order of the words; others' runs are told apart."""
    run_of: dict[Path, Path] = {}  # each checkpoint once
    for run in (run.resolve() for run in args.runs):
        for folder in checkpoints_of(run)[:: args.every]:
            run_of.setdefault(folder, run)
    networks = {folder: read_network(folder) for folder in run_of if is_pymarls(folder)}
    origins = _origins(args, list(dict.fromkeys(run_of[folder] for folder in networks)))
    policies = []
    for folder, run in run_of.items():
        if folder in networks:
            origin, seed = origins[run]
            name = folder.parent.name if seed is None else seed
            policies.append(load_pymarl_policy(networks[folder], origin, name))
        else:
            policies.append(load_policy(folder))
    return policies


def _origins(args: argparse.Namespace, runs: list[Path]) -> dict[Path, tuple[Origin, int | None]]:
    """What is told of each of PyMARL's runs, and its seed where that is told of this run alone."""
    configs: list[Path] = args.pymarl_config
    if not runs:
        if args.env_config or configs:
            raise ConfigError(
                "--env-config and --pymarl-config are for checkpoints of PyMARL; the environment "
                "that these runs were made in is recorded"
            )
        return {}
    if not (args.env_config or configs):
        raise ConfigError(
            f"{runs[0]} is PyMARL's, whose checkpoints do not name their environment; give "
            "--pymarl-config=results/sacred/ID/config.json, or --env-config=NAME, --key=MAP "
            "and `with env_args.KEY=VALUE ...`"
        )
    if not configs:
        origin = origin_of_flags(args.env_config, args.key, args.env_args, args.inputs)
        return dict.fromkeys(runs, (origin, None))
    if len(configs) not in (1, len(runs)):
        raise ConfigError(
            f"--pymarl-config is given {len(configs)} times for {len(runs)} runs of PyMARL; give "
            "one for all of them, or one for each in their order"
        )
    origins = [origin_of_config(path) for path in configs]
    if len(configs) == len(runs):
        return {run: (o, o.seed) for run, o in zip(runs, origins, strict=True)}
    return dict.fromkeys(runs, (origins[0], None))


def _folder(out: Path | None, config: RunConfig) -> Path:
    return out or ROOT.joinpath("offline_data", config.env, scenario(config.env_args))
