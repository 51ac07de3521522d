"""What `dataset.py record --sb3=SAC` does: D4RL's levels, from an agent trained here for it."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from controllers.memoryless import MemorylessController
from controllers.uniform_controller import UniformController
from data.formats import unlearnt_settings
from data.formats.d4rl import FlatEpisodes
from data.merge import copy_episodes, merge
from data.record import BehaviourPolicy, Recorder
from data.write import EpisodeWriter, Storage
from envs import REGISTRY as env_REGISTRY
from envs.gymnasium import make_task
from utils.config import RunConfig, scenario
from utils.errors import ConfigError, DataError, MissingExtraError

ALGORITHMS = ("SAC", "TD3")
LEVELS = {
    "medium": "the checkpoint nearest to a third of the way from random play to the last one",
    "expert": "the last checkpoint",
    "medium-expert": "both files together",
    "medium-replay": "every episode played until the medium checkpoint",
    "full-replay": "every episode played while learning",
}
"""D4RL's names (Fu et al. 2020) -> whose episodes a file holds."""
COLUMNS = {"observations": "obs", "actions": "actions", "rewards": "rewards"}
"""D4RL's names -> those of what the training left."""


class SB3Controller(MemorylessController):
    """A model of stable-baselines3; its chance is seeded from the recorder's."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def act(self, obs: Tensor, generator: torch.Generator | None) -> Tensor:
        """Obs (B,1,O) -> actions (B,1,A); without a generator the mode."""
        with torch.random.fork_rng(devices=[]):
            if generator is not None:
                torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
            actions, _ = self._model.predict(obs[:, 0].numpy(), deterministic=generator is None)
        return torch.from_numpy(actions).unsqueeze(1)


def record_sb3(args: argparse.Namespace) -> None:
    """Train, measure every checkpoint, write the levels' files."""
    if args.sb3 not in ALGORITHMS:
        raise ConfigError(f"--sb3={args.sb3} is not known; there are {', '.join(ALGORITHMS)}")
    levels = args.levels.split(",")
    for level in levels:
        if level not in LEVELS:
            raise ConfigError(f"--levels: {level} is not a level; there are {', '.join(LEVELS)}")
    config = unlearnt_settings(args.env_config, args.key, {"seed": args.seed}).run
    if config.env != "gymnasium":
        raise ConfigError(f"--sb3 trains in tasks of Gymnasium; {args.env_config} is none")
    if not env_REGISTRY[config.env].env_info(config.env_args).continuous:
        raise ConfigError(
            f"--sb3={args.sb3} learns continuous actions; {scenario(config.env_args)} has discrete "
            "ones"
        )
    run = _train(args, config)
    with closing(Recorder(config, 0.0, args.seed)) as recorder:
        policies = _measured(recorder, config, run)
        random, expert = policies[0].facts["return_mean"], policies[-1].facts["return_mean"]
        third = random + (expert - random) / 3
        medium = min(policies[1:], key=lambda p: abs(p.facts["return_mean"] - third))
        out = args.out or config.dataset_path.parent
        levelled = _Levels(args, recorder, out, medium, policies[-1], run)
        for level in levels:
            sys.stdout.write(f"wrote {levelled.write(level)}\n")


class _Levels:
    """Writes the files, those that others are made of first."""

    def __init__(
        self,
        args: argparse.Namespace,
        recorder: Recorder,
        out: Path,
        medium: BehaviourPolicy,
        expert: BehaviourPolicy,
        run: Path,
    ) -> None:
        self._args, self._recorder, self._out, self._run = args, recorder, out, run
        self._chosen = {"medium": medium, "expert": expert}
        self._written: dict[str, Path] = {}

    def write(self, level: str) -> Path:
        """Write a level's file, unless this call has written it already."""
        if level in self._written:
            return self._written[level]
        path = self._out / f"{level}.h5"
        storage, recorder = self._args.storage, self._recorder
        if level == "medium-expert":
            merge([self.write("medium"), self.write("expert")], path, storage)
        elif level in self._chosen:
            policy, stream = self._chosen[level], list(self._chosen).index(level)
            recorder.record([policy], self._args.episodes, path, level, storage, stream)
        else:
            until = self._chosen["medium" if level == "medium-replay" else "expert"]
            _write_replay(recorder, self._run, until.facts, path, storage)
        self._written[level] = path
        return path


def _train(args: argparse.Namespace, config: RunConfig) -> Path:
    """Train, unless it is done -> the folder of the checkpoints."""
    steps = args.steps or 1_000_000
    every = args.save_every or max(1, steps // 25)
    limit = env_REGISTRY[config.env].env_info(config.env_args).episode_limit
    if steps % every or steps == every:
        raise ConfigError(f"--steps={steps} must be --save-every={every} two or more times")
    if steps < limit:
        raise ConfigError(f"--steps={steps} is less than the {limit} steps of an episode")
    try:
        from data import train_sb3
    except ImportError as error:
        raise MissingExtraError("--sb3", "dev") from error
    key = scenario(config.env_args)
    results = args.results or config.results
    folder = results / "sb3" / key / f"{args.sb3}_{args.seed}_{steps}_{every}"
    train_sb3.train(args.sb3, make_task(key), steps, every, args.seed, folder)
    return folder


def _measured(recorder: Recorder, config: RunConfig, run: Path) -> list[BehaviourPolicy]:
    """Random play, then every checkpoint, with what they bring."""
    from data import train_sb3

    random = UniformController(recorder.info)
    policies = [BehaviourPolicy(random, config, {"algorithm": "random", "t_env": 0})]
    name, seed = run.name.split("_")[:2]
    for path in train_sb3.checkpoints(run):
        facts = {"algorithm": name, "seed": int(seed), "t_env": int(path.stem)}
        policies.append(BehaviourPolicy(SB3Controller(train_sb3.load(path)), config, facts))
    return recorder.measure_all(policies, config.batch_size_run)


def _write_replay(
    recorder: Recorder, run: Path, until: dict[str, Any], path: Path, storage: Storage
) -> None:
    """The episodes that ended within the first `until["t_env"]` steps of the training."""
    from data import train_sb3

    with np.load(run / train_sb3.REPLAY) as saved:
        lengths, terminated = saved["lengths"], saved["terminated"]
        count = int((lengths.cumsum() <= until["t_env"]).sum())
        ends = (lengths + 1).cumsum()[:count] - 1
        rows = slice(0, ends[-1] + 1 if count else 0)
        arrays = {k: saved[v][rows] for k, v in COLUMNS.items()}
    if count == 0:
        raise DataError(
            f"{path}: no episode had ended when the checkpoint of step {until['t_env']} was made; "
            "train for more --steps"
        )
    for name, which in (("terminals", terminated[:count]), ("timeouts", ~terminated[:count])):
        arrays[name] = np.isin(np.arange(rows.stop), ends[which])
    policy = {k: until[k] for k in ("algorithm", "seed", "t_env")} | {"while": "learning"}
    metadata = recorder.metadata(path.stem, [policy])
    data = FlatEpisodes(path, arrays, metadata, spare_rows=True)
    data.episodes["seed"][:] = until["seed"]
    data.episodes["slot"][:] = np.arange(count)
    with EpisodeWriter(path, metadata, storage) as writer:
        copy_episodes(writer, data)
