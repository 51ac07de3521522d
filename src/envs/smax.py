"""SMAX, StarCraft-like micromanagement in JAX (JaxMARL, extra `smax`): many battles at once.

Facts that this file rests on were read off jaxmarl 0.2.0: a step is 0.5 s of battle; JaxMARL's
reward has the maximum 2 (enemy health taken, plus 1 for a win), so x10 makes it SMAC's 20; the
limit of "100" lets 101 steps pass; a time-out has no flag, it is an end with both sides alive.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from envs.base import EnvInfo, Observation, Step, VectorEnv
from utils.errors import ConfigError, MissingExtraError, nearest
from utils.provenance import package_versions

REWARD_SCALE = 10.0
EPISODE_LIMIT = 101
MAP_SIZE = 32.0
UNIT_FEATURES, OWN_FEATURES = 13, 10
N_UNIT_TYPES = 6
MAX_COOLDOWN = 1.87  # seconds, the stalker's
MOVES = ("north", "east", "south", "west", "stop")
STALKER, ZEALOT, MARINE = 2, 3, 0

MAPS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "3m": ((MARINE,) * 3, (MARINE,) * 3),
    "8m": ((MARINE,) * 8, (MARINE,) * 8),
    "2s3z": ((STALKER,) * 2 + (ZEALOT,) * 3, (STALKER,) * 2 + (ZEALOT,) * 3),
    "3s5z": ((STALKER,) * 3 + (ZEALOT,) * 5, (STALKER,) * 3 + (ZEALOT,) * 5),
    "5m_vs_6m": ((MARINE,) * 5, (MARINE,) * 6),
    "10m_vs_11m": ((MARINE,) * 10, (MARINE,) * 11),
    "27m_vs_30m": ((MARINE,) * 27, (MARINE,) * 30),
    "2s_vs_3z": ((STALKER,) * 2, (ZEALOT,) * 3),
    "3s_vs_3z": ((STALKER,) * 3, (ZEALOT,) * 3),
    "3s_vs_4z": ((STALKER,) * 3, (ZEALOT,) * 4),
    "3s_vs_5z": ((STALKER,) * 3, (ZEALOT,) * 5),
}
"""Map -> unit types of the allies, unit types of the enemies."""


class SMAXEnv(VectorEnv):
    """`batch_size` battles in one compiled step; see `envs.base.VectorEnv` for the promises."""

    def __init__(self, env_args: dict[str, Any], batch_size: int) -> None:
        self.info = self.env_info(env_args)
        self.batch_size = batch_size
        self._reset, self._step = _compiled(
            env_args["map_name"], env_args["walls_cause_death"], batch_size
        )
        self._state: Any = None

    @staticmethod
    def check_installed(env_args: dict[str, Any]) -> None:
        """MissingExtraError where JaxMARL cannot be imported."""
        _import_jaxmarl()

    @staticmethod
    def versions(env_args: dict[str, Any]) -> dict[str, str]:
        """JaxMARL's, which has the game's rules."""
        return package_versions("jaxmarl")

    @classmethod
    def env_info(cls, env_args: dict[str, Any]) -> EnvInfo:
        """The map's numbers, by arithmetic: JAX is not imported."""
        allies, enemies = _units(env_args["map_name"])
        units = len(allies) + len(enemies)
        return EnvInfo(
            n_agents=len(allies),
            n_actions=len(MOVES) + len(enemies),
            obs_shape=UNIT_FEATURES * (units - 1) + OWN_FEATURES,
            state_shape=(OWN_FEATURES + 2) * units,
            episode_limit=EPISODE_LIMIT,
            action_names=MOVES + tuple(f"attack_{j}" for j in range(len(enemies))),
        )

    def reset(self, seed: int) -> Observation:
        """Begin `batch_size` battles drawn from `seed`."""
        self._state, observation = self._reset(seed)
        return _to_numpy(observation)

    def step(self, actions: np.ndarray) -> Step:
        """Half a second of every battle."""
        self._state, (observation, *rest) = self._step(self._state, actions.astype(np.int32))
        rewards, terminated, truncated, won = (np.asarray(value) for value in rest)
        return Step(_to_numpy(observation), rewards, terminated, truncated, won)


def state_scale(n_units: int) -> np.ndarray:
    """(S,) float32: what SMAX's world state is multiplied by, to bring every entry into [0, 1].

    A unit that is pushed over the border can show a little more.

    SMAX gives raw positions (0 to 32), cooldowns in seconds and raw type ids (0 to 5).
    """
    own = np.ones(OWN_FEATURES, dtype=np.float32)
    own[1:3] = 1 / MAP_SIZE
    own[3] = 1 / MAX_COOLDOWN
    teams = np.ones(n_units, dtype=np.float32)
    types = np.full(n_units, 1 / (N_UNIT_TYPES - 1), dtype=np.float32)
    return np.concatenate([np.tile(own, n_units), teams, types])


def _units(map_name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if map_name not in MAPS:
        raise ConfigError(
            f"env_args.map_name={map_name} is not a SMAX map{nearest(map_name, MAPS)}; "
            f"there are: {', '.join(MAPS)}"
        )
    return MAPS[map_name]


def _to_numpy(observation: tuple[Any, Any, Any]) -> Observation:
    return Observation(*(np.asarray(value) for value in observation))


def _import_jaxmarl() -> Any:
    """Import JaxMARL: quiet (it prints a line), on the CPU, with a cache of compiled steps."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    cache_dir = Path(__file__).resolve().parents[2] / ".cache" / "jax"
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_dir))
    try:
        with _quiet_stdout():
            from jaxmarl.environments import smax
    except ImportError as error:
        raise MissingExtraError("env=smax", "smax") from error
    return smax


@contextlib.contextmanager
def _quiet_stdout() -> Iterator[None]:
    """Silence the file descriptor: the import prints, and puts another object into sys.stdout."""
    ours, kept = sys.stdout, os.dup(1)
    ours.flush()
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
        sys.stdout = ours


@cache
def _compiled(map_name: str, walls_cause_death: bool, batch_size: int) -> tuple[Any, Any]:
    """The jitted (reset, step) of one map; made once per process, compiled once per machine."""
    battle = _Battle(map_name, walls_cause_death)
    jax = battle.jax

    @jax.jit
    def reset(seed: Any) -> Any:
        return jax.vmap(battle.reset)(jax.random.split(jax.random.PRNGKey(seed), batch_size))

    @jax.jit
    def step(carry: Any, actions: Any) -> Any:
        return jax.vmap(battle.step)(carry, actions)

    return reset, step


class _Battle:
    """One battle as pure functions of its carry (random key, state, over, what is shown)."""

    def __init__(self, map_name: str, walls_cause_death: bool) -> None:
        smax = _import_jaxmarl()
        import jax
        import jax.numpy as jnp

        self.jax, self.jnp = jax, jnp
        allies, enemies = _units(map_name)
        self._n_allies, n_units = len(allies), len(allies) + len(enemies)
        types = jnp.array(allies + enemies, dtype=jnp.uint8)
        scenario = smax.smax_env.Scenario(types, len(allies), len(enemies), False, False)
        self._env = smax.HeuristicEnemySMAX(scenario=scenario, walls_cause_death=walls_cause_death)
        self._scale = jnp.asarray(state_scale(n_units))

    def reset(self, key: Any) -> Any:
        """Key -> (carry, observation)."""
        key, reset_key = self.jax.random.split(key)
        raw, state = self._env.reset(reset_key)
        observation = self._observe(raw, state)
        return self._strong((key, state, self.jnp.array(False), observation)), observation

    def step(self, carry: Any, actions: Any) -> Any:
        """(carry, actions (N,)) -> (carry, (observation, reward, terminated, truncated, won))."""
        jnp = self.jnp
        key, state, over, shown = carry
        key, step_key = self.jax.random.split(key)
        joint = {agent: actions[i] for i, agent in enumerate(self._env.agents)}
        raw, after, rewards, dones, _ = self._env.step_env(step_key, state, joint)
        alive = after.state.unit_alive
        allies_live, enemies_live = alive[: self._n_allies].any(), alive[self._n_allies :].any()
        ends = dones["__all__"] & ~over
        truncated = ends & allies_live & enemies_live
        reward = jnp.where(over, 0.0, rewards[self._env.agents[0]] * REWARD_SCALE)
        kept, shown = self.jax.tree.map(
            lambda old, new: jnp.where(over, old, new),
            (state, shown),
            (after, self._observe(raw, after)),
        )
        won = allies_live & ~enemies_live
        out = (shown, reward.astype(jnp.float32), ends & ~truncated, truncated, won)
        return self._strong((key, kept, over | ends, shown)), out

    def _observe(self, raw: dict[str, Any], state: Any) -> tuple[Any, Any, Any]:
        avail = self._env.get_avail_actions(state)
        agents = self._env.agents
        return (
            self.jnp.stack([raw[agent] for agent in agents]),
            self.jnp.maximum(raw["world_state"] * self._scale, 0.0),
            self.jnp.stack([avail[agent] for agent in agents]).astype(bool),
        )

    def _strong(self, tree: Any) -> Any:
        """Weakly typed leaves would make the second call compile again."""
        return self.jax.tree.map(lambda x: self.jax.lax.convert_element_type(x, x.dtype), tree)
