"""OfflineRunner: hands over recorded episodes where a live runner would roll out."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import torch

from components.episode_batch import EpisodeBatch
from components.offline_buffer import REGISTRY as buffer_REGISTRY
from data.check import check_environment, check_episodes, other_versions
from data.formats import open_dataset
from data.on_device import place_data
from envs import REGISTRY as env_REGISTRY
from envs.base import EnvInfo
from runners.live_runner import ParallelRunner
from runners.rollout import Controller, Evaluation
from utils.config import RunConfig
from utils.errors import CheckpointError, NotInstalledError


class OfflineRunner:
    """`t_env` counts training steps. The environment is built late, and only to evaluate."""

    def __init__(self, config: RunConfig, device: torch.device) -> None:
        self._data = open_dataset(config)
        env = env_REGISTRY[config.env]
        info = None
        with contextlib.suppress(NotInstalledError):
            info = env.env_info(config.env_args)
        check_environment(self._data, config.env, config.env_args, info)
        check_episodes(self._data)
        self.notes = other_versions(self._data, env.versions(config.env_args))
        source, where = place_data(self._data, config.data_device, device)
        self.notes += [where] * bool(where)
        make = buffer_REGISTRY[config.batch_of]
        self._buffer = make(self._data, config.batch_size, config.seed, source)
        self._live = ParallelRunner(config, device)
        self.t_env = 0

    @property
    def source(self) -> dict[str, Any]:
        """Which data it is, and what is said of its making."""
        data = self._data
        return {"path": str(data.path), "sha256": data.sha256, "made_with": data.metadata.made_with}

    def get_env_info(self) -> EnvInfo:
        """The numbers that the data was recorded with."""
        return self._data.info

    def setup(self, mac: Controller) -> None:
        """Whose actions are evaluated."""
        self._live.setup(mac)

    def run(self) -> EpisodeBatch:
        """The next batch of recorded episodes, or of their transitions."""
        self.t_env += 1
        return self._buffer.sample()

    def evaluate(self, n: int) -> Evaluation:
        """At least `n` fresh episodes in the live environment, as `ParallelRunner` plays them."""
        self._live.t_env = self.t_env
        return self._live.evaluate(n)

    def save_replay(self, folder: Path) -> list[Path]:
        """Of the evaluations, into `folder` -> the files."""
        return self._live.save_replay(folder)

    def close_env(self) -> None:
        """Let go of the environment."""
        self._live.close_env()

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs to go on as if it had not stopped."""
        return {
            "t_env": self.t_env,
            "data": self._data.sha256,
            "buffer": self._buffer.state_dict(),
            "live": self._live.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        if state["data"] != self._data.sha256:
            raise CheckpointError(
                f"the checkpoint was trained on other data (sha256 {state['data'][:12]}...) than "
                f"{self._data.path} ({self._data.sha256[:12]}...)"
            )
        self.t_env = state["t_env"]
        self._buffer.load_state_dict(state["buffer"])
        self._live.load_state_dict(state["live"])
