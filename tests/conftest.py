"""What many tests need: recorded episodes of the two-step game, made by the real recorder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from databases import server
from programs import programs
from starcraft import fault, sc2

import dataset
import main

__all__ = ["fault", "programs", "sc2", "server"]

torch.set_num_threads(1)


TINY = [
    "t_max=256", "save_model_interval=64", "batch_size_run=16", "batch_size=8", "test_nepisode=16",
    "test_interval=256", "log_interval=256", "rnn_hidden_dim=8",
]  # fmt: skip


@pytest.fixture(scope="session")
def two_step_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 episodes of random play, contiguous (memory-mapped)."""
    folder = tmp_path_factory.mktemp("two_step")
    argv = ["record", "--env-config=two_step", "--episodes=200", f"--out={folder}"]
    assert dataset.main(argv) == 0
    return folder / "random.h5"


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two online runs of different seeds, with at least four checkpoints each."""
    results = tmp_path_factory.mktemp("runs")
    for seed in (1, 2):
        words = ["--config=qmix", "--env-config=two_step", f"--id=qmix_{seed}", "with", *TINY]
        assert main.main([*words, f"seed={seed}", f"local_results_path={results}"]) == 0
    folders = [results / "models" / f"qmix_{seed}" for seed in (1, 2)]
    assert all(len([p for p in f.iterdir() if p.name.isdigit()]) >= 4 for f in folders)
    return [str(folder) for folder in folders]
