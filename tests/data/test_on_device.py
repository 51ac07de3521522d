"""Recorded data in a device's memory gives the batches that the file gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import dataset
import main
from components.offline_buffer import OfflineEpisodes, OfflineTransitions
from data.on_device import EpisodesOnDevice, place_data
from data.read import RecordedEpisodes
from utils.errors import ConfigError
from utils.paths import ROOT

CPU = torch.device("cpu")
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
FILES = ["two_step/random.h5", "smax/3s_vs_3z/poor.h5", "gymnasium/Pendulum-v1/medium-replay.h5"]


def assert_equal(ours: object, theirs: object) -> None:
    """Every tensor, whatever device it is on, with its type."""
    for name, tensor in vars(ours).items():
        other = vars(theirs)[name].cpu()
        assert (tensor.dtype, tensor.shape) == (other.dtype, other.shape), name
        assert torch.equal(tensor, other), name


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", FILES)
def test_the_same_batches_as_from_the_file(name: str, device: str) -> None:
    data = RecordedEpisodes(ROOT / "offline_data" / name)
    there = EpisodesOnDevice(data, torch.device(device))
    for make in (OfflineEpisodes, OfflineTransitions):
        ours, theirs = make(data, 8, seed=3), make(data, 8, seed=3, source=there)
        for _ in range(3):
            assert_equal(ours.sample(), theirs.sample())


def test_half_precision_is_kept_so_and_given_as_float32(tmp_path: Path) -> None:
    source, out = ROOT / "offline_data" / FILES[1], tmp_path / "half.h5"
    assert dataset.main(["merge", str(source), f"--out={out}", "--float16"]) == 0
    data = RecordedEpisodes(out)
    assert_equal(data.read(np.arange(4)), EpisodesOnDevice(data, CPU).read(np.arange(4)))
    assert data.row_bytes < 0.6 * RecordedEpisodes(source).row_bytes


def test_on_the_cpu_auto_reads_the_file() -> None:
    data = RecordedEpisodes(ROOT / "offline_data" / FILES[0])
    assert place_data(data, "auto", CPU) == place_data(data, "cpu", CPU) == (data, "")
    with pytest.raises(ConfigError, match="data_device=cuda goes with device=cuda"):
        place_data(data, "cuda", CPU)


def test_the_command_line_says_so_in_one_line(
    two_step_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        f"dataset={two_step_file}",
        "data_device=cuda",
        "device=cpu",
        f"local_results_path={tmp_path}",
    ]
    assert main.main(["--config=bc", "--env-config=two_step", "with", *words]) == 2
    error = capsys.readouterr().err
    assert error == "ConfigError: data_device=cuda goes with device=cuda; this run is on the CPU\n"


@pytest.mark.skipif("cuda" not in DEVICES, reason="needs a GPU")
def test_what_does_not_fit_stays_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    data = RecordedEpisodes(ROOT / "offline_data" / FILES[1])
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2**20, 2**20))
    source, line = place_data(data, "auto", torch.device("cuda"))
    assert (source, line[:28]) == (data, "The data stays on disk: 0.05")
