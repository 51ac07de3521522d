"""StarCraft II through SMAC (extra `sc2`, and the game at $SC2PATH), one game in each process.

Facts that this file rests on were read off SMAC 1.0.0: a game that died makes `step` give
(0, True, {}), and `reset` start another one behind one's back; a time limit shows in the counter
`timeouts`, in the info only with continuing_episode=True; the seed is the game's, of all its
episodes. SMAC scales rewards wrongly after a crash in the first episode, so that it is always
built anew, in a new process.
"""

from __future__ import annotations

import functools
import importlib.util
import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from envs.base import EnvInfo, Observation
from envs.games import Outcome
from envs.processes import ProcessEnv
from envs.pymarl import PyMARLGame, read_env_info
from utils.errors import ConfigError, NotInstalledError, nearest
from utils.paths import ROOT
from utils.provenance import package_versions

MOVES = ("no_op", "stop", "north", "south", "east", "west")
DIFFICULTIES = (*"123456789", "A")
OURS = {"game_timeout", "game_restarts"}
"""The env_args that are not SMAC's."""

WAYS_ON = (
    "three ways on: `./run.sh docker GPU CMD...`, docker/install_sc2.sh, or --env-config=smax, "
    "which needs no game (docs/starcraft.md); data alone can be trained on without it: dataset=FILE"
)


class SC2Env(ProcessEnv):
    """`batch_size` games of StarCraft II; see `envs.base.VectorEnv` for the promises.

    But for the same seed: it seeds the games, whose chance SMAC does not begin anew with an
    episode.
    """

    FREE_ARGS: ClassVar[frozenset[str]] = frozenset(
        {"seed", "debug", "replay_dir", "replay_prefix", "window_size_x", "window_size_y", *OURS}
    )
    HAS_REPLAYS = True

    def __init__(self, env_args: dict[str, Any], batch_size: int) -> None:
        self._replay_dir, self._given_seed = env_args["replay_dir"], env_args["seed"]
        make = functools.partial(SC2Game, env_args)
        timeout, restarts = env_args["game_timeout"], env_args["game_restarts"]
        super().__init__(self.env_info(env_args), make, batch_size, timeout, restarts)

    @staticmethod
    def check_installed(env_args: dict[str, Any]) -> None:
        """NotInstalledError where SMAC, the game or the map is not here; SMAC is not imported."""
        missing = _missing_smac()
        version = None if missing else env_args["game_version"]  # SMAC brings what knows versions
        missing += _missing_game(env_args["map_name"], version)
        if missing:
            raise NotInstalledError(f"env=sc2: {'; '.join(missing)}; {WAYS_ON}")

    @classmethod
    def env_info(cls, env_args: dict[str, Any]) -> EnvInfo:
        """SMAC's numbers of the map; the game is not needed."""
        _check_args(env_args)
        return _info(tuple(sorted(env_args.items(), key=lambda item: item[0])))

    @staticmethod
    def versions(env_args: dict[str, Any]) -> dict[str, str]:
        """The game's build and SMAC's version."""
        build = "not installed"
        if not (_missing_smac() or _missing_game(env_args["map_name"], env_args["game_version"])):
            build = _build(env_args["game_version"])
        return {"sc2_build": build} | package_versions("SMAC", "pysc2")

    def _seed(self, slot: int, drawn: int) -> int:
        return drawn if self._given_seed is None else self._given_seed + slot

    def save_replay(self, folder: Path) -> list[Path]:
        """Of every game, from its start; into env_args.replay_dir if that is set."""
        own = Path(self._replay_dir).expanduser()
        return super().save_replay(ROOT / own if self._replay_dir else folder)


class SC2Game(PyMARLGame):
    """One StarCraft2Env. A game that dies is an exception, which ends its process."""

    def __init__(self, env_args: dict[str, Any], seed: int) -> None:
        os.environ["SC2PATH"] = str(sc2_path())
        super().__init__(_starcraft2env(env_args | {"seed": seed % 2**31}))
        self._launched = False

    def reset(self, seed: int) -> Observation:
        """Begin an episode."""
        if self._launched:  # else a reset within the first episode launches another game
            self.env._episode_count = max(self.env._episode_count, 1)
        self._launched, restarts = True, self.env.force_restarts
        shown = super().reset(seed)
        if self.env.force_restarts != restarts:
            raise ConnectionError("the game died while an episode began")
        return shown

    def step(self, actions: np.ndarray) -> Outcome:
        """Actions (N,); a time limit is `truncated` whatever SMAC's continuing_episode says."""
        restarts, timeouts = self.env.force_restarts, self.env.timeouts
        outcome = super().step(actions)
        if self.env.force_restarts != restarts:
            raise ConnectionError("the game died")
        if self.env.timeouts != timeouts:
            return outcome._replace(terminated=False, truncated=True)
        return outcome

    def save_replay(self, folder: Path) -> list[Path]:
        """Write the replay of all episodes since the game was started."""
        folder.mkdir(parents=True, exist_ok=True)
        before = set(folder.iterdir())
        self.env.replay_dir = str(folder)
        self.env.save_replay()
        return sorted(set(folder.iterdir()) - before)


def action_names(n_actions: int) -> tuple[str, ...]:
    """What SMAC's actions are called here; a healer's attacks heal."""
    return (*MOVES, *(f"attack_{j}" for j in range(n_actions - len(MOVES))))


def sc2_path() -> Path:
    """Where the game is looked for: $SC2PATH, else 3rdparty/StarCraftII as in PyMARL."""
    return Path(os.environ.get("SC2PATH") or ROOT / "3rdparty" / "StarCraftII").expanduser()


def _build(game_version: str | None) -> str:
    """The folder of the build that pysc2 takes: of that version, or the one with most behind it."""
    if game_version in (None, "latest"):
        found = [int(p.name[4:]) for p in sc2_path().glob("Versions/Base*") if p.name[4:].isdigit()]
        return f"Base{max(found, default=0):05d}"
    from pysc2.run_configs import lib  # pyright: ignore[reportMissingImports]

    version = f"{game_version}.0" if str(game_version).count(".") == 1 else str(game_version)
    if not isinstance(game_version, str) or version not in lib.VERSIONS:
        raise ConfigError(
            f"env_args.game_version={game_version} is not known to pysc2"
            f"{nearest(version, lib.VERSIONS)}; it is written env_args.game_version='\"4.10\"'"
        )
    return f"Base{lib.VERSIONS[version].build_version:05d}"


def _missing_smac() -> list[str]:
    spec = importlib.util.find_spec("smac")
    if spec is None:
        return ["SMAC is not installed (pip install -c constraints.txt -e '.[sc2]')"]
    places = spec.submodule_search_locations or []
    if not any((Path(place) / "env" / "starcraft2").is_dir() for place in places):
        return [
            "the package smac here is another project's, SMAC3 for hyper-parameters; "
            "pip uninstall smac, then pip install -c constraints.txt -e '.[sc2]'"
        ]
    return []


def _missing_game(map_name: str, game_version: str | None) -> list[str]:
    path, build = os.environ.get("SC2PATH"), _build(game_version)
    where = f"SC2PATH={path}" if path else f"SC2PATH is not set, so {sc2_path()}"
    if not (sc2_path() / "Versions" / build / "SC2_x64").is_file():
        wanted = "Base*" if build == "Base00000" else build
        return [f"StarCraft II is not there ({where} has no Versions/{wanted}/SC2_x64)"]
    if not (sc2_path() / "Maps" / "SMAC_Maps" / f"{map_name}.SC2Map").is_file():
        return [f"{where} has no map Maps/SMAC_Maps/{map_name}.SC2Map"]
    return []


def _check_args(env_args: dict[str, Any]) -> None:
    """What SMAC would find out when the game runs already, or never."""
    prefix, seed = env_args["replay_prefix"], env_args["seed"]
    for key, good, needed in (
        ("difficulty", env_args["difficulty"] in DIFFICULTIES, f"one of {' '.join(DIFFICULTIES)}"),
        ("replay_prefix", "/" not in prefix, "the beginning of a file's name; see replay_dir"),
        ("seed", seed is None or (type(seed) is int and 0 <= seed < 2**31), "0 or more, or null"),
        ("step_mul", env_args["step_mul"] >= 1, "1 or more"),
        ("reward_scale_rate", env_args["reward_scale_rate"] > 0, "more than 0"),
        ("game_timeout", env_args["game_timeout"] > 0, "more than 0 seconds"),
        ("game_restarts", env_args["game_restarts"] >= 0, "0 or more"),
    ):
        if not good:
            raise ConfigError(f"env_args.{key}={env_args[key]} must be {needed}")


def _smac() -> tuple[Any, dict[str, Any]]:
    """(StarCraft2Env, the registry of maps); NotInstalledError where SMAC cannot be imported."""
    try:
        from smac.env import StarCraft2Env  # pyright: ignore[reportMissingImports]
        from smac.env.starcraft2.maps import smac_maps  # pyright: ignore[reportMissingImports]
    except (ImportError, TypeError) as error:  # protobuf says by a TypeError that it is too new
        raise NotInstalledError(
            f"env=sc2: SMAC cannot be imported ({' '.join(str(error).split())[:200]}); "
            "pip install -c constraints.txt -e '.[sc2]' brings what it needs"
        ) from error
    return StarCraft2Env, smac_maps.get_smac_map_registry()


def _starcraft2env(env_args: dict[str, Any]) -> Any:
    make, _ = _smac()
    return make(**{k: v for k, v in env_args.items() if k not in OURS})


@functools.cache
def _info(env_args: tuple[tuple[str, Any], ...]) -> EnvInfo:
    values = dict(env_args)
    missing = _missing_smac()
    if missing:
        raise NotInstalledError(f"env=sc2: {missing[0]}; {WAYS_ON}")
    _, maps = _smac()
    name = values["map_name"]
    if name not in maps:
        raise ConfigError(
            f"env_args.map_name={name} is not a map of SMAC{nearest(name, maps)}; "
            f"there are: {', '.join(maps)}"
        )
    env = _starcraft2env(values)
    return read_env_info(env.get_env_info(), action_names(env.get_total_actions()))
