"""Mending recorded episodes: what has one right answer, into a new file."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.checks import find
from data.findings import Findings, Kind
from data.merge import copy_episodes
from data.read import Episodes, RecordedEpisodes
from data.schema import Metadata
from data.write import EpisodeWriter, Storage
from utils.errors import DataError

MENDED = {
    Kind.RETURN: "returns summed anew from the rewards ({})",
    Kind.SPARE_REWARD: "rewards at row T set to 0 ({})",
    Kind.ENDS: "episodes given the one end that they can have ({})",
    Kind.REPEATED: "repeated episodes left out, the first of each stays ({})",
    Kind.PROBABILITIES: "the behaviour probabilities left out",
}
"""What has one right answer, and what is done."""


class Fixed(NamedTuple):
    """What was mended, and what stays; a file was written where nothing stays."""

    mended: list[str]
    left: list[str]
    episodes: int = 0


def fix(data: Episodes, found: Findings, out: Path) -> Fixed:
    """Write a mended copy of `data` to `out`, a new file, unless anything in it stays wrong.

    Nothing is guessed: an end below the time limit is true where both are marked, one at the limit
    is a time limit where neither is.
    """
    _refuse_target(data, out)
    ends = _one_end(data)
    left = [kind.value for kind in Kind if kind in found.counts and kind not in MENDED]
    if (ends[0] == ends[1]).any():
        left.append(Kind.ENDS.value)
    mended = [text.format(found.counts[k]) for k, text in MENDED.items() if k in found.counts]
    if left or not mended:
        return Fixed([], left)
    source = copy.copy(data)
    source.episodes = data.episodes | {"terminated": ends[0], "truncated": ends[1]}
    kept = np.setdiff1d(np.arange(len(data)), found.repeated)
    work = out.with_name(out.name + ".mending")
    try:
        _write(work, source, kept, _metadata(data, mended))
        again = find(RecordedEpisodes(work, stream=True))
        if not again:
            work.replace(out)
    finally:
        for leftover in (work, work.with_name(work.name + ".incomplete")):
            leftover.unlink(missing_ok=True)
    left = [kind.value for kind in again.counts]
    return Fixed([] if left else mended, left, len(kept))


def _one_end(data: Episodes) -> tuple[np.ndarray, np.ndarray]:
    """(terminated, truncated) with what follows from the length, where exactly one is not set."""
    terminated, truncated = data.episodes["terminated"], data.episodes["truncated"]
    lengths, limit = data.episodes["length"], data.info.episode_limit
    both = terminated & truncated & (lengths < limit)
    neither = ~terminated & ~truncated & (lengths == limit)
    return terminated, (truncated & ~both) | neither


def _write(path: Path, source: Episodes, kept: np.ndarray, metadata: Metadata) -> None:
    storage = Storage(half=source.half)
    with EpisodeWriter(path, metadata, storage, keep=False) as writer:
        copy_episodes(writer, source, index=kept)


def _metadata(data: Episodes, mended: Sequence[str]) -> Metadata:
    """The source's, and what was done to it."""
    made_with = dict(data.metadata.made_with)
    if not isinstance(data, RecordedEpisodes):
        made_with.pop("probs", None)
    fixed = [*made_with.get("fixed", []), *mended]
    return replace(data.metadata, made_with=made_with | {"fixed": fixed, "fixed_from": data.sha256})


def _refuse_target(data: Episodes, out: Path) -> None:
    if out.resolve() == data.path.resolve():
        raise DataError(f"{out} is the file to mend; choose another name")
    if out.exists():
        raise DataError(f"{out} is there already; choose another name or delete it")
