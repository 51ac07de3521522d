"""Merging files of recorded episodes into one, piece by piece, with their provenance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from data.check import check_checksum, check_environment, check_episodes
from data.read import Episodes, RecordedEpisodes
from data.schema import Metadata
from data.write import EpisodeWriter
from utils.errors import DataError

PIECE = 64  # episodes copied at once


def merge(paths: Sequence[Path], out: Path, compress: bool) -> int:
    """Write the episodes of `paths`, in their order, to `out` -> how many they are.

    Every file is checked and must be of the same environment and licence. `policies` are those of
    the first file, then the second's, ...; `made_with` lists the files' own. The quality is the
    new file's name. One file is open at a time.
    """
    if out.resolve() in {path.resolve() for path in paths}:
        raise DataError(f"{out} is one of the files to merge; choose another --out")
    metadata = _metadata(paths, out)
    episodes, offset = 0, 0
    with EpisodeWriter(out, metadata, compress) as writer:
        for path in paths:
            source = RecordedEpisodes(path)
            copy_episodes(writer, source, offset)
            offset += len(source.metadata.policies)
            episodes += len(source)
    return episodes


def copy_episodes(writer: EpisodeWriter, source: Episodes, offset: int = 0) -> None:
    """Append all of `source`, piece by piece; its policies' numbers are moved by `offset`."""
    for start in range(0, len(source), PIECE):
        index = np.arange(start, min(start + PIECE, len(source)))
        facts = {k: source.episodes[k][index] for k in ("battle_won", "policy", "seed", "slot")}
        facts["policy"] = facts["policy"] + offset
        writer.append_with(source.read(index), facts)


def _metadata(paths: Sequence[Path], out: Path) -> Metadata:
    """The new file's, once all files have been checked."""
    found: dict[str, tuple[Path, Metadata]] = {}
    for path in paths:
        source = RecordedEpisodes(path)
        check_episodes(source)
        check_checksum(source)
        if source.sha256 in found:
            raise DataError(
                f"{path} holds the episodes of {found[source.sha256][0]}; merge it once"
            )
        first = next(iter(found.values()), (path, source.metadata))
        check_environment(source, first[1].env, first[1].env_args, first[1].info)
        if source.metadata.licence != first[1].licence:
            raise DataError(
                f"{path} has the licence {source.metadata.licence}, {first[0]} {first[1].licence}"
            )
        found[source.sha256] = path, source.metadata
    merged = [
        {"file": path.name, "quality": metadata.quality, "sha256": sha256} | metadata.made_with
        for sha256, (path, metadata) in found.items()
    ]
    every = [metadata for _, metadata in found.values()]
    return replace(
        every[0],
        quality=out.stem,
        policies=[policy for metadata in every for policy in metadata.policies],
        made_with={"merged": merged},
    )
