"""Online training by stable-baselines3, watched: checkpoints, and every episode it played."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3 import SAC, TD3
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import NormalActionNoise

from utils.logging import progress_bar

ALGORITHMS = {"SAC": SAC, "TD3": TD3}
REPLAY = "replay.npz"
TD3_NOISE = 0.1  # of half the actions' range, as Fujimoto et al. (2018) explore


class Watch(BaseCallback):
    """Saves the model every `every` steps and keeps the episodes as rows, T+1 for T transitions.

    The action on an episode's last observation, which is never played, is drawn from the policy.
    """

    def __init__(self, folder: Path, every: int, total: int) -> None:
        super().__init__()
        self._folder, self._every = folder, every
        self._bar = progress_bar(total, 0, " steps")
        self._rows: list[tuple[Any, Any, float]] = []
        self._lengths: list[int] = []
        self._terminated: list[bool] = []
        self._start = 0

    def _on_step(self) -> bool:
        seen = self.locals
        info, done = seen["infos"][0], bool(seen["dones"][0])
        observation = self.model._last_obs[0]  # type: ignore[index] # one environment's
        self._rows.append((observation, seen["actions"][0], float(seen["rewards"][0])))
        if done:
            last = info["terminal_observation"]
            action, _ = self.model.predict(last, deterministic=False)
            self._rows.append((last, action, 0.0))
            self._lengths.append(len(self._rows) - self._start - 1)
            self._terminated.append(not info["TimeLimit.truncated"])
            self._start = len(self._rows)
        if self.num_timesteps % self._every == 0:
            self.model.save(self._folder / f"{self.num_timesteps}.zip")
        self._bar.update()
        return True

    def _on_training_end(self) -> None:
        self._bar.close()
        columns = list(zip(*self._rows[: self._start], strict=True))
        partial = self._folder / f"partial_{REPLAY}"
        np.savez(
            partial,
            obs=np.array(columns[0], dtype=np.float32),
            actions=np.array(columns[1], dtype=np.float32),
            rewards=np.array(columns[2], dtype=np.float32),
            lengths=np.array(self._lengths),
            terminated=np.array(self._terminated),
        )
        partial.replace(self._folder / REPLAY)


def train(name: str, env: Any, steps: int, every: int, seed: int, folder: Path) -> None:
    """Train `name` in `env`, unless `folder` has all of it already."""
    if (folder / REPLAY).is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    noise = None  # SAC explores by itself
    if name == "TD3":
        half = (env.action_space.high - env.action_space.low) / 2
        noise = NormalActionNoise(np.zeros_like(half), TD3_NOISE * half)
    model = ALGORITHMS[name]("MlpPolicy", env, seed=seed, device="cpu", action_noise=noise)
    model.learn(steps, callback=Watch(folder, every, steps))


def checkpoints(folder: Path) -> list[Path]:
    """The saved models, in the order they were made."""
    return sorted(folder.glob("[0-9]*.zip"), key=lambda path: int(path.stem))


def load(path: Path) -> Any:
    """One saved model, to act with."""
    return ALGORITHMS[path.parent.name.split("_")[0]].load(path, device="cpu")
