"""python benchmarks/size.py: memory and time of training on 0.1, 1, 10 and 20 GiB of episodes.

For each size a file of random episodes is generated (the shape of smax 5m_vs_6m: 5 agents, obs 140,
state 132, 11 actions; 20 to 101 steps long), then ICQ-MA trains on it in a process of its own: 200
iterations of 16 episodes, and the same 200 again, whose pages are then in the system's cache.
Printed are the process's largest resident memory, the seconds until the first iteration (every row
and the checksum are looked at), the median times of an iteration and of drawing its batch, and what
the official ICQ-MA loader's layout needs for the same episodes: padded to the limit, one-hot
actions, int64, all in memory.

  --gib 0.1 1       other sizes;  --float16   obs and state in half precision;  --work FOLDER
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from components.episode_batch import EpisodeBatch
from controllers import REGISTRY as mac_REGISTRY
from data.read import RecordedEpisodes
from data.schema import Metadata
from data.write import EpisodeWriter, Storage
from envs.base import EnvInfo
from envs.smax import SMAXEnv
from learners import REGISTRY as le_REGISTRY
from runners.offline_runner import OfflineRunner
from utils.config import default_env_args, load_settings
from utils.paths import ROOT

MAP, SHORTEST, PIECE, ITERATIONS = "5m_vs_6m", 20, 256, 200
GIB = 2**30
HEAD = (
    "| on disk (GiB) | episodes | resident memory (GiB) | to the first iteration (s) "
    "| iteration, cold / warm (ms) | drawing, cold / warm (ms) | official layout (GiB) |"
)


def main() -> None:
    """Generate, measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--gib", type=float, nargs="+", default=[0.1, 1, 10, 20])
    parser.add_argument("--work", type=Path, default=ROOT / "results" / "size")
    parser.add_argument("--float16", action="store_true")
    parser.add_argument("--measure", type=Path, help="a file: only train on it, print a row")
    args = parser.parse_args()
    if args.measure:
        sys.stdout.write(measure(args.measure) + "\n")
        return
    sys.stdout.write(f"{HEAD}\n|{' --- |' * 7}\n")
    sys.stdout.flush()
    for gib in args.gib:
        path = args.work / f"{gib:g}_gib.h5"
        with generated(path, gib, args.float16):
            command = [sys.executable, __file__, "--measure", str(path)]
            subprocess.run(command, check=True)


@contextlib.contextmanager
def generated(path: Path, gib: float, half: bool) -> Iterator[None]:
    """The file, which is removed afterwards."""
    env_args = default_env_args("smax") | {"map_name": MAP}
    info = SMAXEnv.env_info(env_args)
    rng = np.random.default_rng(0)
    pool = rng.random(2**24, dtype=np.float32)  # what obs and state are cut from
    size, n_bytes = 0, int(gib * GIB)
    metadata = Metadata("smax", env_args, info, "random")
    with EpisodeWriter(path, metadata, Storage(half=half)) as writer:
        row = bytes_of_row(info, half)
        while size < n_bytes:
            batch = random_batch(info, rng, pool)
            writer.append(batch, np.zeros(PIECE, dtype=bool), policy=0, seed=0)
            size += row * int(batch.lengths.sum() + PIECE)
    try:
        yield
    finally:
        path.unlink()


def bytes_of_row(info: EnvInfo, half: bool) -> int:
    """Of our format: obs and state, bits of availability, a byte for each action, the reward."""
    numbers = info.n_agents * info.obs_shape + info.state_shape
    return (
        numbers * (2 if half else 4) + -(-info.n_agents * info.n_actions // 8) + info.n_agents + 4
    )


def random_batch(info: EnvInfo, rng: np.random.Generator, pool: np.ndarray) -> EpisodeBatch:
    """PIECE episodes; each step half of the actions are available."""
    lengths = rng.integers(SHORTEST, info.episode_limit + 1, (PIECE, 1))
    t = int(lengths.max())
    mask = np.arange(t) < lengths
    rows, n, a = (PIECE, t + 1), info.n_agents, info.n_actions
    actions = rng.integers(a, size=(*rows, n))
    avail = rng.random((*rows, n, a), dtype=np.float32) < 0.5
    np.put_along_axis(avail, actions[..., None], True, -1)

    def cut(*shape: int) -> Any:
        start = rng.integers(len(pool))
        return torch.from_numpy(np.resize(np.roll(pool, -start), shape))

    ends = np.arange(t) == lengths - 1
    return EpisodeBatch(
        obs=cut(*rows, n, info.obs_shape),
        state=cut(*rows, info.state_shape),
        avail_actions=torch.from_numpy(avail),
        actions=torch.from_numpy(actions),
        rewards=torch.from_numpy(rng.random((PIECE, t), dtype=np.float32) * mask),
        terminated=torch.from_numpy(ends & (lengths < info.episode_limit)),
        truncated=torch.from_numpy(ends & (lengths == info.episode_limit)),
        mask=torch.from_numpy(mask),
    )


def measure(path: Path) -> str:
    """One row of the table."""
    words = {"dataset": str(path), "env_args": {"map_name": MAP}, "test_nepisode": 0}
    settings = load_settings("icq", "smax", words)
    torch.set_num_threads(settings.run.threads)
    start = time.perf_counter()
    runner = OfflineRunner(settings.run, torch.device("cpu"))
    info = runner.get_env_info()
    mac = mac_REGISTRY[settings.run.mac](info, settings)
    learner = le_REGISTRY[settings.run.learner](mac, info, settings.learner, torch.device("cpu"))
    ready = time.perf_counter() - start
    beginning = runner.state_dict()
    times = []
    for _ in range(2):
        runner.load_state_dict(beginning)
        times.append(run(runner, learner))
    (cold, cold_draw), (warm, warm_draw) = times
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB
    data = RecordedEpisodes(path)
    official = official_bytes(info) * len(data) / GIB
    return (
        f"| {path.stat().st_size / GIB:.2f} | {len(data):,} | {memory:.2f} | {ready:.1f} "
        f"| {cold:.1f} / {warm:.1f} | {cold_draw:.1f} / {warm_draw:.1f} | {official:.1f} |"
    )


def run(runner: OfflineRunner, learner: Any) -> tuple[float, float]:
    """(median milliseconds of an iteration, of its drawing alone)."""
    drawing, whole = [], []
    for _ in range(ITERATIONS):
        start = time.perf_counter()
        batch = runner.run()
        drawing.append(time.perf_counter() - start)
        learner.train(batch)
        whole.append(time.perf_counter() - start)
    return 1000 * statistics.median(whole), 1000 * statistics.median(drawing)


def official_bytes(info: EnvInfo) -> int:
    """Of an episode as the official loader holds it: limit + 1 rows, whatever its length.

    Numbers are float32; actions int64 and once more as one-hot float32; avail_actions int32; filled
    int64; reward float32; terminated uint8.
    """
    n, a = info.n_agents, info.n_actions
    numbers = 4 * (n * info.obs_shape + info.state_shape)
    return (info.episode_limit + 1) * (numbers + n * (8 + 4 * a + 4 * a) + 8 + 4 + 1)


if __name__ == "__main__":
    main()
