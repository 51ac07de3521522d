"""Any single-agent task of Gymnasium: classic control, MuJoCo (extra `d4rl`), the mazes of others.

Box observations are flattened to float32, dictionaries too, in the order of their keys, as D4RL
and Minari keep the goal of AntMaze. A task that reports `success` wins by it.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from functools import cache
from typing import Any

import numpy as np

from envs.base import EnvInfo, Observation
from envs.games import Game, Outcome, SerialEnv
from envs.reference_scores import reference_scores
from utils.errors import ConfigError, MissingExtraError
from utils.provenance import package_versions

NO_LIMIT = 1_000  # steps: the limit of a task that has none of its own


class GymnasiumEnv(SerialEnv):
    """E tasks, stepped one after the other; see `envs.base.VectorEnv` for the promises.

    With discrete actions the state is the observation. With continuous ones there is no state
    (S = 0), since one agent's observation is all there is, and nothing to be unavailable.
    """

    CONTINUOUS = None

    def __init__(self, env_args: dict[str, Any], batch_size: int) -> None:
        info = self.env_info(env_args)
        super().__init__(info, [GymnasiumTask(env_args["key"], info) for _ in range(batch_size)])

    @staticmethod
    def check_installed(env_args: dict[str, Any]) -> None:
        """MissingExtraError where Gymnasium or what the task needs cannot be imported."""
        _info(env_args["key"])

    @classmethod
    def env_info(cls, env_args: dict[str, Any]) -> EnvInfo:
        """The numbers of the task, which is made once and closed for it."""
        return _info(env_args["key"])

    @staticmethod
    def versions(env_args: dict[str, Any]) -> dict[str, str]:
        """Gymnasium's and MuJoCo's."""
        return package_versions("gymnasium", "mujoco")


class GymnasiumTask(Game):
    """One task of one agent."""

    def __init__(self, key: str, info: EnvInfo) -> None:
        self._task, self._info = make_task(key), info
        self._won = False

    def reset(self, seed: int) -> Observation:
        """Begin an episode."""
        self._won = False
        obs, _ = self._task.reset(seed=seed)
        return self._observation(obs)

    def step(self, actions: np.ndarray) -> Outcome:
        """Actions (1,) int, or (1,A) float."""
        obs, reward, terminated, cut, facts = self._task.step(actions[0])
        self._won |= bool(facts.get("success", False))
        truncated = bool(cut and not terminated)
        return Outcome(self._observation(obs), reward, terminated, truncated, self._won)

    def close(self) -> None:
        """Close the task."""
        self._task.close()

    def _observation(self, obs: np.ndarray) -> Observation:
        n_actions = 0 if self._info.continuous else self._info.n_actions
        return Observation(
            obs[None], obs[: self._info.state_shape], np.ones((1, n_actions), dtype=bool)
        )


@cache
def _info(key: str) -> EnvInfo:
    gymnasium = _import_gymnasium()
    task = make_task(key)
    actions, obs_shape = task.action_space, int(task.observation_space.shape[0])
    limit = (task.spec and task.spec.max_episode_steps) or NO_LIMIT
    task.close()
    scores = reference_scores(key)
    if isinstance(actions, gymnasium.spaces.Discrete):
        if actions.start:
            raise ConfigError(f"env_args.key={key}: its actions begin at {actions.start}, not at 0")
        n = int(actions.n)
        return EnvInfo(1, n, obs_shape, obs_shape, limit, reference_scores=scores)
    if isinstance(actions, gymnasium.spaces.Box) and len(actions.shape) == 1:
        if not actions.is_bounded():
            raise ConfigError(f"env_args.key={key}: its actions have no bounds")
        return EnvInfo(
            1, actions.shape[0], obs_shape, 0, limit,
            action_low=tuple(actions.low.tolist()), action_high=tuple(actions.high.tolist()),
            reference_scores=scores,
        )  # fmt: skip
    raise ConfigError(
        f"env_args.key={key} takes actions of {' '.join(str(actions).split())}; Discrete or a "
        "Box of one dimension is needed"
    )


def make_task(key: str) -> Any:
    """One task with flat float32 observations; ConfigError where Gymnasium has none of that key."""
    gymnasium = _import_gymnasium()
    from gymnasium.wrappers import DtypeObservation, FlattenObservation, TimeLimit

    if not re.search(r"-v\d+$", key):
        raise ConfigError(f"env_args.key={key} has no version; write {key}-v5, say")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old versions, of bounds rounded to float32
        task = _make(gymnasium, key)
        if task.spec is None or task.spec.max_episode_steps is None:
            task = TimeLimit(task, NO_LIMIT)
        flat = FlattenObservation(task)
        shown = isinstance(task.observation_space, gymnasium.spaces.Box | gymnasium.spaces.Dict)
        if not shown or not isinstance(flat.observation_space, gymnasium.spaces.Box):
            space = " ".join(str(task.observation_space).split())
            raise ConfigError(
                f"env_args.key={key} shows {space}; a Box or a Dict of them is needed"
            )
        return DtypeObservation(flat, np.float32)


def _make(gymnasium: Any, key: str) -> Any:
    _silence_mujoco()
    if key not in gymnasium.registry:
        _register_robotics(gymnasium)
    try:
        return gymnasium.make(key)
    except gymnasium.error.DependencyNotInstalled as error:
        if "mujoco" in str(error).lower():
            raise MissingExtraError(f"env_args.key={key}", "d4rl") from error
        raise _unmakable(key, error) from error
    except (gymnasium.error.Error, ImportError) as error:
        raise _unmakable(key, error) from error


def _unmakable(key: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"env_args.key={key}: Gymnasium cannot make it: {' '.join(str(error).split())}"
    )


def _register_robotics(gymnasium: Any) -> None:
    """AntMaze, point mazes, hands and kitchens, if the package is there; it talks when imported."""
    with contextlib.suppress(ImportError), contextlib.redirect_stderr(io.StringIO()):
        import gymnasium_robotics

        gymnasium.register_envs(gymnasium_robotics)


def _import_gymnasium() -> Any:
    try:
        import gymnasium
    except ImportError as error:
        raise MissingExtraError("env=gymnasium", "d4rl") from error
    return gymnasium


def _silence_mujoco() -> None:
    """Its warnings, of an unstable state say, go into a file in the working directory otherwise."""
    try:
        import mujoco
    except ImportError:
        return
    mujoco.set_mju_user_warning(_ignore)  # pyright: ignore[reportAttributeAccessIssue]


def _ignore(_: Any) -> None:
    pass
