"""What many tests need: recorded episodes of the two-step game, made by the real recorder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import dataset

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def two_step_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 episodes of random play, contiguous (memory-mapped)."""
    folder = tmp_path_factory.mktemp("two_step")
    argv = ["record", "--env-config=two_step", "--episodes=200", f"--out={folder}"]
    assert dataset.main(argv) == 0
    return folder / "random.h5"
