"""The HDF5 files of PyMARL's family: the official ICQ's, offpymarl's folders, CFCQL's.

All hold the padded arrays of PyMARL's EpisodeBatch and not a word of where they are from, so map
and quality are read from their names.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from data.disk import require_space
from data.formats.base import Format, Source
from data.formats.padded import PaddedEpisodes
from data.formats.padded_scan import KEYS
from data.formats.padded_write import Layout, padded_bytes, write_padded
from data.formats.whole import whole_or_nothing
from data.open import hdf5_root
from data.read import Episodes
from utils.errors import DataError

LOST = [
    "which battles were won", "which policy played what, seeds and slots",
    "environment, provenance and licence",
]  # fmt: skip
PART = re.compile(r"part_(\d+)\.h5")
MOST = 2000  # episodes of a part; offpymarl's max_size
QUALITIES = frozenset(
    {"random", "poor", "medium", "good", "expert", "final", "medium-replay", "expert-replay",
     "full-replay"}
)  # fmt: skip
"""Names of folders of episodes in offpymarl, and in Table 3 of the paper."""

MAPS = frozenset({
    "3m", "8m", "25m", "2s3z", "3s5z", "MMM", "5m_vs_6m", "8m_vs_9m", "10m_vs_11m", "27m_vs_30m",
    "3s5z_vs_3s6z", "MMM2", "2m_vs_1z", "2s_vs_1sc", "3s_vs_3z", "3s_vs_4z", "3s_vs_5z",
    "6h_vs_8z", "corridor", "bane_vs_bane", "so_many_baneling", "2c_vs_64zg", "1c3s5z",
})  # fmt: skip
"""SMAC's maps."""


class _PyMARL(Format):
    """What the three share: the arrays, and that they are of discrete actions."""

    layout: ClassVar[Layout]

    def read(self, source: Source) -> Episodes:
        """The episodes; memory-mapped where the file is contiguous."""
        quality = quality_of(source.path, source.scenario)
        facts: dict[str, Any] = {"format": self.what, "file": source.path.name}
        return PaddedEpisodes(source.path, [source.path], source, quality, facts)

    def write(self, data: Episodes, target: str) -> list[str]:
        """A new file, padded to the time limit."""
        self._check_writable(data, target)
        with whole_or_nothing(target) as path:
            require_space(Path(target), padded_bytes(data, self.layout))
            write_padded(data, path, self.layout)
        return list(LOST)

    def key_of(self, name: str) -> str:
        """The SMAC map that the file's name begins with."""
        return map_of(Path(name).stem)

    def recognises(self, name: str) -> bool:
        """An HDF5 file with most of PyMARL's arrays, and with what tells this program's."""
        members, attributes = hdf5_root(name)
        ours = len(members & {*KEYS}) > len(KEYS) // 2 and "format" not in attributes
        return ours and self._is_own(members)

    @abstractmethod
    def _is_own(self, members: frozenset[str]) -> bool: ...

    def _check_writable(self, data: Episodes, target: str) -> None:
        if data.info.continuous:
            raise DataError(
                f"{target}: {self.what} is of discrete actions, {data.path} has continuous ones"
            )
        longest, limit = int(data.episodes["length"].max()), data.info.episode_limit
        if longest > limit:
            raise DataError(f"{data.path} has an episode of {longest} steps, its limit is {limit}")


class ICQ(_PyMARL):
    """`<map>.h5`, with one-hot actions."""

    what = "the official ICQ's HDF5"
    layout = Layout()

    def _is_own(self, members: frozenset[str]) -> bool:
        return "actions_onehot" in members and "probs" not in members


class CFCQL(_PyMARL):
    """`<map>_<suffix>.h5`, without one-hot actions; `probs` is filled in with zeros on loading."""

    what = "CFCQL's HDF5"
    layout = Layout(onehot=False, resizable=True)

    def _is_own(self, members: frozenset[str]) -> bool:
        return "actions_onehot" not in members or "probs" in members


class OffPyMARL(_PyMARL):
    """A folder `<env>/<map>/<quality>/<token>` of part_0.h5, part_1.h5, ..."""

    what = "offpymarl's folder of HDF5"
    layout = Layout(gzip=4)

    def recognises(self, name: str) -> bool:
        """A folder with such files, or with folders that have them, or one such file."""
        path = Path(name)
        if path.is_dir():
            return bool(_parts(path) or _recordings(path))
        return bool(PART.fullmatch(path.name)) and super().recognises(name)

    def _is_own(self, members: frozenset[str]) -> bool:
        return True

    def read(self, source: Source) -> Episodes:
        """All parts as one set of episodes."""
        parts = parts_of(source.path)
        folder, place = parts[0].parent, source.path
        quality = _folders(folder)[0] or folder.name
        made: dict[str, Any] = {"format": self.what, "file": place.name, "parts": len(parts)}
        if place.is_dir() and folder != place:
            made["folder"] = folder.name
        numbers = [number_of(part) for part in parts]
        if place.is_dir() and numbers != list(range(len(parts))):
            made["part_numbers"] = numbers
        return PaddedEpisodes(place, parts, source, quality, made)

    def write(self, data: Episodes, target: str) -> list[str]:
        """A new folder of parts, each of at most 2000 episodes."""
        self._check_writable(data, target)
        with whole_or_nothing(target) as folder:
            folder.mkdir()
            for part, start in enumerate(range(0, len(data), MOST)):
                stop = min(start + MOST, len(data))
                write_padded(data, folder / f"part_{part}.h5", self.layout, start, stop)
        return list(LOST)

    def key_of(self, name: str) -> str:
        """The map's folder, if it is below `sc2` or a map of SMAC."""
        path = Path(name).resolve()
        _, scenario, env = _folders(path if path.is_dir() else path.parent)
        return scenario if env == "sc2" or scenario in MAPS else ""


def map_of(stem: str) -> str:
    """The map of SMAC that a file's name is, or begins with; "" where it is none."""
    found = [name for name in MAPS if stem == name or stem.startswith(f"{name}_")]
    return max(found, key=len, default="")


def quality_of(path: Path, scenario: str) -> str:
    """What stands behind the map in a file's name: `medium` of 3m_medium.h5."""
    rest = path.stem.removeprefix(scenario).lstrip("_-") if scenario else path.stem
    return rest or "unknown"


def parts_of(path: Path) -> list[Path]:
    """The files of a recording, in their numbers' order; DataError where there are several."""
    if not path.is_dir():
        return [path]
    recordings = [] if _parts(path) else _recordings(path)
    if len(recordings) > 1:
        names = ", ".join(folder.name for folder in recordings)
        raise DataError(
            f"{path} holds {len(recordings)} recordings ({names}); choose one, such as "
            f"{recordings[-1]}, which offpymarl would take"
        )
    parts = _parts(recordings[0]) if recordings else _parts(path)
    if not parts:
        raise DataError(f"{path} holds no part_0.h5, part_1.h5, ...")
    return parts


def number_of(part: Path) -> int:
    """2 of part_2.h5; -1 of another name."""
    match = PART.fullmatch(part.name)
    return int(match[1]) if match else -1


def _parts(folder: Path) -> list[Path]:
    return sorted((p for p in folder.glob("part_*.h5") if PART.fullmatch(p.name)), key=number_of)


def _recordings(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.is_dir() and _parts(child))


def _folders(folder: Path) -> tuple[str, str, str]:
    """(quality, map, env) by the names of the folders; "" where they are not offpymarl's."""
    for quality in (folder, folder.parent):
        if quality.name in QUALITIES:
            return quality.name, quality.parent.name, quality.parent.parent.name
    return "", "", ""
