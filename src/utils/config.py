"""Configuration: default <- env <- algorithm <- command line, checked before a run starts."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from utils.errors import ConfigError, NotInstalledError, nearest
from utils.paths import ROOT

CONFIG_DIR = ROOT / "src" / "config"
COMMAND_LINE = "the command line"
FREE_TO_CHANGE = {
    "t_max", "checkpoint_path", "load_step", "evaluate", "save_replay", "local_results_path",
    "save_model", "save_model_interval", "save_buffer", "save_buffer_interval", "log_interval",
    "use_tensorboard",
    "dataset", "data_device", "device", "threads", "label",
}  # fmt: skip
"""Keys that a resumed run may change: they do not change what is learnt or measured (recorded data
is compared by its checksum, wherever the file lies)."""
M = TypeVar("M", bound=BaseModel)


class RunConfig(BaseModel):
    """The keys of default.yaml: types and ranges. What they mean stands there."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    seed: int = Field(ge=0, lt=2**31)
    label: str
    device: Literal["auto", "cpu", "cuda"]
    threads: int = Field(ge=1)
    env: str
    env_args: dict[str, Any]
    runner: str
    mac: str
    learner: str
    agent: str
    name: str
    dataset: str
    dataset_quality: str
    batch_of: Literal["episodes", "transitions"]
    data_device: Literal["auto", "cpu", "cuda"]
    gamma: float = Field(gt=0, le=1)
    t_max: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    batch_size_run: int = Field(ge=1)
    buffer_size: int = Field(ge=1)
    train_steps_per_run: int = Field(ge=1)
    test_nepisode: int = Field(ge=0)
    test_interval: int = Field(ge=1)
    log_interval: int = Field(ge=1)
    learner_log_interval: int = Field(ge=1)
    epsilon_start: float = Field(ge=0, le=1)
    epsilon_finish: float = Field(ge=0, le=1)
    epsilon_anneal_time: int = Field(ge=1)
    action_selector: Literal["epsilon_greedy", "multinomial"]
    test_greedy: bool
    rnn_hidden_dim: int = Field(ge=1)
    obs_agent_id: bool
    obs_last_action: bool
    local_results_path: str
    use_tensorboard: bool
    save_model: bool
    save_model_interval: int = Field(ge=1)
    save_buffer: bool
    save_buffer_interval: int = Field(ge=1)
    checkpoint_path: str
    load_step: int = Field(ge=0)
    evaluate: bool
    save_replay: bool

    @property
    def results(self) -> Path:
        """Where everything that a run leaves lies."""
        return ROOT / self.local_results_path

    @property
    def dataset_path(self) -> Path:
        """The recorded episodes of an offline run, where they are in a file."""
        if self.dataset:
            return ROOT / Path(self.dataset).expanduser()
        parts = [self.env, scenario(self.env_args), f"{self.dataset_quality}.h5"]
        return ROOT.joinpath("offline_data", *filter(None, parts))


def scenario(env_args: dict[str, Any]) -> str:
    """Which of an environment's games is played: a map, or a task's key; "" if it has but one."""
    name = str(env_args.get("map_name") or env_args.get("key") or "")
    return name.rpartition(":")[2]  # a key may begin with the module that brings the task


class Settings(NamedTuple):
    """A checked configuration, and the same as plain values for Sacred and the checkpoints."""

    run: RunConfig
    learner: BaseModel | None
    values: dict[str, Any]


class Layer(NamedTuple):
    """Keys with their values, and what they are from."""

    source: str
    values: dict[str, Any]


def available(kind: str) -> list[str]:
    """The names of the YAML files in config/<kind>."""
    return sorted(path.stem for path in (CONFIG_DIR / kind).glob("*.yaml"))


def env_values(name: str) -> dict[str, Any]:
    """What an environment's YAML says."""
    return _env_layer(name).values


def default_env_args(env: str) -> dict[str, Any]:
    """What the YAML files of an environment give its arguments."""
    found = [env_values(name) for name in available("envs")]
    return {k: v for y in found if y["env"] == env for k, v in y["env_args"].items()}


def yaml_values(alg: str, env: str) -> dict[str, Any]:
    """What the YAML files say together; nothing is checked, and no environment is asked."""
    return _merge(_yaml_layers(alg, env))[0]


@functools.cache
def default_values() -> Mapping[str, Any]:
    """What default.yaml says."""
    return MappingProxyType(read_yaml(CONFIG_DIR / "default.yaml").values)


def load_settings(
    alg: str, env: str, updates: dict[str, Any], source: str = COMMAND_LINE
) -> Settings:
    """Merge the layers and check the result; ConfigError names the key and where it came from.

    source: what gave the `updates`.
    """
    layers = [*_yaml_layers(alg, env), Layer(source, updates)]
    values, sources = _merge(layers)
    if values["env"] != layers[1].values["env"]:
        raise ConfigError(
            f"env={values['env']} ({sources['env']}) is not the env of {layers[1].source}; "
            "choose it with --env-config"
        )
    return check_settings(values, sources)


def check_settings(values: dict[str, Any], sources: dict[str, str] | None = None) -> Settings:
    """Check a whole configuration, from the layers or from a checkpoint."""
    from envs import REGISTRY as env_REGISTRY
    from learners import CONFIGS
    from utils.config_checks import check_actions, check_together

    sources = sources or {}
    _check_names(values, sources)
    learner_model = CONFIGS.get(values["learner"])
    learner_keys = set(learner_model.model_fields) if learner_model else set()
    known = set(RunConfig.model_fields) | learner_keys
    for key in values:
        if key not in known:
            raise ConfigError(
                f"{key} ({sources.get(key, 'the configuration')}) is not a key of "
                f"{values['name'] or 'this configuration'}{nearest(key, known)}"
            )
    run = validate(RunConfig, values, sources)
    learner = validate(learner_model, values, sources) if learner_model else None
    settings = Settings(run, learner, values)
    check_together(settings)
    env = env_REGISTRY[run.env]
    continuous = env.CONTINUOUS
    with contextlib.suppress(NotInstalledError):  # then the run's data will tell the numbers
        continuous = env.env_info(run.env_args).continuous
    if continuous is not None:
        check_actions(settings, continuous)
    return settings


def _check_names(values: dict[str, Any], sources: dict[str, str]) -> None:
    """ConfigError for a name that its registry has not."""
    from controllers import REGISTRY as mac_REGISTRY
    from envs import REGISTRY as env_REGISTRY
    from learners import CONFIGS
    from modules.agents import REGISTRY as agent_REGISTRY
    from modules.critics import REGISTRY as critic_REGISTRY
    from modules.mixers import REGISTRY as mixer_REGISTRY
    from runners import REGISTRY as runner_REGISTRY

    registries: dict[str, Iterable[str]] = {
        "env": env_REGISTRY, "runner": runner_REGISTRY, "mac": mac_REGISTRY, "learner": CONFIGS,
        "agent": agent_REGISTRY, "critic": critic_REGISTRY, "mixer": mixer_REGISTRY,
    }  # fmt: skip
    for key, registry in registries.items():
        name = values.get(key, "")
        listed = isinstance(name, str) and name in registry
        if not listed and not (key not in values or (key == "learner" and name == "")):
            raise ConfigError(
                f"{key}={name} ({sources.get(key, 'the configuration')}): "
                f"there is no such {key}{nearest(str(name), registry)}"
            )


def _named_file(kind: str, name: str, flag: str) -> Path:
    names = available(kind)
    if not name:
        raise ConfigError(f"{flag}=NAME is missing; there are: {', '.join(names)}")
    if name not in names:
        raise ConfigError(
            f"{flag}={name}: there is no src/config/{kind}/{name}.yaml{nearest(name, names)}"
            f"; there are: {', '.join(names)}"
        )
    return CONFIG_DIR / kind / f"{name}.yaml"


def _yaml_layers(alg: str, env: str) -> list[Layer]:
    default = read_yaml(CONFIG_DIR / "default.yaml")
    return [default, _env_layer(env), *_algorithm_layers(alg)]


def _env_layer(name: str) -> Layer:
    return read_yaml(_named_file("envs", name, "--env-config"))


def _algorithm_layers(name: str) -> list[Layer]:
    """An algorithm's YAML, after the one it names as its `base`, after that one's."""
    layers = [read_yaml(_named_file("algs", name, "--config"))]
    while "base" in layers[0].values:
        source, base = layers[0].source, str(layers[0].values.pop("base"))
        layer = read_yaml(_named_file("algs", base, f"{source}: base"))
        if any(layer.source == known.source for known in layers):
            raise ConfigError(f"{source}: base={base} leads back to {layer.source}")
        layers.insert(0, layer)
    return layers


def read_yaml(path: Path) -> Layer:
    """A file's keys; ConfigError where it is no YAML of `key: value` lines."""
    source = str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)
    try:
        values = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, ValueError) as error:  # not UTF-8, a 30th of February
        raise ConfigError(f"{source} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{source} must hold `key: value` lines")
    for key in values:
        if not isinstance(key, str):
            raise ConfigError(f"{source}: {key} is no name of a key; words are needed")
    return Layer(source, values)


def _merge(layers: list[Layer]) -> tuple[dict[str, Any], dict[str, str]]:
    """Later layers win. env_args are merged key by key; the env YAML declares which exist."""
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for layer in layers:
        declared = bool(values.get("env"))  # the env YAML has been read
        for key, value in layer.values.items():
            if key == "env_args":
                if not isinstance(value, dict):
                    raise ConfigError(f"env_args ({layer.source}) must be keys with values")
                if declared:
                    check_env_args(value, values["env_args"], layer.source)
                value = values.get("env_args", {}) | value
            values[key], sources[key] = value, layer.source
    return values, sources


def check_env_args(given: dict[str, Any], declared: dict[str, Any], source: str) -> None:
    """ConfigError for one that is not declared or has another type; null takes any."""
    for key, value in given.items():
        if key not in declared:
            raise ConfigError(f"env_args.{key} ({source}) is not known{nearest(key, declared)}")
        expected = type(declared[key])
        fits = expected is type(None) or type(value) is expected
        if not fits and not (expected is float and type(value) is int):
            number = expected is str and declared[key].isdigit()
            quoted = f", written env_args.{key}='\"{value}\"'" if number else ""
            raise ConfigError(
                f"env_args.{key}={value} ({source}): a value like {declared[key]} "
                f"({expected.__name__}) is needed{quoted}"
            )


def validate(model: type[M], values: dict[str, Any], sources: dict[str, str]) -> M:
    """The model's own keys of `values`; a learner may have some of the run's, epsilon_start say."""
    try:
        names = {field.alias or name for name, field in model.model_fields.items()}
        return model(**{k: v for k, v in values.items() if k in names})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "missing":
            raise ConfigError(f"{key} has no value; set it in the algorithm's YAML") from None
        source = sources.get(str(first["loc"][0]), "the configuration")
        message = first["msg"].removeprefix("Value error, ")
        message = message[0].lower() + message[1:]
        raise ConfigError(f"{key}={first['input']} ({source}): {message}") from None
