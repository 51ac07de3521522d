"""Measuring the checkpoints of live runs, and recording data sets with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from controllers import REGISTRY as mac_REGISTRY
from controllers.uniform_controller import UniformController
from data.formats import unlearnt_settings
from data.schema import Metadata
from data.write import EXACT, EpisodeWriter, Storage
from envs import REGISTRY as env_REGISTRY
from envs import game_of
from envs.base import EnvInfo, VectorEnv
from runners.rollout import Controller, Evaluation, evaluate, rollout
from utils.checkpoint import load_agent, read_checkpoint
from utils.config import RunConfig, check_settings, default_values
from utils.errors import CheckpointError, ConfigError, DataError
from utils.logging import MakeBar, progress_bar
from utils.provenance import software

MEASURED_EPISODES = 256


@dataclass(frozen=True)
class BehaviourPolicy:
    """A controller to record with, and every fact about it."""

    mac: Controller
    config: RunConfig
    facts: dict[str, Any]


def load_policy(folder: Path) -> BehaviourPolicy:
    """The policy of one checkpoint of a live run."""
    learner_state, trainer_state = read_checkpoint(folder)
    try:
        values = {**default_values(), **trainer_state["config"]}  # it may lack keys that came since
        settings = check_settings(values)
    except ConfigError as error:
        raise CheckpointError(f"{folder} was made by another version: {error}") from error
    config = settings.run
    info = env_REGISTRY[config.env].env_info(config.env_args)
    mac = mac_REGISTRY[config.mac](info, settings)
    load_agent(mac.agent, learner_state, folder)
    facts = {
        "algorithm": config.name,
        "seed": config.seed,
        "t_env": trainer_state["runner"]["t_env"],
        "checkpoint": f"{folder.parent.name}/{folder.name}",
    }
    return BehaviourPolicy(mac, config, facts)


def random_policy(
    env_config: str, seed: int, key: str = "", env_args: dict[str, Any] | None = None
) -> BehaviourPolicy:
    """A network that is never trained, to be played with epsilon 1; actions drawn evenly."""
    settings = unlearnt_settings(env_config, key, {"seed": seed, "env_args": env_args or {}})
    config = settings.run
    facts = {"algorithm": "random", "seed": seed}
    info = env_REGISTRY[config.env].env_info(config.env_args)
    if info.continuous:
        return BehaviourPolicy(UniformController(info), config, facts)
    return BehaviourPolicy(mac_REGISTRY[config.mac](info, settings), config, facts)


def checkpoints_of(run: Path) -> list[Path]:
    """The checkpoints of a run's folder in results/models, in the order they were made.

    Of a checkpoint's own folder that one.
    """
    if (run / "agent.th").is_file():
        return [run]
    found = sorted((p for p in run.glob("*") if p.name.isdigit()), key=lambda p: int(p.name))
    if not found:
        raise CheckpointError(f"{run}: no checkpoints there; give folders of results/models")
    return found


class Recorder:
    """Measures policies and records them, at one epsilon, in one batch of environments."""

    def __init__(
        self, config: RunConfig, epsilon: float, seed: int, make_bar: MakeBar = progress_bar
    ) -> None:
        self._make_bar = make_bar
        self._config, self._epsilon, self._seed = config, epsilon, seed
        self._device = torch.device("cpu")
        torch.set_num_threads(config.threads)
        make = env_REGISTRY[config.env]
        make.check_installed(config.env_args)
        self._env: VectorEnv = make(config.env_args, config.batch_size_run)

    @property
    def info(self) -> EnvInfo:
        """The environment's numbers."""
        return self._env.info

    def measure_all(
        self, policies: Sequence[BehaviourPolicy], episodes: int = MEASURED_EPISODES
    ) -> list[BehaviourPolicy]:
        """The same policies with what `measure` says of them among their facts."""
        bar = self._make_bar(len(policies), 0, " checkpoints measured")
        measured = []
        for policy in policies:
            measured.append(replace(policy, facts=self.facts_of(policy, episodes)))
            bar.update()
        bar.close()
        return measured

    def facts_of(
        self, policy: BehaviourPolicy, episodes: int = MEASURED_EPISODES
    ) -> dict[str, Any]:
        """A policy's facts, and what `measure` says of it."""
        stats = self.measure(policy, episodes).statistics()
        facts = {k: stats[k] for k in ("return_mean", "return_se", "battle_won_mean")}
        facts["measured_episodes"] = int(stats["n_episodes"])
        return policy.facts | facts

    def measure(self, policy: BehaviourPolicy, episodes: int = MEASURED_EPISODES) -> Evaluation:
        """Returns of at least `episodes`; the same for the same seed, whoever asks."""
        self._check_same_game(policy)
        generator = torch.Generator().manual_seed(self._seed)
        rng = np.random.default_rng([self._seed, 0])
        return evaluate(
            self._env, policy.mac, episodes, rng, self._device, self._epsilon, generator
        )

    def record(
        self, policies: Sequence[BehaviourPolicy], episodes: int, path: Path, quality: str,
        storage: Storage = EXACT, stream: int = 0, made_with: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Write `episodes` episodes, the same number of each policy (up to one).

        Policies have chances of their own, counted from `stream`. made_with: more of how the file
        was made.
        """
        metadata = self.metadata(quality, [policy.facts for policy in policies])
        metadata.made_with.update(made_with or {})
        quotas = [len(part) for part in np.array_split(np.arange(episodes), len(policies))]
        bar = self._make_bar(episodes, 0, " episodes")
        with EpisodeWriter(path, metadata, storage) as writer:
            for i, (policy, quota) in enumerate(zip(policies, quotas, strict=True)):
                self._record_one(writer, policy, i, quota, bar, stream)
        bar.close()

    def close(self) -> None:
        """Let go of the environments."""
        self._env.close()

    def metadata(self, quality: str, policies: list[dict[str, Any]]) -> Metadata:
        """What a file says of its episodes."""
        return Metadata(
            env=self._config.env,
            env_args=self._config.env_args,
            info=self._env.info,
            quality=quality,
            policies=policies,
            made_with=self._made_with(),
        )

    def _record_one(
        self, writer: EpisodeWriter, policy: BehaviourPolicy, index: int, quota: int, bar: Any,
        stream: int,
    ) -> None:  # fmt: skip
        generator = torch.Generator().manual_seed(self._seed + 1 + index + stream)
        rng = np.random.default_rng([self._seed, 1, index + stream])
        while quota:
            seed = int(rng.integers(2**31))
            batch, won = rollout(
                self._env, policy.mac, seed, self._device, self._epsilon, generator
            )
            kept = min(quota, batch.batch_size)  # whole rounds, cut by slot, not by length
            writer.append(batch.episodes(range(kept)), won[:kept], index, seed)
            quota -= kept
            bar.update(kept)

    def _made_with(self) -> dict[str, Any]:
        return {
            "epsilon": self._epsilon,
            "seed": self._seed,
            "batch_size_run": self._config.batch_size_run,
            **software(env_REGISTRY[self._config.env].versions(self._config.env_args)),
        }

    def _check_same_game(self, policy: BehaviourPolicy) -> None:
        ours, theirs = self._config, policy.config
        games = [game_of(config.env, config.env_args) for config in (ours, theirs)]
        if games[0] != games[1]:
            raise DataError(
                f"{policy.facts['checkpoint']} played {theirs.env} {theirs.env_args}, the first "
                f"run {ours.env} {ours.env_args}; record one environment at a time"
            )
