"""python benchmarks/speed.py [train|play]: how long a training step takes, how fast battles run.

train: 32 episodes of the 3s_vs_3z shape (random contents, 40-80 steps long), every offline and
online learner in turn, median of many steps. play: evaluation's environment steps per second on
smax 3s_vs_3z and 2s3z with a recurrent policy, compilation left out.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from components.episode_batch import EpisodeBatch
from controllers import REGISTRY as mac_REGISTRY
from envs.base import EnvInfo
from learners import REGISTRY as le_REGISTRY
from run import resolve_device
from runners.live_runner import ParallelRunner
from utils.config import load_settings

ALGORITHMS = ("bc", "bcq", "cql", "icq", "icq_official", "vdn", "qmix")
EPISODES, SHORTEST, LONGEST = 32, 40, 80
WARM_UP, STEPS = 3, 20


def random_batch(info: EnvInfo, episodes: int) -> EpisodeBatch:
    """Episodes of random contents and random lengths; every action is available."""
    g = torch.Generator().manual_seed(0)
    lengths = torch.randint(SHORTEST, LONGEST + 1, (episodes, 1), generator=g)
    t = int(lengths.max())
    mask = torch.arange(t) < lengths
    rows, n, a = (episodes, t + 1), info.n_agents, info.n_actions
    return EpisodeBatch(
        obs=torch.rand((*rows, n, info.obs_shape), generator=g),
        state=torch.rand((*rows, info.state_shape), generator=g),
        avail_actions=torch.ones((*rows, n, a), dtype=torch.bool),
        actions=torch.randint(a, (*rows, n), generator=g),
        rewards=torch.rand((episodes, t), generator=g) * mask,
        terminated=torch.arange(t) == lengths - 1,
        truncated=torch.zeros((episodes, t), dtype=torch.bool),
        mask=mask,
    )


def seconds(step: Callable[[], object], device: torch.device) -> float:
    """Median time of one call, the device's queue emptied before and after."""
    times = []
    for i in range(WARM_UP + STEPS):
        if device.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times += [time.perf_counter() - start] * (i >= WARM_UP)
    return statistics.median(times)


def train() -> None:
    """Print the time of a training step of each algorithm, and the ratio to BC's."""
    device = resolve_device("auto")
    torch.set_num_threads(1)
    sys.stdout.write(f"{EPISODES} episodes, 3s_vs_3z shape, {device}, 1 thread\n")
    reference = 0.0
    for name in ALGORITHMS:
        settings = load_settings(name, "smax", {})
        info = ParallelRunner(settings.run, device).get_env_info()
        torch.manual_seed(1)
        mac = mac_REGISTRY[settings.run.mac](info, settings)
        learner = le_REGISTRY[settings.run.learner](mac, info, settings.learner, device)
        batch = random_batch(info, EPISODES).to(device)
        took = seconds(lambda learner=learner, batch=batch: learner.train(batch), device)
        reference = reference or took
        sys.stdout.write(f"{name:<12}{took * 1e3:8.1f} ms   x{took / reference:.2f}\n")


def play() -> None:
    """Print environment steps per second of an evaluation, every slot counted until it ends."""
    for map_name in ("3s_vs_3z", "2s3z"):
        settings = load_settings("qmix", "smax", {"env_args": {"map_name": map_name}})
        device = torch.device("cpu")
        runner = ParallelRunner(settings.run, device)
        mac = mac_REGISTRY[settings.run.mac](runner.get_env_info(), settings)
        runner.setup(mac)
        runner.evaluate(1)
        start = time.perf_counter()
        evaluation = runner.evaluate(512)
        took = time.perf_counter() - start
        rate = np.sum(evaluation.lengths) / took
        sys.stdout.write(f"{map_name:<10}{rate:8.0f} steps/s   512 episodes in {took:.1f} s\n")


if __name__ == "__main__":
    for job in sys.argv[1:] or ["train", "play"]:
        {"train": train, "play": play}[job]()
