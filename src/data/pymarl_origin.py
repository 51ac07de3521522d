"""What is told of PyMARL's runs beside their checkpoints: a Sacred config.json, or flags."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.formats import unlearnt_settings
from envs import REGISTRY as env_REGISTRY
from envs.base import EnvInfo
from utils.config import COMMAND_LINE, available, check_env_args, env_values, scenario
from utils.errors import ConfigError

AGENTS = ("rnn", "rnn_ns", "n_rnn")
"""PyMARL's, EPyMARL's with a network for each agent, pymarl2's: the same layers and activations."""
INPUTS = ("obs_last_action", "obs_agent_id")
SELECTORS = {"q": "epsilon_greedy", "pi_logits": "multinomial"}
"""agent_output_type -> how actions are chosen; a policy's are samples of its softmax."""
OTHERWISE = "leave out --pymarl-config and name the environment by --env-config"


@dataclass(frozen=True)
class Origin:
    """The environment that runs were trained in, and what else is known of them."""

    env_config: str
    env_args: dict[str, Any]  # all of them
    info: EnvInfo
    game: str
    said_by: str = COMMAND_LINE
    obs_last_action: bool | None = None  # None: not known
    obs_agent_id: bool | None = None
    algorithm: str = "pymarl"
    seed: int | None = None
    action_selector: str = "epsilon_greedy"


def origin_of_flags(
    env_config: str, key: str, env_args: dict[str, Any], inputs: Mapping[str, bool]
) -> Origin:
    """As --env-config, --key and `with` say; inputs: of `INPUTS` those that are known."""
    env_args, info, game = _environment(env_config, key, env_args)
    return Origin(
        env_config, env_args, info, game,
        obs_last_action=inputs.get("obs_last_action"), obs_agent_id=inputs.get("obs_agent_id"),
    )  # fmt: skip


def origin_of_config(path: Path) -> Origin:
    """As the config.json says that Sacred wrote for a run of PyMARL or EPyMARL."""
    values = _read(path)
    agent, mode = values.get("agent", "rnn"), values.get("agent_output_type", "q")
    if agent not in AGENTS:
        raise ConfigError(f"{path}: agent={agent} is not known here; known are {', '.join(AGENTS)}")
    if not isinstance(mode, str) or mode not in SELECTORS:
        raise ConfigError(
            f"{path}: agent_output_type={mode} is not known here; known are {', '.join(SELECTORS)}"
        )
    env_config = _env_config(path, values["env"])
    env_args, info, game = _environment(env_config, "", _env_args(path, env_config, values))
    seed = values.get("seed")
    return Origin(
        env_config, env_args, info, game, str(path),
        **{name: values[name] for name in INPUTS if isinstance(values.get(name), bool)},
        algorithm=str(values.get("name") or "pymarl"),
        seed=seed if type(seed) is int else None,
        action_selector=SELECTORS[mode],
    )  # fmt: skip


def _environment(
    env_config: str, key: str, env_args: dict[str, Any]
) -> tuple[dict[str, Any], EnvInfo, str]:
    """(all env_args, the environment's numbers, what it is called)."""
    config = unlearnt_settings(env_config, key, {"env_args": env_args}).run
    game = " ".join(filter(None, [config.env, scenario(config.env_args)]))
    info = env_REGISTRY[config.env].env_info(config.env_args)
    if info.continuous:
        raise ConfigError(f"{game} has continuous actions, the agents of PyMARL choose among some")
    return config.env_args, info, game


def _read(path: Path) -> dict[str, Any]:
    path = path / "config.json" if path.is_dir() else path
    try:
        values = json.loads(path.read_text())
    except ValueError as error:  # JSON's and Unicode's
        raise ConfigError(f"--pymarl-config={path} is not JSON: {error}") from error
    except FileNotFoundError as error:
        raise ConfigError(f"--pymarl-config={path} is missing") from error
    if not isinstance(values, dict) or not isinstance(values.get("env_args"), dict):
        raise ConfigError(
            f"--pymarl-config={path} is not a run's: it lacks env and env_args; it is "
            "results/sacred/ID/config.json"
        )
    return {"env": ""} | values


def _env_config(path: Path, env: Any) -> str:
    """Our YAML of PyMARL's `env`."""
    named = {env_values(name)["env"]: name for name in available("envs")}
    if not isinstance(env, str) or env not in named:
        raise ConfigError(f"{path}: env={env} is not known here; known are {', '.join(named)}")
    return named[env]


def _env_args(path: Path, env_config: str, values: dict[str, Any]) -> dict[str, Any]:
    """Theirs that change the game. The rest (seeds, folders for replays) is the recording's own."""
    env = env_values(env_config)
    declared, free = env["env_args"], env_REGISTRY[env["env"]].FREE_ARGS | {"seed"}
    given = {
        key: value
        for key, value in values["env_args"].items()
        if key not in free and (key in declared or value is not None)  # null: an option that is off
    }
    scalar = "reward_scalarisation"  # EPyMARL has it beside env_args
    if scalar in declared and scalar in values:
        given.setdefault(scalar, values[scalar])
    try:
        check_env_args(given, declared, str(path))
    except ConfigError as error:
        raise ConfigError(f"{error}; {OTHERWISE}") from error
    return given
