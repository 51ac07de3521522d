"""REGISTRY of formats that recorded episodes are read from and written to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.formats.base import Format, Source
from data.formats.d4rl import D4RL
from data.formats.minari import Minari
from data.formats.ours import Ours
from data.formats.pickles import Omiga
from data.formats.pymarl_h5 import CFCQL, ICQ, OffPyMARL
from data.formats.vault import Vault
from data.read import Episodes, RecordedEpisodes
from data.schema import FORMAT, MINARI
from utils.config import (
    COMMAND_LINE,
    RunConfig,
    Settings,
    check_env_args,
    env_values,
    load_settings,
)
from utils.errors import ConfigError, DataError, nearest

REGISTRY: dict[str, Format] = {
    FORMAT: Ours(),
    "offpymarl": OffPyMARL(),
    "icq": ICQ(),
    "cfcql": CFCQL(),
    "omiga": Omiga(),
    "vault": Vault(),
    "d4rl": D4RL(),
    "minari": Minari(),
}
"""Those that recognise a source are asked in this order."""


def format_of(name: str, wanted: str = "") -> Format:
    """A source's format: the `wanted` one, or the first that recognises it.

    What none recognises is taken for ours, whose reader says what is wrong with it.
    """
    if wanted:
        return _named(wanted)
    return next((f for f in REGISTRY.values() if f.recognises(name)), REGISTRY[FORMAT])


def format_for(target: str, wanted: str = "") -> Format:
    """A new file's format: the `wanted` one, or what its name ends in."""
    if wanted:
        return _named(wanted)
    for form in REGISTRY.values():
        if form.takes(target):
            return form
    raise DataError(f"{target}: its name tells no format; say --to={'|'.join(REGISTRY)}")


def _named(wanted: str) -> Format:
    if wanted not in REGISTRY:
        raise ConfigError(
            f"{wanted} is no format ({', '.join(REGISTRY)}){nearest(wanted, REGISTRY)}"
        )
    return REGISTRY[wanted]


def open_dataset(config: RunConfig) -> Episodes:
    """The run's data. What does not say of which environment it is, is taken to be of the run's."""
    name = config.dataset if config.dataset.startswith(MINARI) else str(config.dataset_path)
    return format_of(name).read(Source(name, config.env, config.env_args))


def open_source(
    name: str,
    wanted: str = "",
    env_config: str = "",
    key: str = "",
    env_args: Mapping[str, Any] | None = None,
    trust_pickle: bool = False,
    stream: bool = True,
) -> Episodes:
    """A file, folder or `minari:ID`, for the commands.

    wanted: its format, where it should not be guessed. env_config, key (a map or task) and env_args
    tell of which environment it is, where it does not say so itself.
    """
    form = format_of(name, wanted)
    if isinstance(form, Ours):
        return RecordedEpisodes(Path(name), stream)
    env = env_values(env_config or form.env_config)
    given = dict(env_args or {})
    check_env_args(given, env["env_args"], COMMAND_LINE)
    which = [k for k in ("map_name", "key") if k in env["env_args"]]  # none where there is one game
    if which and (key or which[0] not in given):
        given[which[0]] = key or form.key_of(name)  # "" where nothing tells: no default is taken
    return form.read(Source(name, env["env"], env["env_args"] | given, stream, trust_pickle))


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
