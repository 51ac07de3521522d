"""The data in the repository is what its manifest and the documents say."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from data.check import check_checksum, check_episodes
from data.levels import LEVELS
from data.manifest import MANIFEST, check_manifest
from data.read import RecordedEpisodes

FILES = [MANIFEST.parent / name for name in yaml.safe_load(MANIFEST.read_text())]
MAPS = {path.parent for path in FILES if path.parent.parent.name == "smax"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_it_is_sound_and_in_the_manifest(path: Path) -> None:
    data = RecordedEpisodes(path)
    check_episodes(data)
    check_checksum(data)
    assert check_manifest(path)
    assert path.stat().st_size <= 6 * 2**20


@pytest.mark.parametrize("folder", sorted(MAPS), ids=lambda p: p.name)
def test_levels_are_table_3s_and_share_no_checkpoint(folder: Path) -> None:
    seen: set[str] = set()
    for level, (low, high) in LEVELS.items():
        policies = RecordedEpisodes(folder / f"{level}.h5").metadata.policies
        checkpoints = {policy["checkpoint"] for policy in policies}
        assert len(checkpoints) >= 4
        assert len({policy["seed"] for policy in policies}) >= 2
        assert all(low <= policy["return_mean"] <= high for policy in policies)
        assert all(policy["measured_episodes"] >= 256 for policy in policies)
        assert not checkpoints & seen
        seen |= checkpoints
