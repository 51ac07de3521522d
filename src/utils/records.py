"""What completed runs left in a results folder: their configurations and their statistics."""

from __future__ import annotations

import contextlib
import csv
import functools
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.config import FREE_TO_CHANGE, available, env_values, scenario, yaml_values
from utils.errors import DataError

Task = tuple[str, str, str]
"""Environment, map and level of the data: what can be compared."""

NOT_IDENTITY = FREE_TO_CHANGE - {"t_max", "dataset", "evaluate"}


@dataclass(frozen=True)
class Run:
    """A completed run's configuration and its records: stat -> [(t_env, value)]."""

    config: dict[str, Any]
    stats: dict[str, list[tuple[int, float]]]

    @property
    def task(self) -> Task:
        """Runs of one task can be compared."""
        return self.config["env"], scenario(self.config["env_args"]), quality(self.config)


def completed_configs(results: Path) -> dict[str, dict[str, Any]]:
    """Run id -> configuration of the runs that ended, the latest last.

    A record that another run is just writing does not count. A run from before there was a key has
    the value of its YAML.
    """
    configs = {}
    for record in sorted(results.glob("sacred/*/run.json"), key=lambda p: p.stat().st_mtime):
        with contextlib.suppress(json.JSONDecodeError, FileNotFoundError):
            if json.loads(record.read_text())["status"] == "COMPLETED":
                config = json.loads(record.with_name("config.json").read_text())
                configs[record.parent.name] = filled(config, _usual(config))
    return configs


def filled(config: dict[str, Any], usual: dict[str, Any]) -> dict[str, Any]:
    """A configuration with what the YAML files say of keys and env_args that it lacks."""
    env_args = usual.get("env_args", {}) | config["env_args"]
    return usual | config | {"env_args": env_args}


def read_runs(*folders: Path) -> list[Run]:
    """Every completed run; of equal configurations the last folder's latest."""
    latest: dict[str, Run] = {}
    for folder in folders:
        found = _read_folder(folder)
        if not found:
            raise DataError(f"{folder} has no completed run with an evaluation")
        latest |= {_identity(run.config): run for run in found}
    return list(latest.values())


def _read_folder(folder: Path) -> list[Run]:
    runs = []
    for token, config in completed_configs(folder).items():
        metrics = folder / "metrics" / f"{token}.csv"
        if not metrics.is_file() or (config["evaluate"] and config["learner"]):
            continue  # a look at one checkpoint is not a run
        run = Run(config, _read_stats(metrics))
        if "test_return_mean" in run.stats:
            runs.append(run)
    return runs


def labels(runs: list[Run]) -> list[str]:
    """Each run's algorithm; where runs of its name and data differ, with its own changes.

    A change is a key that differs among them and has not the value of the algorithm's YAML. A run
    from before there was a key counts as having that value.
    """
    groups: dict[tuple[object, ...], list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        groups[run.task, run.config["name"]].append(run.config)
    usual = {key: _usual(group[0]) for key, group in groups.items()}
    found = []
    for run in runs:
        key = run.task, run.config["name"]
        changes = _changes(run.config, groups[key], usual[key])
        found.append(" ".join([run.config["name"], *changes]))
    return found


def quality(config: dict[str, Any]) -> str:
    """What the data is called: its level, or its file's name; nothing for a live run."""
    if config["runner"] != "offline":
        return ""
    return Path(config["dataset"]).stem if config["dataset"] else config["dataset_quality"]


def _changes(
    config: dict[str, Any], rivals: list[dict[str, Any]], usual: dict[str, Any]
) -> list[str]:
    keys = sorted(config.keys() - NOT_IDENTITY - {"seed"})
    varied = [k for k in keys if any(c.get(k, usual.get(k)) != config[k] for c in rivals)]
    return [f"{k}={config[k]}" for k in varied if k not in usual or config[k] != usual[k]]


def _usual(config: dict[str, Any]) -> dict[str, Any]:
    """The YAML values of a run's algorithm, if there is one of that name."""
    env_config = _env_config(config["env"], json.dumps(config["env_args"], sort_keys=True))
    known = config["name"] in available("algs") and env_config
    return _yaml_values(config["name"], env_config) if known else {}


_yaml_values = functools.cache(yaml_values)  # folders have many runs of few algorithms


@functools.cache
def _env_config(env: str, env_args: str) -> str:
    """The YAML of a run's environment: of several the one with its env_args, else the general."""
    found = {name: env_values(name) for name in available("envs")}
    fitting = [name for name, values in found.items() if values["env"] == env]
    own = [name for name in fitting if found[name]["env_args"] == json.loads(env_args)]
    return next(iter([*own, *fitting]), "")


def _identity(config: dict[str, Any]) -> str:
    """Equal for runs of which only the latest counts."""
    return json.dumps({k: v for k, v in config.items() if k not in NOT_IDENTITY}, sort_keys=True)


def _read_stats(path: Path) -> dict[str, list[tuple[int, float]]]:
    stats: dict[str, list[tuple[int, float]]] = defaultdict(list)
    with path.open(newline="") as file:
        for line in csv.DictReader(file):
            stats[line["stat"]].append((int(line["t_env"]), float(line["value"])))
    return stats
