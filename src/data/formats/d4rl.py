"""D4RL's layout: observations, actions, rewards, terminals and timeouts in long arrays (HDF5).

There is one row for a step, so an episode that is cut (a time-out, or the end of the file) has no
observation behind its last step: that row only supplies the observation and action that follow the
step before it. After a true end nothing is needed, and every step is kept. `next_observations` are
not read: they would bring one step more of a cut episode, but not the action that follows it.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from data.attributes import attributes_of
from data.formats.base import Format, Source
from data.formats.flat import Ends, LongEpisodes, check_whose, of_one_policy
from data.open import hdf5_root, open_file
from data.read import Episodes
from data.rows import MappedFile, holds_numbers, rows_of
from data.schema import METADATA, Metadata
from envs.base import EnvInfo
from utils.config import scenario
from utils.errors import DataError

ARRAYS = ("observations", "actions", "rewards", "terminals")


class D4RL(Format):
    """One agent's steps in long arrays; the task is not in the file, unless we wrote it."""

    what = "D4RL's HDF5"
    env_config = "d4rl"

    def recognises(self, name: str) -> bool:
        """An HDF5 file with any of D4RL's arrays at its root, and not another's."""
        members, attributes = hdf5_root(name)
        return "format" not in attributes and bool(members & {*ARRAYS})

    def takes(self, target: str) -> bool:
        """FILE.hdf5."""
        return target.endswith(".hdf5")

    def read(self, source: Source) -> FlatEpisodes:
        """Recordings of the source's task, whose environment tells what the file does not."""
        from envs import REGISTRY as env_REGISTRY

        path = source.path
        with open_file(path):
            own = _own_metadata(path)
        if own:
            check_whose(path, own, source.env, source.env_args)
            metadata = of_one_policy(own)
        elif not source.scenario:
            raise DataError(f"{path} is a D4RL file; name its task, such as --key=HalfCheetah-v5")
        else:
            info = env_REGISTRY[source.env].env_info(dict(source.env_args))
            metadata = source.metadata(info, path.stem, format="D4RL", file=path.name)
        with open_file(path) as file:
            arrays, mapped = _read_arrays(file, source, metadata.info.episode_limit)
            if "timeouts" not in file:
                note = {"timeouts": "not in the file; cut at the task's time limit"}
                metadata = replace(metadata, made_with=metadata.made_with | note)
        return FlatEpisodes(path, arrays, metadata, mapped=mapped)

    def write(self, data: Episodes, target: str) -> list[str]:
        """A new FILE.hdf5."""
        from data.formats.d4rl_write import write_d4rl

        return write_d4rl(data, Path(target))

    def key_of(self, name: str) -> str:
        """What a file that we wrote says."""
        with open_file(Path(name)):
            own = _own_metadata(Path(name))
        return scenario(own.env_args) if own else ""


def _own_metadata(path: Path) -> Metadata | None:
    """Where the episodes come from, if this project wrote the file."""
    attributes = attributes_of(path, METADATA, "metadata")
    return Metadata.from_attributes(attributes) if "env_info" in attributes else None


class FlatEpisodes(LongEpisodes):
    """One agent's episodes from flat arrays; nothing of them is copied."""

    def __init__(
        self,
        path: Path,
        arrays: dict[str, np.ndarray],
        metadata: Metadata,
        spare_rows: bool = False,
        mapped: MappedFile | None = None,
    ) -> None:
        """arrays: observations (M,O), actions (M,A), rewards (M,), terminals and timeouts (M,).

        With `spare_rows` a true end is marked at a row more, which has the last observation.
        """
        _check_arrays(path, arrays, metadata)
        ends = _ends(path, arrays, spare_rows)
        steps = _views(arrays, metadata.info)
        super().__init__(path, steps, ends, metadata, _fingerprint(arrays), mapped)


def _views(arrays: dict[str, np.ndarray], info: EnvInfo) -> dict[str, np.ndarray]:
    """Every field of a row, the one agent's dimension put in."""
    rows, actions = len(arrays["rewards"]), arrays["actions"]
    return {
        "obs": arrays["observations"].reshape(rows, 1, -1),
        "state": arrays["observations"][:, : info.state_shape],
        "avail_actions": np.broadcast_to(True, (rows, 1, 0 if info.continuous else info.n_actions)),
        "actions": actions.reshape(rows, 1, -1) if info.continuous else actions.reshape(rows, 1),
        "rewards": arrays["rewards"],
    }


def _read_arrays(file: h5py.File, source: Source, limit: int) -> tuple[dict[str, Any], MappedFile]:
    path, mapped = source.path, MappedFile(source.path)
    missing = [name for name in ARRAYS if name not in file]
    if missing:
        raise DataError(
            f"{path} lacks {', '.join(missing)}; a D4RL file has {', '.join(ARRAYS)} and timeouts"
        )
    names = [*ARRAYS, *(["timeouts"] if "timeouts" in file else [])]
    found = {name: _rows_of(file, name, path, mapped) for name in names}
    if "timeouts" not in file:
        found["timeouts"] = _time_limits(found["terminals"], limit)
    return found, mapped


def _time_limits(terminals: np.ndarray, limit: int) -> np.ndarray:
    """(M,) bool: where an episode of a file without `timeouts` meets the limit, as D4RL cuts it."""
    rows = np.arange(len(terminals))
    starts = np.concatenate([[0], np.flatnonzero(terminals) + 1])
    steps = rows - starts[np.searchsorted(starts, rows, side="right") - 1]
    return (steps % limit == limit - 1) & ~terminals.astype(bool)


def _rows_of(file: h5py.File, name: str, path: Path, mapped: MappedFile) -> Any:
    """An array of numbers with rows; one that should have a single column has it taken out."""
    values = file[name]
    if not isinstance(values, h5py.Dataset) or not values.shape:
        raise DataError(f"{path}: {name} is no array with rows")
    if not holds_numbers(values.dtype):
        raise DataError(f"{path}: {name} holds {values.dtype}, not numbers of up to 64 bits")
    read = rows_of(values, path, mapped)
    single = name in ("rewards", "terminals", "timeouts") and read.shape[1:] == (1,)
    return read[:, 0] if single else read


def _check_arrays(path: Path, arrays: dict[str, np.ndarray], metadata: Metadata) -> None:
    lengths = {name: values.shape[0] for name, values in arrays.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} {n}" for name, n in lengths.items())
        raise DataError(f"{path} is ragged, its arrays have different numbers of rows: {found}")
    info, rows = metadata.info, lengths["rewards"]
    columns: dict[str, tuple[int, ...]] = {
        "observations": (info.obs_shape,), "actions": (info.n_actions,),
        "rewards": (), "terminals": (), "timeouts": (),
    }  # fmt: skip
    if not info.continuous:
        columns["actions"] = ()
        if arrays["actions"].dtype.kind not in "iu":
            raise DataError(f"{path}: actions are {arrays['actions'].dtype}, not whole numbers")
    for name, column in columns.items():
        if arrays[name].shape != (rows, *column):
            task = scenario(metadata.env_args) or metadata.env
            raise DataError(
                f"{path}: {name} has the shape {arrays[name].shape}, {task} needs {(rows, *column)}"
            )
    for name in ("terminals", "timeouts"):
        if not ((arrays[name] == 0) | (arrays[name] == 1)).all():
            raise DataError(f"{path}: {name} has values other than 0 and 1")


def _ends(path: Path, arrays: dict[str, np.ndarray], spare_rows: bool) -> Ends:
    """Where the episodes begin and end; the last one may be cut by the end of the file."""
    terminals = arrays["terminals"].astype(bool)
    last = np.flatnonzero(terminals | arrays["timeouts"].astype(bool))
    if len(last) == 0:
        raise DataError(
            f"{path} has no terminal and no timeout anywhere: where its episodes end is not "
            "known; add timeouts at the time limit"
        )
    if last[-1] != len(terminals) - 1:
        last = np.append(last, len(terminals) - 1)
    first = np.concatenate([[0], last[:-1] + 1])
    terminated = terminals[last]
    whole = terminated & (not spare_rows)
    return Ends(first, last, terminated, whole, _returns(arrays["rewards"], first, last, whole))


def _returns(
    rewards: np.ndarray, first: np.ndarray, last: np.ndarray, whole: np.ndarray
) -> np.ndarray:
    """(episodes,) float32: the sum of the rewards; the last row's is one where it is `whole`."""
    sums = np.add.reduceat(rewards, first, dtype=np.float64)
    with np.errstate(over="ignore"):  # found when the rows are checked
        return (sums - np.where(whole, 0.0, rewards[last])).astype(np.float32)


def _fingerprint(arrays: dict[str, Any]) -> str:
    """sha256 of shapes, rewards, ends and about a thousand rows of the rest: it tells data sets
    apart without reading all of them.
    """
    digest = hashlib.sha256(str({k: (v.shape, str(v.dtype)) for k, v in arrays.items()}).encode())
    for values in arrays.values():
        every = max(1, len(values) // 1000) if values.ndim > 1 else 1
        digest.update(np.ascontiguousarray(values[::every]).tobytes())
    return digest.hexdigest()
