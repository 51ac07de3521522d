"""Live runners: the controller plays in the environment, to train on or to evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from components.episode_batch import EpisodeBatch
from components.epsilon_schedules import linear_epsilon
from envs import REGISTRY as env_REGISTRY
from envs.base import EnvInfo, VectorEnv
from runners.rollout import Controller, Evaluation, evaluate, rollout
from utils.config import RunConfig


class ParallelRunner:
    """`batch_size_run` environments at once; `t_env` counts their steps.

    The environment is built at the first episode, not before. Training and evaluation draw
    from two generators, so that evaluating more often does not change what is learned.
    """

    def __init__(self, config: RunConfig, device: torch.device) -> None:
        self._config = config
        self._device = device
        self._env: VectorEnv | None = None
        self._train_rng, self._test_rng = np.random.default_rng(config.seed).spawn(2)
        self._generator = torch.Generator().manual_seed(config.seed)
        test_seed = int(np.random.SeedSequence([config.seed, 1]).generate_state(1)[0])
        self._test_generator = torch.Generator().manual_seed(test_seed)
        self.t_env = 0
        self.notes: list[str] = []
        self.source: dict[str, Any] = {}

    @property
    def env(self) -> VectorEnv:
        """The environment, built on first use."""
        env = self._env
        if env is None:
            make = env_REGISTRY[self._config.env]
            self._env = env = make(self._config.env_args, self._slots())
        return env

    def get_env_info(self) -> EnvInfo:
        """The environment's numbers, without building it."""
        return env_REGISTRY[self._config.env].env_info(self._config.env_args)

    def setup(self, mac: Controller) -> None:
        """Whose actions are played."""
        self._mac = mac

    @property
    def epsilon(self) -> float:
        """The exploration rate at `t_env`."""
        c = self._config
        return linear_epsilon(c.epsilon_start, c.epsilon_finish, c.epsilon_anneal_time, self.t_env)

    def run(self) -> EpisodeBatch:
        """One exploring episode in every environment."""
        seed = int(self._train_rng.integers(2**31))
        batch, _ = rollout(self.env, self._mac, seed, self._device, self.epsilon, self._generator)
        self.t_env += int(batch.mask.sum())
        return batch

    def evaluate(self, n: int) -> Evaluation:
        """At least `n` fresh episodes, the same number in every environment.

        Greedy ones; with `test_greedy=False` exploring as at `t_env`.
        """
        chance = (0.0, None) if self._config.test_greedy else (self.epsilon, self._test_generator)
        return evaluate(self.env, self._mac, n, self._test_rng, self._device, *chance)

    def save_replay(self, folder: Path) -> list[Path]:
        """What was played, into `folder` -> the files; nothing where nothing was."""
        return self._env.save_replay(folder) if self._env is not None else []

    def close_env(self) -> None:
        """Let go of the environment."""
        if self._env is not None:
            self._env.close()

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs to go on as if it had not stopped."""
        return {
            "t_env": self.t_env,
            "train_rng": self._train_rng.bit_generator.state,
            "test_rng": self._test_rng.bit_generator.state,
            "generator": self._generator.get_state(),
            "test_generator": self._test_generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.t_env = state["t_env"]
        self._train_rng.bit_generator.state = state["train_rng"]
        self._test_rng.bit_generator.state = state["test_rng"]
        self._generator.set_state(state["generator"])
        self._test_generator.set_state(state["test_generator"])

    def _slots(self) -> int:
        return self._config.batch_size_run


class EpisodeRunner(ParallelRunner):
    """One environment, one episode at a time, whatever `batch_size_run` says."""

    def _slots(self) -> int:
        return 1
