"""Opens recorded episodes of any format that is read here: ours, D4RL's, Minari's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data.flat import is_d4rl, read_d4rl
from data.read import Episodes, RecordedEpisodes
from data.schema import MINARI
from utils.config import (
    COMMAND_LINE,
    RunConfig,
    Settings,
    check_env_args,
    env_values,
    load_settings,
)
from utils.errors import ConfigError, DataError


def open_dataset(config: RunConfig) -> Episodes:
    """The run's data. What is not in our format is taken to be of the run's environment."""
    from envs import REGISTRY as env_REGISTRY

    if config.dataset.startswith(MINARI):
        from data.minari_io import read_minari

        info = env_REGISTRY[config.env].env_info(config.env_args)
        return read_minari(config.dataset, config, info)
    path = config.dataset_path
    if _is_flat(path):
        info = env_REGISTRY[config.env].env_info(config.env_args)
        return read_d4rl(path, config, info)
    return RecordedEpisodes(path)


def open_source(source: str, key: str = "") -> Episodes:
    """A file or `minari:ID`; key: the Gymnasium task of one that does not name it."""
    if source.startswith(MINARI):
        from data.minari_io import task_of

        key = key or task_of(source)
        return open_dataset(unlearnt_settings("d4rl", key, {"dataset": source}).run)
    path = Path(source).resolve()
    if not _is_flat(path):
        data = RecordedEpisodes(Path(source))
        env_args = data.metadata.env_args
        theirs = env_args.get("map_name") or env_args.get("key") or data.metadata.env
        if key and key != theirs:
            raise DataError(f"{source} is of {theirs}, not of --key={key}")
        return data
    if not key:
        raise DataError(f"{source} is a D4RL file; name its task, such as --key=HalfCheetah-v5")
    return open_dataset(unlearnt_settings("d4rl", key, {"dataset": str(path)}).run)


def unlearnt_settings(env_config: str, key: str, updates: dict[str, Any]) -> Settings:
    """Of whatever algorithm fits the environment's actions; key: its task or map, or ""."""
    from envs import REGISTRY as env_REGISTRY

    env = env_values(env_config)
    given = updates.get("env_args", {})
    if not isinstance(given, dict):
        raise ConfigError(f"env_args={given}: write env_args.KEY=VALUE")
    check_env_args(given, env["env_args"], COMMAND_LINE)
    if key:
        name = "map_name" if "map_name" in env["env_args"] else "key"
        updates = updates | {"env_args": updates.get("env_args", {}) | {name: key}}
    if env_REGISTRY[env["env"]].env_info(env["env_args"] | updates.get("env_args", {})).continuous:
        return load_settings("bc_continuous", env_config, updates)
    return load_settings("qmix", env_config, updates | {"batch_of": "episodes"})


def _is_flat(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0 and is_d4rl(path)
