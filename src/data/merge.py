"""Merging files of recorded episodes into one, piece by piece, with their provenance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from data.check import check_environment
from data.read import RecordedEpisodes
from data.schema import Metadata
from data.write import EpisodeWriter
from utils.errors import DataError

PIECE = 64  # episodes held in memory at once


def merge(paths: Sequence[Path], out: Path, compress: bool) -> int:
    """Write the episodes of `paths`, in their order, to `out` -> how many they are.

    Every file must be of the same environment. `policies` are those of the first file, then the
    second's, ...; `made_with` lists the files' own. The quality is the new file's name.
    """
    sources = [RecordedEpisodes(path) for path in paths]
    first = sources[0].metadata
    for source in sources:
        check_environment(source, first.env, first.env_args, first.info)
    if out.resolve() in {path.resolve() for path in paths}:
        raise DataError(f"{out} is one of the files to merge; choose another --out")
    with EpisodeWriter(out, _metadata(sources, out), compress) as writer:
        offset = 0
        for source in sources:
            _append(writer, source, offset)
            offset += len(source.metadata.policies)
    return sum(len(source) for source in sources)


def _append(writer: EpisodeWriter, source: RecordedEpisodes, offset: int) -> None:
    for start in range(0, len(source), PIECE):
        index = np.arange(start, min(start + PIECE, len(source)))
        facts = {k: source.episodes[k][index] for k in ("battle_won", "policy", "seed", "slot")}
        facts["policy"] = facts["policy"] + offset
        writer.append_with(source.read(index), facts)


def _metadata(sources: list[RecordedEpisodes], out: Path) -> Metadata:
    merged = [
        {"file": s.path.name, "quality": s.metadata.quality, "sha256": s.sha256}
        | s.metadata.made_with
        for s in sources
    ]
    return replace(
        sources[0].metadata,
        quality=out.stem,
        policies=[policy for s in sources for policy in s.metadata.policies],
        made_with={"merged": merged},
    )
