"""The short form of tests/fuzz.py: damaged files end in one line, or load unchanged."""

from __future__ import annotations

from pathlib import Path

import fuzz
import numpy as np

CASES = 160


def test_damaged_files_end_in_one_line_or_load_unchanged(tmp_path: Path) -> None:
    counts = fuzz.run_all(CASES, seed=7, jobs=1, folder=tmp_path)
    assert counts.total() == CASES
    assert not [key for key in counts if key[1] in fuzz.FAILURES]
    assert {kind for _, kind in counts} >= {"refused", "found", "same"}


def test_a_worker_that_dies_costs_one_case_and_no_other(tmp_path: Path) -> None:
    worker = fuzz.Watched(range(5), 1, tmp_path)
    worker.process.kill()
    heard: list[int] = []
    kinds: list[str] = []
    while worker.left:
        for case, _, kind, _ in worker.heard():
            heard.append(case)
            kinds.append(kind)
    assert heard == [0, 1, 2, 3, 4]
    assert kinds[0] == "crash or hang"
    assert not {*kinds[1:]} & {*fuzz.FAILURES}


def test_every_other_number_in_our_format_is_noticed(tmp_path: Path) -> None:
    """A byte of what is read is changed: none may pass as sound."""
    base = fuzz.bases(tmp_path)[0]
    content = bytearray(base.path.read_bytes())
    original = fuzz.content_of(fuzz.open_source(str(base.path)))
    damaged = tmp_path / "damaged.h5"
    rng = np.random.default_rng(0)
    for at in rng.integers(len(content), size=60):
        changed = content.copy()
        changed[at] ^= 1 << int(rng.integers(8))
        damaged.write_bytes(changed)
        try:
            data = fuzz.open_source(str(damaged))
            sound = not fuzz.find(data, 1)
        except fuzz.UserError:
            continue
        assert not sound or fuzz.content_of(data) == original, at
