"""Merging recorded files: nothing is lost, and what cannot be merged is one line."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from recordings import Capture, record_poor, record_random, refuse

import dataset
from data.read import RecordedEpisodes
from data.schema import EPISODES, STEPS
from utils.config import ROOT


def test_merging_keeps_every_episode_and_its_provenance(
    runs: list[str], tmp_path: Path, capsys: Capture
) -> None:
    poor, random = record_poor(runs, tmp_path), record_random(tmp_path, "--episodes=100")
    out = tmp_path / "mixed.h5"
    assert dataset.main(["merge", str(poor.path), str(random.path), f"--out={out}"]) == 0
    assert capsys.readouterr().out.endswith(f"wrote {out}: 180 episodes\n")
    merged = RecordedEpisodes(out)
    for name in STEPS:
        both = np.concatenate([poor.steps[name], random.steps[name]])
        assert np.array_equal(merged.steps[name], both), name
    for name in EPISODES:
        both = np.concatenate([poor.episodes[name], random.episodes[name]])
        if name == "policy":
            both[80:] += len(poor.metadata.policies)
        assert np.array_equal(merged.episodes[name], both), name
    assert merged.metadata.policies == poor.metadata.policies + random.metadata.policies
    assert merged.metadata.quality == "mixed"
    sources = merged.metadata.made_with["merged"]
    assert [s["sha256"] for s in sources] == [poor.sha256, random.sha256]
    assert [s["epsilon"] for s in sources] == [0.05, 1.0]
    assert dataset.main(["check", str(out)]) == 0


def test_what_cannot_be_merged_is_one_line(
    two_step_file: Path, tmp_path: Path, capsys: Capture
) -> None:
    smax = ROOT / "offline_data/smax/3s_vs_3z/poor.h5"
    out = tmp_path / "mixed.h5"
    code, message = refuse(capsys, "merge", str(two_step_file), str(smax), f"--out={out}")
    assert (code, out.exists()) == (2, False)
    assert f"{smax} was recorded on " in message
    code, message = refuse(capsys, "merge", str(two_step_file), f"--out={two_step_file}")
    assert (code, message) == (
        2, f"DataError: {two_step_file} is one of the files to merge; choose another --out"
    )  # fmt: skip
    code, message = refuse(capsys, "merge", str(two_step_file), str(two_step_file), f"--out={out}")
    assert message == (
        f"DataError: {two_step_file} holds the episodes of {two_step_file}; merge it once"
    )
    changed = tmp_path / "changed.h5"
    changed.write_bytes(two_step_file.read_bytes())
    with h5py.File(changed, "r+") as file:
        file["steps/obs"][0] += 1
    code, message = refuse(capsys, "merge", str(changed), f"--out={out}")
    assert (code, out.exists()) == (2, False)
    assert "was changed after it was written" in message
    code, message = refuse(capsys, "merge", str(two_step_file), f"--out={tmp_path / 'x.txt'}")
    assert (code, message) == (2, f"ConfigError: --out={tmp_path / 'x.txt'} must end in .h5")
