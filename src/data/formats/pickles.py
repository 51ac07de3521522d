"""OMIGA's and MADT's StarCraft data: a folder of pickles, one for each episode; read only.

A pickle is a list over agents of lists over steps of [state, obs, [action], [reward], done,
available]. To open one is to run what it says, so it takes --trust-pickle. Nothing stands behind an
episode's last step: after a true end none is needed, of an episode that is cut the last step only
supplies what follows the one before.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from data.formats.base import Format, Source
from data.formats.padded import figures, named, require_scenario
from data.formats.pymarl_h5 import map_of
from data.read import Block, Episodes
from data.schema import STEPS
from envs.base import EnvInfo
from utils.errors import DataError

OLD_TORCH = 0x1950A86A20F9469CFC6C  # what torch.save wrote first, before PyTorch 1.6
KEPT = 64  # episodes that stay in memory; copying takes as many at once


class Omiga(Format):
    """A folder of pickles, or one of them."""

    what = "OMIGA's and MADT's pickles"

    def recognises(self, name: str) -> bool:
        """By the first bytes of the first file; nothing is unpickled."""
        files = _files(Path(name))
        return bool(files) and _looks_pickled(files[0])

    def read(self, source: Source) -> Episodes:
        """The episodes, loaded as they are asked for; DataError where that is not allowed."""
        path = source.path
        if not source.trust_pickle:
            raise DataError(
                f"{path} holds pickles, and opening a pickle runs whatever code is in it; if you "
                "trust who made them, convert them with --trust-pickle"
            )
        require_scenario(path, source)
        if not _files(path):
            raise DataError(
                f"{path} holds no files; OMIGA's and MADT's data is a folder of pickles"
            )
        return PickledEpisodes(path, source)

    def key_of(self, name: str) -> str:
        """The SMAC map that the folder's name, or the one's above it, begins with."""
        path = Path(name).resolve()
        return map_of(path.name) or map_of(path.parent.name)


class _Episode(NamedTuple):
    """One pickle: arrays over its steps, and how it ends."""

    columns: dict[str, np.ndarray]
    terminated: bool
    one_state: bool  # whether all agents have the same
    sha256: str


class PickledEpisodes(Episodes):
    """Every file was looked at once; its rows are loaded again when they are asked for."""

    derived = True

    def __init__(self, path: Path, source: Source) -> None:
        self.path, self._kept = path, dict[int, _Episode]()
        self._paths, rows, first, facts = _look_at_all(path)
        terminated = np.array([f[0] for f in facts])
        self.episodes = figures(rows - ~terminated, np.array([f[1] for f in facts]), terminated)
        agents, obs = first["obs"].shape[1:]
        longest = int(self.episodes["length"].max())
        info = EnvInfo(
            agents, first["avail_actions"].shape[-1], obs, first["state"].shape[-1], longest
        )
        made = self._made_with(path, facts)
        self.metadata = source.metadata(named(info, source), path.stem, **made)
        starts = np.cumsum(rows) - rows
        self._place(starts, starts + rows - 1)
        self.steps = {name: PickledRows(self, name, first[name]) for name in STEPS}
        self.sha256 = hashlib.sha256("".join(f[3] for f in facts).encode()).hexdigest()

    def _made_with(self, path: Path, facts: list[tuple[bool, float, bool, str]]) -> dict[str, Any]:
        made: dict[str, Any] = {
            "format": Omiga.what, "file": path.name, "battle_won": "unknown",
            "episode_limit": "the longest episode", "ends": "may be time limits",
        }  # fmt: skip
        if not all(f[2] for f in facts):
            made["state"] = "agent 0's; the other agents' views of it are not converted"
        left_out = len(_files(path)) - len(facts)
        return made | ({"left_out": f"{left_out} cut after one step"} if left_out else {})

    def episode(self, i: int) -> dict[str, np.ndarray]:
        """The fields of episode i; the latest KEPT stay in memory."""
        if i not in self._kept:
            if len(self._kept) >= KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[i] = _load(self._paths[i])
        return self._kept[i].columns

    def blocks(self, names: tuple[str, ...] = STEPS) -> Iterator[Block]:
        """As of all episodes, but so many at a time that each is loaded once."""
        for start in range(0, len(self), KEPT):
            stop = min(start + KEPT, len(self))
            rows = slice(int(self.first_rows[start]), int(self.last_rows[stop - 1]) + 1)
            columns = {name: self.steps[name][rows] for name in names}
            yield Block(rows.start, columns, np.ones(rows.stop - rows.start, dtype=bool))


class PickledRows:
    """One field of all episodes; asking for rows loads the episodes that they are of."""

    def __init__(self, data: PickledEpisodes, name: str, like: np.ndarray) -> None:
        self._data, self._name = data, name
        self.dtype = like.dtype
        self.shape = (int(data.last_rows[-1]) + 1, *like.shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any, /) -> np.ndarray:
        if isinstance(index, slice):
            index = np.arange(*index.indices(len(self)))
        index = np.asarray(index)
        first = self._data.first_rows
        episode_of = np.searchsorted(first, index, side="right") - 1
        rows = np.empty((*index.shape, *self.shape[1:]), self.dtype)
        for i in np.unique(episode_of):
            here = episode_of == i
            rows[here] = self._data.episode(int(i))[self._name][index[here] - first[i]]
        return rows


def _look_at_all(
    path: Path,
) -> tuple[list[Path], np.ndarray, dict[str, np.ndarray], list[tuple[bool, float, bool, str]]]:
    """(files, rows of each, an episode, (terminated, return, one state, sha256) of each)."""
    paths, rows, facts = [], [], []
    first: tuple[Path, dict[str, np.ndarray]] | None = None
    for file in _files(path):
        episode = _load(file)
        first = first or (file, episode.columns)
        _check_alike(file, episode.columns, *first)
        rewards, steps = episode.columns["rewards"], len(episode.columns["rewards"])
        if steps == 1 and not episode.terminated:
            continue
        played = rewards if episode.terminated else rewards[:-1]
        paths.append(file)
        rows.append(steps)
        value = float(played.sum(dtype=np.float64))
        facts.append((episode.terminated, value, episode.one_state, episode.sha256))
    if not paths or first is None:
        raise DataError(f"{path} holds no transition: every episode in it is cut after one step")
    return paths, np.array(rows), first[1], facts


def _check_alike(
    path: Path, ours: dict[str, np.ndarray], first: Path, theirs: dict[str, np.ndarray]
) -> None:
    for name, values in ours.items():
        if values.shape[1:] != theirs[name].shape[1:]:
            raise DataError(
                f"{path}: {name} of a step has the shape {values.shape[1:]}, in {first} "
                f"{theirs[name].shape[1:]}"
            )


def _load(path: Path) -> _Episode:
    content = path.read_bytes()
    try:
        value = _unpickled(content)
    except Exception as error:  # a pickle may raise anything
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{path} cannot be opened as a pickle ({reason})") from error
    try:
        return _as_arrays(value, path, hashlib.sha256(content).hexdigest())
    except (TypeError, ValueError, IndexError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"{path} is no list over agents of lists over steps of [state, obs, action, reward, "
            f"done, available] ({reason})"
        ) from error


def _unpickled(content: bytes) -> Any:
    """What torch.save or pickle wrote; this runs what the pickle says."""
    if not zipfile.is_zipfile(io.BytesIO(content)):
        value = pickle.loads(content)
        if type(value) is not int or value != OLD_TORCH:
            return value
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=False)


def _as_arrays(value: Any, path: Path, sha256: str) -> _Episode:
    """Arrays (T, agents, ...) of the lists, and how the episode ends."""
    lengths = [len(steps) for steps in value]
    if not lengths or len(set(lengths)) > 1 or lengths[0] == 0:
        raise DataError(f"{path}: its agents have {lengths} steps; every agent needs as many")

    def column(place: int, dtype: Any) -> np.ndarray:
        per_agent = [[np.asarray(step[place]) for step in steps] for steps in value]
        return np.array(per_agent).astype(dtype).swapaxes(0, 1)

    states, steps = column(0, np.float32), lengths[0]
    rewards = column(3, np.float32).reshape(steps, len(lengths))
    done = column(4, np.bool_).reshape(steps, -1)
    avail, actions = column(5, np.float64), column(2, np.float64).reshape(steps, len(lengths))
    _require((rewards == rewards[:, :1]) | np.isnan(rewards), path, "agents' rewards differ")
    _require((avail == 0) | (avail == 1), path, "what is available is neither 0 nor 1")
    _require(actions == np.floor(actions), path, "an action is no whole number")
    over: Any = done.all(1)
    _require(~over[:-1], path, "all agents are done, and the episode goes on")
    columns = {
        "obs": column(1, np.float32), "state": states[:, 0], "avail_actions": avail.astype(bool),
        "actions": actions.astype(np.int64), "rewards": rewards[:, 0],
    }  # fmt: skip
    if [v.ndim for v in columns.values()] != [3, 2, 3, 2, 1]:
        raise ValueError("states, obs or what is available are no lists of numbers")
    same = bool(np.array_equal(states, np.broadcast_to(states[:, :1], states.shape)))
    return _Episode(columns, bool(over[-1]), same, sha256)


def _require(good: np.ndarray, path: Path, problem: str) -> None:
    steps: Any = good.all(tuple(range(1, good.ndim)))
    if not steps.all():
        raise DataError(f"{path}: step {int(np.argmin(steps))}: {problem}")


def _files(path: Path) -> list[Path]:
    """The files of a folder in the order of the numbers in their names, or the file itself."""
    if not path.is_dir():
        return [path] if path.is_file() else []
    found = [p for p in path.iterdir() if p.is_file() and not p.name.startswith(".")]
    return sorted(found, key=lambda p: [int(w) if w.isdecimal() else w for w in _words(p.name)])


def _words(name: str) -> list[str]:
    """Text and numbers by turns, so that names can be compared."""
    return re.split(r"(\d+)", name)


def _looks_pickled(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(4)
        if head == b"PK\x03\x04":
            with zipfile.ZipFile(path) as archive:
                return any(name.endswith("data.pkl") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False
    return len(head) > 1 and head[0] == 0x80 and 2 <= head[1] <= 5
