"""One run: built from the registries, then batch -> train -> log -> evaluate -> save."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from components.episode_batch import EpisodeBatch
from components.replay_buffer import ReplayBuffer
from controllers import REGISTRY as mac_REGISTRY
from envs import REGISTRY as env_REGISTRY
from learners import REGISTRY as le_REGISTRY
from learners.base import Learner
from runners import REGISTRY as r_REGISTRY
from utils.checkpoint import (
    METRICS,
    find_checkpoint,
    load_agent,
    read_buffer,
    read_checkpoint,
    save_checkpoint,
)
from utils.config import FREE_TO_CHANGE, Settings
from utils.config_checks import check_actions
from utils.errors import CheckpointError, ConfigError, NotInstalledError
from utils.logging import Logger, MakeBar, SacredRun, progress_bar
from utils.paths import ROOT
from utils.provenance import software


def resolve_device(name: str) -> torch.device:
    """auto takes the GPU where there is one; asking for one that is not there is a mistake."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device=cuda, but PyTorch finds no CUDA device here; use device=auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


class Trainer:
    """Holds the parts of a run and moves them through time, `t_env`.

    Building it opens the data and the checkpoint, so that a mistake there is found before
    anything of the run is written.
    """

    logger: Logger

    def __init__(
        self,
        settings: Settings,
        token: str,
        notes: Sequence[str] = (),
        make_bar: MakeBar = progress_bar,
    ) -> None:
        self.settings, self.config, self.token = settings, settings.run, token
        torch.set_num_threads(self.config.threads)
        torch.manual_seed(self.config.seed)
        self.device = resolve_device(self.config.device)
        self.models_dir = self.config.results / "models" / token
        source = "parallel" if self.config.evaluate else self.config.runner  # no data is needed
        self.notes, self.make_bar = notes, make_bar
        self.not_evaluated = self._why_not_evaluated(source)
        self.runner = r_REGISTRY[source](self.config, self.device)
        info = self.runner.get_env_info()
        check_actions(settings, info.continuous)
        self.mac = mac_REGISTRY[self.config.mac](info, settings)
        self.mac.agent.to(self.device)
        self.runner.setup(self.mac)
        self.learner: Learner | None = None
        if self.config.learner and not self.config.evaluate:
            make = le_REGISTRY[self.config.learner]
            self.learner = make(self.mac, info, settings.learner, self.device)
        self.buffer: ReplayBuffer | None = None
        if self.config.runner != "offline":
            self.buffer = ReplayBuffer(self.config.buffer_size, self.config.seed)
        self.buffer_restored = True
        self.start = self._load() if self.config.checkpoint_path else None
        self.buffer_saved = self.runner.t_env  # when it was last due

    def run(self, sacred_run: SacredRun | None = None) -> dict[str, float]:
        """Train or evaluate -> the statistics of the last evaluation."""
        config = self.config
        metrics = config.results / "metrics" / f"{self.token}.csv"
        earlier = self.start / METRICS if self.start and not config.evaluate else None
        tb_dir = config.results / "tb_logs" / self.token if config.use_tensorboard else None
        with Logger(metrics, earlier, sacred_run, tb_dir) as self.logger:
            if sacred_run is not None:
                sacred_run.info |= self._provenance()
            for note in self._notes():
                self.logger.console.info(note)
            try:
                stats = self.evaluate() if config.evaluate else self.train()
                self._save_replay()
            finally:
                self.runner.close_env()
        return stats

    def train(self) -> dict[str, float]:
        """Go on to `t_max`; evaluates at the start, at every test_interval and at the end."""
        runner, config = self.runner, self.config
        assert self.learner is not None
        bar = self.make_bar(config.t_max, runner.t_env, " steps")
        stats = self.evaluate() if runner.t_env == 0 else {}
        while runner.t_env < config.t_max:
            before = runner.t_env
            metrics: dict[str, torch.Tensor] = {}
            for batch in self._batches():
                metrics = self.learner.train(batch.to(self.device))
            t_env = runner.t_env
            bar.update(min(t_env, config.t_max) - bar.n)
            last = t_env >= config.t_max
            if metrics and self._due(config.learner_log_interval, before):
                self.logger.log_stats({k: v.item() for k, v in metrics.items()}, t_env)
            if last or self._due(config.test_interval, before):
                stats = self.evaluate()
                bar.set_postfix({k: f"{stats[k]:.2f}" for k in ("return_mean",) if k in stats})
            if self._due(config.log_interval, before):
                self.logger.print_recent_stats(t_env)
            if config.save_model and (last or self._due(config.save_model_interval, before)):
                self._save()
        bar.close()
        return stats

    def evaluate(self) -> dict[str, float]:
        """Play greedily and log it -> PyMARL's statistics, without their `test_`."""
        if self.config.test_nepisode == 0 or self.not_evaluated:
            return {}
        stats = self.runner.evaluate(self.config.test_nepisode).statistics()
        self.logger.log_stats(stats, self.runner.t_env, prefix="test_")
        return stats

    def _why_not_evaluated(self, source: str) -> str:
        """Learning from data goes on without the environment; nothing else does."""
        env = env_REGISTRY[self.config.env]
        if self.config.save_replay and not env.HAS_REPLAYS:
            raise ConfigError(f"save_replay=True: env={self.config.env} has no replays")
        if source == "offline" and not self.config.test_nepisode:
            if self.config.save_replay:
                raise ConfigError("save_replay=True: nothing is played with test_nepisode=0")
            return ""
        try:
            env.check_installed(self.config.env_args)
        except NotInstalledError as error:
            if source != "offline" or self.config.save_replay:
                raise
            return f"Not evaluated: {error}"
        return ""

    def _provenance(self) -> dict[str, Any]:
        """What made the run's numbers, for its record."""
        versions = env_REGISTRY[self.config.env].versions(self.config.env_args)
        return {"software": software(versions), "data": self.runner.source}

    def _notes(self) -> list[str]:
        """What should be known before it begins."""
        notes = [*self.notes, *filter(None, [self.not_evaluated])]
        if not self.not_evaluated and self.config.test_nepisode:
            notes += self.runner.notes
        if self.start:
            notes.append(f"From {self.start}, t_env={self.runner.t_env}")
        if not self.buffer_restored:
            notes.append("It has no buffer (save_buffer): resumed with none.")
        return notes

    def _save_replay(self) -> None:
        if self.config.save_replay:
            for path in self.runner.save_replay(self.config.results / "replays" / self.token):
                self.logger.console.info(f"Replay: {path}")

    def _load(self) -> Path:
        """Take up a checkpoint: all of it to resume, the agent alone to evaluate."""
        folder = find_checkpoint(ROOT / self.config.checkpoint_path, self.config.load_step)
        learner_state, trainer_state = read_checkpoint(folder)
        self._check_same(trainer_state["config"], folder)
        load_agent(self.mac.agent, learner_state, folder)
        if self.learner is None:
            self.runner.t_env = trainer_state["runner"]["t_env"]
            return folder
        for name in self.learner.state_dict():
            if name not in learner_state:
                raise CheckpointError(f"{folder} lacks {name}.th")
        self.learner.load_state_dict(learner_state)
        self.runner.load_state_dict(trainer_state["runner"])
        if self.buffer is not None:
            self.buffer_restored = self._load_buffer(folder)
        return folder

    def _load_buffer(self, folder: Path) -> bool:
        episodes = read_buffer(folder)
        if self.buffer is not None and episodes is not None:
            self.buffer.load_state_dict(episodes)
        return episodes is not None

    def _batches(self) -> Iterator[EpisodeBatch]:
        """What the next training steps learn from: recorded episodes, or samples of live ones."""
        episodes = self.runner.run()
        if self.buffer is None:
            yield episodes
            return
        self.buffer.insert(episodes)
        if len(self.buffer) >= self.config.batch_size:
            for _ in range(self.config.train_steps_per_run):
                yield self.buffer.sample(self.config.batch_size)

    def _due(self, interval: int, before: int) -> bool:
        """Whether t_env has passed a multiple of `interval` since `before`."""
        return self.runner.t_env // interval > before // interval

    def _save(self) -> None:
        assert self.learner is not None
        t_env = self.runner.t_env
        keep_buffer = self.config.save_buffer and (
            t_env >= self.config.t_max
            or self._due(self.config.save_buffer_interval, self.buffer_saved)
        )
        if keep_buffer:
            self.buffer_saved = t_env
        save_checkpoint(
            self.models_dir,
            t_env,
            self.learner.state_dict(),
            {"runner": self.runner.state_dict(), "config": self.settings.values},
            self.logger.metrics_path,
            self.buffer.state_dict() if self.buffer is not None and keep_buffer else None,
        )

    def _check_same(self, theirs: dict[str, Any], folder: Path) -> None:
        """The same experiment must go on, or for an evaluation at least the same game."""
        ours, theirs = self._flat(self.settings.values), self._flat(theirs)
        game = ["env", *sorted(k for k in ours | theirs if k.startswith("env_args."))]
        rest = [] if self.config.evaluate else sorted(ours.keys() - FREE_TO_CHANGE - {*game})
        for key in [*game, *(["name"] if rest else []), *rest]:
            if theirs.get(key) != ours.get(key):
                raise CheckpointError(
                    f"{folder} was made with {key}={theirs.get(key)}, this run has "
                    f"{key}={ours.get(key)}; use the same value"
                )

    def _flat(self, values: dict[str, Any]) -> dict[str, Any]:
        """Every one of env_args a key of its own, but for those that change nothing of the game."""
        free = env_REGISTRY[self.config.env].FREE_ARGS
        args = {f"env_args.{k}": v for k, v in values["env_args"].items() if k not in free}
        return {k: v for k, v in values.items() if k != "env_args"} | args
