"""Data of another environment, map or setting than the run's is refused, showing both sides."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from planting import write_four

from data.check import check_environment
from data.read import RecordedEpisodes
from envs.smax import SMAXEnv
from envs.two_step import TwoStepEnv
from runners.offline_runner import OfflineRunner
from utils.config import load_settings
from utils.errors import DataError

NUMBERS_3 = "3 agents, 8 actions, obs 75, state 72, limit 101"
NUMBERS_2S3Z = "5 agents, 10 actions, obs 127, state 120, limit 101"
NUMBERS_TWO_STEP = "2 agents, 2 actions, obs 3, state 3, limit 2"


@pytest.mark.parametrize(
    ("map_name", "theirs", "ours"),
    [
        ("3m", "map_name=3m", f"map_name=3s_vs_3z ({NUMBERS_3})"),
        ("2s3z", "map_name=2s3z", f"map_name=3s_vs_3z ({NUMBERS_3})"),
    ],
)
def test_another_map(tmp_path: Path, map_name: str, theirs: str, ours: str) -> None:
    """3m and 3s_vs_3z have equal numbers: only the name tells them apart."""
    walls = {"walls_cause_death": False}
    recorded, run = {"map_name": map_name} | walls, {"map_name": "3s_vs_3z"} | walls
    path = write_four(tmp_path / "a.h5", "smax", recorded, SMAXEnv.env_info(recorded))
    data = RecordedEpisodes(path)
    check_environment(data, "smax", recorded, SMAXEnv.env_info(recorded))
    with pytest.raises(DataError) as error:
        check_environment(data, "smax", run, SMAXEnv.env_info(run))
    numbers = NUMBERS_3 if map_name == "3m" else NUMBERS_2S3Z
    assert str(error.value) == (
        f"{path} was recorded on env=smax {theirs} ({numbers}), the run is on env=smax {ours}"
    )


def test_another_setting_of_the_same_map(tmp_path: Path) -> None:
    recorded = {"map_name": "3m", "walls_cause_death": True}
    run = recorded | {"walls_cause_death": False}
    info = SMAXEnv.env_info(run)
    data = RecordedEpisodes(write_four(tmp_path / "a.h5", "smax", recorded, info))
    with pytest.raises(DataError) as error:
        check_environment(data, "smax", run, info)
    assert str(error.value) == (
        f"{data.path} was recorded on env=smax walls_cause_death=True ({NUMBERS_3}), "
        f"the run is on env=smax walls_cause_death=False ({NUMBERS_3})"
    )


def test_the_runner_refuses_another_environment(tmp_path: Path) -> None:
    path = write_four(tmp_path / "a.h5", "two_step", {}, TwoStepEnv.env_info({}))
    config = load_settings("icq", "smax", {"dataset": str(path)}).run
    with pytest.raises(DataError) as error:
        OfflineRunner(config, torch.device("cpu"))
    nothing = "map_name=nothing walls_cause_death=nothing"
    assert str(error.value) == (
        f"{path} was recorded on env=two_step {nothing} ({NUMBERS_TWO_STEP}), "
        f"the run is on env=smax map_name=3s_vs_3z walls_cause_death=False ({NUMBERS_3})"
    )
