"""Converting recorded episodes: D4RL's files and Minari's sets to our format, ours to Minari."""

from __future__ import annotations

from pathlib import Path

from data.check import check_episodes
from data.formats import MINARI, open_source
from data.merge import copy_episodes
from data.write import EpisodeWriter
from utils.errors import DataError


def convert(source: str, target: str, key: str, compress: bool) -> int:
    """Write the episodes of `source`, once checked, as `target` -> how many they are.

    Each is a file or `minari:ID`; key: the Gymnasium task of a source that does not name it.
    """
    if target.startswith(MINARI):
        from data.minari_io import write_minari

        data = open_source(source, key)
        check_episodes(data)
        write_minari(data, target)
        return len(data)
    path = Path(target)
    if path.suffix != ".h5":
        raise DataError(f"{target} must end in .h5, or be minari:ID")
    if path.resolve() == Path(source).resolve():
        raise DataError(f"{target} is the source; choose another name")
    data = open_source(source, key)
    check_episodes(data)
    with EpisodeWriter(path, data.metadata, compress) as writer:
        copy_episodes(writer, data)
    return len(data)
