"""Converting recorded episodes from one format to another."""

from __future__ import annotations

from pathlib import Path

from data.check import check_episodes
from data.formats import format_for
from data.formats.ours import Ours
from data.merge import copy_episodes
from data.read import Episodes
from data.schema import FORMAT
from data.write import EXACT, EpisodeWriter, Storage
from utils.errors import ConfigError, DataError


def convert(data: Episodes, target: str, wanted: str = "", storage: Storage = EXACT) -> list[str]:
    """Write the episodes, once checked, as `target`, a new one -> what is lost, if anything.

    wanted: its format, where its name should not tell it.
    """
    form = format_for(target, wanted)
    if storage != EXACT and not isinstance(form, Ours):
        raise ConfigError(f"--compress and --float16 are for {FORMAT}, which {target} is not")
    _refuse_present(data, target)
    check_episodes(data)
    if not isinstance(form, Ours):
        return form.write(data, target)
    with EpisodeWriter(Path(target), data.metadata, storage, keep=False) as writer:
        copy_episodes(writer, data)
    return ["obs and state beyond half precision"] if storage.half and not data.half else []


def _refuse_present(data: Episodes, target: str) -> None:
    path, source = Path(target).resolve(), data.path.resolve()
    if path == source or path.is_relative_to(source):
        raise DataError(f"{target} is the source or in it; choose another name")
    if path.exists():
        raise DataError(f"{target} is there already; choose another name or delete it")
