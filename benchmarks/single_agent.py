"""Single-agent ICQ beside d3rlpy's algorithms: the same data, batch size, budget and evaluation.

python benchmarks/single_agent.py speed [--csv CSV]
    Updates per second at batch 256 on HalfCheetah's shape, in turns, so that a busy machine slows
    all of them alike; the same sizes of networks and numbers of critics, one PyTorch thread.
python benchmarks/single_agent.py train --env-config=ENV [--algorithms=AWAC,...] [--seeds=1,2,3]
    [--rates=0.001,0.02] [--out=FOLDER] with key=value ...
    d3rlpy's algorithms on the run's data, evaluated as our runs are, with their own defaults or
    with another learning rate (of policy and critic) and another tau.
    Rows for report.py are added to FOLDER/d3rlpy.csv; what is there already is not done again.

It needs: pip install --no-deps -r benchmarks/d3rlpy.txt
"""

from __future__ import annotations

import argparse
import csv
import importlib
import logging
import re
import statistics
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from components.offline_buffer import OfflineTransitions
from controllers import REGISTRY as mac_REGISTRY
from controllers.memoryless import MemorylessController
from data.formats import open_dataset
from data.formats.d4rl import FlatEpisodes
from data.read import Episodes
from data.schema import Metadata
from envs import REGISTRY as env_REGISTRY
from envs.base import EnvInfo
from learners import REGISTRY as le_REGISTRY
from main import parse_updates
from report import LAST, Row, read_csv, standard_error, write_csv
from runners.live_runner import ParallelRunner
from utils.config import RunConfig, load_settings, scenario
from utils.errors import ConfigError, exit_code_of
from utils.logging import progress_bar
from utils.paths import ROOT
from utils.records import quality

ALGORITHMS = ("AWAC", "IQL", "CQL", "TD3PlusBC")
NAMES = {name: f"d3rlpy {name.replace('Plus', '+')}" for name in ALGORITHMS}
BATCH, WIDTH, ROUNDS, UPDATES = 256, (17, 6), 7, 30
CPU = torch.device("cpu")
OURS: dict[str, dict[str, Any]] = {
    "icq_softmax": {}, "icq_softmax, two critics": {"n_critics": 2},
    "icq_vae, n=10": {"n_samples": 10}, "icq_vae, n=100": {}, "bc_continuous": {},
}  # fmt: skip


class Played(MemorylessController):
    """A policy of d3rlpy as a controller of ours."""

    def __init__(self, algorithm: Any) -> None:
        self._algorithm = algorithm

    def act(self, obs: Tensor, generator: torch.Generator | None) -> Tensor:
        """Obs (B,1,O) -> the greedy actions (B,1,A)."""
        return torch.from_numpy(self._algorithm.predict(obs[:, 0].numpy())).unsqueeze(1)


def import_d3rlpy() -> Any:
    """The library, without its warnings and its log of every step."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            d3rlpy, structlog = map(importlib.import_module, ("d3rlpy", "structlog"))
    except ImportError as error:
        raise ConfigError(
            f"d3rlpy is missing ({error}): pip install --no-deps -r benchmarks/d3rlpy.txt"
        ) from error
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    return d3rlpy


def make_theirs(
    d3rlpy: Any, name: str, gamma: float, batch_size: int, data: Any, info: EnvInfo, **keys: Any
) -> Any:
    """An algorithm with its own defaults; actions scaled from the environment's bounds."""
    scaler = d3rlpy.preprocessing.MinMaxActionScaler(
        minimum=np.array(info.action_low), maximum=np.array(info.action_high)
    )
    config = getattr(d3rlpy.algos, f"{name}Config")(
        batch_size=batch_size, gamma=gamma, action_scaler=scaler, **keys
    )
    algorithm = config.create(device="cpu")
    algorithm.build_with_dataset(data)
    return algorithm


def to_mdp(d3rlpy: Any, data: Episodes) -> Any:
    """Our episodes in d3rlpy's memory."""
    columns: dict[str, list[np.ndarray]] = {k: [] for k in ("o", "a", "r", "done", "cut")}
    for i in range(len(data)):
        rows = slice(data.first_rows[i], data.first_rows[i] + data.episodes["length"][i])
        ends = np.zeros((2, int(data.episodes["length"][i])), dtype=np.float32)
        ends[int(data.episodes["truncated"][i]), -1] = 1
        parts = (
            data.steps["obs"][rows, 0],
            data.steps["actions"][rows, 0],
            data.steps["rewards"][rows],
        )
        for name, part in zip(columns, (*parts, *ends), strict=True):
            columns[name].append(part)
    o, a, r, done, cut = (np.concatenate(parts) for parts in columns.values())
    return d3rlpy.dataset.MDPDataset(o, a, r, done, cut)


def random_data(rows: int = 20_000) -> tuple[FlatEpisodes, EnvInfo]:
    """Random transitions of HalfCheetah's shape."""
    rng, (o, a) = np.random.default_rng(0), WIDTH
    info = EnvInfo(1, a, o, 0, 1000, action_low=(-1.0,) * a, action_high=(1.0,) * a)
    arrays = {
        "observations": rng.normal(size=(rows, o)).astype(np.float32),
        "actions": rng.uniform(-0.9, 0.9, (rows, a)).astype(np.float32),
        "rewards": rng.normal(size=rows).astype(np.float32),
        "terminals": np.zeros(rows, dtype=bool),
        "timeouts": np.arange(rows) % 1000 == 999,
    }
    return FlatEpisodes(Path("random"), arrays, Metadata("random", {}, info, "random")), info


def speed(args: argparse.Namespace) -> int:
    """Print updates per second, sampling the batch included, and the ratio to AWAC's."""
    d3rlpy = import_d3rlpy()
    torch.set_num_threads(1)
    data, info = random_data()
    mdp = to_mdp(d3rlpy, data)
    steps: dict[str, Any] = {}
    for name, keys in OURS.items():
        updates = keys | ({"behaviour_steps": 1} if "vae" in name else {})
        settings = load_settings(name.split(",")[0], "d4rl", updates)
        mac = mac_REGISTRY[settings.run.mac](info, settings)
        learner = le_REGISTRY[settings.run.learner](mac, info, settings.learner, CPU)
        buffer = OfflineTransitions(data, BATCH, 0)
        steps[name] = lambda learner=learner, buffer=buffer: learner.train(buffer.sample())
    for name in ALGORITHMS:
        theirs = make_theirs(d3rlpy, name, 0.99, BATCH, mdp, info)
        steps[NAMES[name]] = lambda t=theirs: t.update(mdp.sample_transition_batch(BATCH))
    times = _rounds(steps)
    rate = {name: UPDATES / statistics.median(values) for name, values in times.items()}
    rows = [(name, f"{r:.0f}", f"{r / rate[NAMES['AWAC']]:.2f}") for name, r in rate.items()]
    sys.stdout.write("| | updates a second | of AWAC's |\n| --- | ---: | ---: |\n")
    sys.stdout.writelines(f"| {' | '.join(row)} |\n" for row in rows)
    if args.csv:
        with args.csv.open("w", newline="") as file:
            csv.writer(file).writerows([("algorithm", "updates_per_second", "of_awac"), *rows])
    return 0


def _rounds(steps: dict[str, Any]) -> dict[str, list[float]]:
    """Seconds of UPDATES updates of each, in turns; the first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            for _ in range(UPDATES):
                step()
            times[name].append(time.perf_counter() - start)
    return {name: values[1:] for name, values in times.items()}


def train(args: argparse.Namespace) -> int:
    """Run what is not yet in the CSV."""
    d3rlpy = import_d3rlpy()
    torch.set_num_threads(1)
    words = args.updates[1:] if args.updates[:1] == ["with"] else args.updates
    for name, value, pattern in (
        ("seeds", args.seeds, r"\d+(,\d+)*"), ("rates", args.rates, r"(\d*\.?\d+,\d*\.?\d+)?"),
    ):  # fmt: skip
        if not re.fullmatch(pattern, value):
            raise ConfigError(f"--{name}={value} is not understood; see --help")
    path = (ROOT / args.out) / "d3rlpy.csv"
    for name in args.algorithms.split(","):
        if name not in ALGORITHMS:
            raise ConfigError(f"--algorithms: {name} is none of {', '.join(ALGORITHMS)}")
        for seed in map(int, args.seeds.split(",")):
            config = load_settings("bc_continuous", args.env_config, parse_updates(words)).run
            config = config.model_copy(update={"seed": seed})
            rows = read_csv(path) if path.is_file() else []
            done = {(row.task, row.algorithm, row.seed, row.t_max) for row in rows}
            row = _train_one(d3rlpy, name, config, args.rates, done)
            if row is not None:
                write_csv([*(read_csv(path) if path.is_file() else []), row], path)
                sys.stdout.write(f"{row}\n")
    return 0


def _train_one(d3rlpy: Any, name: str, config: RunConfig, rates: str, done: set[Any]) -> Row | None:
    task = config.env, scenario(config.env_args), quality(config.model_dump())
    lr, tau = map(float, rates.split(",")) if rates else (0.0, 0.0)
    keys = {"actor_learning_rate": lr, "critic_learning_rate": lr, "tau": tau} if rates else {}
    label = NAMES[name] + (f" lr={lr:g} tau={tau:g}" if rates else "")
    if (task, label, config.seed, config.t_max) in done:
        return None
    if config.t_max < config.test_interval:
        raise ConfigError(f"t_max={config.t_max} is less than test_interval={config.test_interval}")
    d3rlpy.seed(config.seed)
    data, info = open_dataset(config), env_REGISTRY[config.env].env_info(config.env_args)
    mdp = to_mdp(d3rlpy, data)
    algorithm = make_theirs(d3rlpy, name, config.gamma, config.batch_size, mdp, info, **keys)
    runner = ParallelRunner(config, CPU)
    runner.setup(Played(algorithm))
    bar = progress_bar(config.t_max, 0, " updates")
    parts = []
    for t in range(1, config.t_max + 1):
        algorithm.update(mdp.sample_transition_batch(config.batch_size))
        bar.update()
        if t % config.test_interval == 0:
            parts.append(runner.evaluate(config.test_nepisode).statistics())
            bar.set_postfix(return_mean=f"{parts[-1]['return_mean']:.1f}")
    bar.close()
    runner.close_env()
    means, errors, counts = (
        np.array([part[k] for part in parts[-LAST:]])
        for k in ("return_mean", "return_se", "n_episodes")
    )
    return Row(
        *task, algorithm=label, seed=config.seed, t_max=config.t_max,
        episodes=int(counts.sum()), return_mean=float(means.mean()),
        return_se=standard_error(means, errors), battle_won_mean=0.0,
    )  # fmt: skip


def main(argv: list[str]) -> int:
    """Run the command -> exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    fast = commands.add_parser("speed")
    fast.add_argument("--csv", type=Path)
    fast.set_defaults(run=speed)
    long = commands.add_parser("train")
    long.add_argument("--env-config", required=True)
    long.add_argument("--algorithms", default=",".join(ALGORITHMS))
    long.add_argument("--seeds", default="1,2,3")
    long.add_argument("--rates", default="")
    long.add_argument("--out", default="results/d3rlpy")
    long.add_argument("updates", nargs="*")
    long.set_defaults(run=train)
    args = parser.parse_args(argv)
    return exit_code_of(lambda: args.run(args))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
