"""A recipe: one YAML that says how a whole data set is made, checked before anything is begun."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from data.levels import LEVELS, MIN_POLICIES, MIN_SEEDS, Level, in_order
from data.making.layers import find_recipe, layers_of, merged
from envs import REGISTRY as env_REGISTRY
from utils.config import FREE_TO_CHANGE, Settings, load_settings, scenario, validate, yaml_values
from utils.errors import ConfigError, nearest
from utils.paths import ROOT

SET_BY_MAKE = {
    "seed": "seeds", "env_args": "env_args", "local_results_path": "--results", "env": "env_config",
    "save_model": "", "save_buffer": "", "checkpoint_path": "", "load_step": "", "evaluate": "",
    "save_replay": "", "log_interval": "", "name": "config", "runner": "config",
}  # fmt: skip
"""Keys of a run that `with` may not have -> the recipe's own for it, if there is one."""

CHANGE_NOTHING = FREE_TO_CHANGE - {"t_max", "save_model_interval", "device", "threads"}
"""Keys of a run that no file depends on. More threads change sums, if only in the last place."""
SOFTWARE = "software"
"""Where a begun recipe's file says what it was begun with."""


def difference(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    """The first key that is not the same and changes something, or ""."""
    keys = sorted((theirs.keys() | ours.keys()) - CHANGE_NOTHING - {"name", SOFTWARE})
    return next((key for key in keys if theirs.get(key) != ours.get(key)), "")


class Keys(BaseModel):
    """The keys of a recipe: types and ranges. What they mean stands in recipes/default.yaml."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    config: str
    env_config: str
    env_args: dict[str, Any]
    with_: dict[str, Any] = Field(alias="with")
    seeds: list[Annotated[int, Field(ge=0, lt=2**31)]] = Field(min_length=MIN_SEEDS)
    every: int = Field(ge=1)
    seed: int = Field(ge=0, lt=2**31)
    epsilon: float = Field(ge=0, le=1)
    policies: int = Field(ge=MIN_POLICIES)
    levels: list[str] | dict[str, list[float]]
    episodes: int = Field(ge=1)
    mix: str | None
    compress: bool
    out: str


class Recipe(NamedTuple):
    """A checked recipe."""

    name: str
    source: str  # the file, for messages
    keys: Keys
    levels: list[Level]
    settings: Settings  # of the first seed's training

    @property
    def out(self) -> Path:
        """The folder of its files."""
        run = self.settings.run
        usual = ROOT.joinpath("offline_data", run.env, scenario(run.env_args))
        return ROOT / Path(self.keys.out).expanduser() if self.keys.out else usual

    def settings_of(self, seed: int, work: Path, start: Path | None) -> Settings:
        """Of one seed's training in the folder `work`, from the checkpoint `start` on."""
        ours = {
            "local_results_path": str(work),
            "checkpoint_path": str(start or ""),
            "log_interval": sys.maxsize,  # the levels' returns are measured afterwards
            "save_model": True,
            "save_buffer": True,
        }
        return _settings(self.keys, self.source, ours | {"seed": seed})

    def trained_with(self) -> dict[str, Any]:
        """What the checkpoints and what is measured of them depend on, a key each.

        All keys of the run, not only the recipe's: what another YAML says may change as well.
        """
        keys = self.keys
        values = _flat(self.settings.values) | {"config": keys.config}
        values |= {"env_config": keys.env_config, "epsilon": keys.epsilon, "seed": keys.seed}
        return dict(sorted(values.items()))  # whatever the order in the YAML

    def usual(self) -> dict[str, Any]:
        """What a key had that was not written down: that of the YAML files."""
        return _flat(yaml_values(self.keys.config, self.keys.env_config))

    def made_with(self, level: Level) -> dict[str, Any]:
        """What a level's file depends on, a key each: a file that says the same is this one."""
        keys = self.keys
        return self.trained_with() | {
            "seeds": ",".join(map(str, keys.seeds)),
            "every": keys.every,
            "policies": keys.policies,
            "levels": f"{level.name}={_exact(level.low)}:{_exact(level.high)}",
            "last": level.last,
            "place": self.levels.index(level),
            "episodes": keys.episodes,
            "compress": keys.compress,
        }


def read_recipe(word: str) -> Recipe:
    """The recipe of that name, or in the YAML file of that path; ConfigError says what is wrong."""
    path, name = find_recipe(word)
    layers = layers_of(path)
    source, values = layers[-1].source, merged(layers)
    sources = {key: layer.source for layer in layers for key in layer.values}
    known = [field.alias or key for key, field in Keys.model_fields.items()]
    for key in values:
        if key not in known:
            raise ConfigError(
                f"{key} ({sources[key]}) is not a key of a recipe{nearest(key, known)}"
            )
    _check_kinds(values, sources)
    keys = validate(Keys, values, sources)
    if not keys.env_config:
        raise ConfigError(f"env_config has no value; set it in {source}")
    for key in keys.with_:
        if key in SET_BY_MAKE:
            instead = f"; use {SET_BY_MAKE[key]}" if SET_BY_MAKE[key] else ""
            raise ConfigError(f"with: {key} ({source}): make sets it itself{instead}")
    if keys.mix is not None and not keys.mix.isidentifier():
        raise ConfigError(f"mix={keys.mix} ({sources['mix']}): one word is needed, or null")
    levels = _levels(keys, sources["levels"])
    if keys.episodes < keys.policies:
        raise ConfigError(
            f"episodes={keys.episodes} ({sources['episodes']}) are fewer than "
            f"policies={keys.policies} ({sources['policies']}): each plays one or more"
        )
    _check_folder(keys.out, sources["out"])
    if len(set(keys.seeds)) < len(keys.seeds):
        raise ConfigError(f"seeds={keys.seeds} ({sources['seeds']}): different ones are needed")
    settings = _settings(keys, source, {"seed": keys.seeds[0]})
    if settings.run.runner == "offline":
        raise ConfigError(
            f"config={keys.config} ({sources['config']}) learns from recorded data; a recipe needs "
            "an algorithm that plays: qmix or vdn"
        )
    return Recipe(name, source, keys, levels, settings)


def _check_kinds(values: dict[str, Any], sources: dict[str, str]) -> None:
    """Where a key takes two kinds of value, a message of our own is the clearer one."""
    levels = values["levels"]
    pairs = levels.values() if isinstance(levels, dict) else []
    names = isinstance(levels, list | dict) and all(isinstance(name, str) for name in levels)
    if not (levels and names and all(_is_pair(pair) for pair in pairs)):
        raise ConfigError(
            f"levels={levels} ({sources['levels']}): names are needed, [{', '.join(LEVELS)}], or "
            "lines of NAME: [LOW, HIGH]"
        )


def _check_folder(out: str, source: str) -> None:
    try:
        Path(out).expanduser().resolve()
    except (ValueError, RuntimeError) as error:  # a null byte; the home of nobody
        raise ConfigError(f"out={out!r} ({source}) cannot be a folder: {error}") from None


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    """A run's keys that a file depends on, env_args beside them."""
    free = env_REGISTRY[values["env"]].FREE_ARGS
    args = {f"env_args.{k}": v for k, v in values["env_args"].items() if k not in free}
    ours = CHANGE_NOTHING | {"env_args", "seed", "name"}
    return {k: v for k, v in values.items() if k not in ours} | args


def _exact(bound: float) -> str:
    """As short as it can be read back from."""
    return f"{bound:g}" if float(f"{bound:g}") == bound else repr(bound)


def _is_pair(value: Any) -> bool:
    numbers = isinstance(value, list) and all(type(bound) in (int, float) for bound in value)
    return numbers and len(value) == 2 and value[0] < value[1]


def _levels(keys: Keys, source: str) -> list[Level]:
    """The recipe's levels in their order; the names of Table 3 have its bounds."""
    given = keys.levels
    bounds = given if isinstance(given, dict) else dict.fromkeys(given, None)
    levels = []
    for name, pair in bounds.items():
        low, high = pair or LEVELS.get(name, (0.0, 0.0))
        if not pair and name not in LEVELS:
            raise ConfigError(
                f"levels: {name} ({source}) is not a level; there are {', '.join(LEVELS)}, and "
                "lines of NAME: [LOW, HIGH]"
            )
        if (
            not name.isidentifier()
            or name == keys.mix
            or LEVELS.get(name, (low, high)) != (low, high)
        ):
            raise ConfigError(
                f"levels: {name} ({source}) cannot be the name of {low:g} to {high:g}; take another"
            )
        levels.append(Level(name, low, high))
    if not isinstance(given, dict) and len(bounds) < len(given):
        raise ConfigError(f"levels={given} ({source}): each once")
    return in_order(levels, f"levels ({source})")


def _settings(keys: Keys, source: str, ours: dict[str, Any]) -> Settings:
    updates = keys.with_ | {"env_args": keys.env_args} | ours
    try:
        return load_settings(keys.config, keys.env_config, updates, source)
    except ConfigError as error:
        if source in str(error):
            raise
        raise ConfigError(f"{source}: {error}") from None
