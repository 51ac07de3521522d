"""Small real files of our format, and faults planted in them whose checksum is then made right."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from batches import INFO, random_batch

from components.episode_batch import EpisodeBatch
from data.read import RecordedEpisodes
from data.schema import BITS, EPISODES, STEPS, Metadata
from data.write import EpisodeWriter
from envs.base import EnvInfo

Change = Callable[[Any], None]
LENGTHS = tuple(7 if i % 2 else 2 + i // 2 % 4 for i in range(40))
"""Of a sound file: true ends after 2, 3, 4, 5 steps; between them those that the limit cuts."""
FIRST = np.cumsum([0, *(length + 1 for length in LENGTHS[:-1])])
"""The row that each begins at: 0, 3, 11, 15, 23, ..."""
LAST = FIRST + np.array(LENGTHS)
NAMED = replace(INFO, action_names=("stop", "north", "south", "attack_0"))


def write_sound(
    path: Path, lengths: Sequence[int] = LENGTHS, info: EnvInfo = NAMED, seed: int = 0
) -> Path:
    """Random play of `lengths`; every second true end is won."""
    return write_batch(path, random_batch(tuple(lengths), seed, info=info), info)


def write_batch(path: Path, batch: EpisodeBatch, info: EnvInfo = NAMED) -> Path:
    """These episodes, of one policy."""
    won = np.arange(batch.batch_size) % 4 == 0
    with EpisodeWriter(path, Metadata("game", {}, info, "poor", [{"algorithm": "a"}])) as writer:
        writer.append(batch, won, policy=0, seed=1)
    return path


def write_four(path: Path, env: str, env_args: dict[str, Any], info: EnvInfo) -> Path:
    """Four episodes of 7, 3, 1 and 5 transitions: their rows begin at 0, 8, 12 and 14."""
    with EpisodeWriter(path, Metadata(env, env_args, info, "poor")) as writer:
        writer.append(random_batch(info=info), np.zeros(4, dtype=bool), policy=0, seed=1)
    return path


def plant(path: Path, *changes: Change) -> Path:
    """Change the file and give it the checksum of what it holds now."""
    with h5py.File(path, "r+") as file:
        for change in changes:
            change(file)
    return restamp(path)


def restamp(path: Path) -> Path:
    """Record the checksum of the content as it is."""
    found = RecordedEpisodes(path).digest()
    with h5py.File(path, "r+") as file:
        file.attrs["sha256"] = found
    return path


def put(name: str, at: Any, value: Any) -> Change:
    """A change of some values."""

    def change(file: Any) -> None:
        values = file[name][()]
        values[at] = value
        file[name][...] = values

    return change


def put_avail(at: Any, value: Any) -> Change:
    """A change of availability, which is stored as bits."""

    def change(file: Any) -> None:
        bits = file[f"steps/{BITS}"]
        n = INFO.n_agents * INFO.n_actions
        flags = np.unpackbits(bits[()], axis=-1, count=n).reshape(-1, INFO.n_agents, INFO.n_actions)
        flags[at] = value
        bits[...] = np.packbits(flags.reshape(len(flags), -1), axis=-1)

    return change


def sum_returns(file: Any) -> None:
    """Make the returns those of the rewards."""
    ends = np.cumsum(file["episodes/length"][()].astype(int) + 1)
    starts = np.concatenate([[0], ends[:-1]])
    file["episodes/return"][...] = np.add.reduceat(file["steps/rewards"][()], starts)


def write_raw(path: Path, name: str, at: int, value: int) -> Path:
    """Write one byte of a field past HDF5, as a fault of the disk does."""
    with h5py.File(path) as file:
        dataset: Any = file[name]
        offset = dataset.id.get_offset() + at
    with path.open("r+b") as raw:
        raw.seek(offset)
        raw.write(bytes([value]))
    return path


def as_version_1(path: Path) -> Path:
    """Rewrite the file as version 1 had it: availability as bytes, one sum over all fields."""
    data = RecordedEpisodes(path)
    steps = {name: np.array(data.steps[name][:]) for name in STEPS}
    whole = hashlib.sha256()
    for values in [*steps.values(), *(data.episodes[name] for name in EPISODES)]:
        whole.update(values.tobytes())
    with h5py.File(path, "r+") as file:
        del file[f"steps/{BITS}"]
        file["steps/avail_actions"] = steps["avail_actions"]
        file.attrs["version"] = 1
        file.attrs["sha256"] = whole.hexdigest()
    return path


def set_info(**values: Any) -> Change:
    """Other numbers of the environment."""

    def change(file: Any) -> None:
        file.attrs["env_info"] = json.dumps(json.loads(file.attrs["env_info"]) | values)

    return change


def write_cfcql(path: Path, probability: float) -> Path:
    """CFCQL's layout: padded (N, L, ...) fields, probs among them, nothing said of them."""
    batch = random_batch(tuple(LENGTHS), info=NAMED)
    n, steps = batch.mask.shape
    rows = torch.arange(steps + 1) <= batch.lengths[:, None]
    last = torch.nn.functional.pad
    fields = {
        "state": batch.state, "obs": batch.obs, "actions": batch.actions[..., None],
        "avail_actions": batch.avail_actions.int(), "filled": rows[..., None].long(),
        "probs": torch.full(batch.avail_actions.shape, probability),
        "reward": last(batch.rewards, (0, 1))[..., None],
        "terminated": last(batch.terminated, (0, 1))[..., None].byte(),
    }  # fmt: skip
    with h5py.File(path, "w") as file:
        for name, values in fields.items():
            shape = (1, *values.shape[1:])
            file.create_dataset(
                name, data=values.numpy(), maxshape=(None, *values.shape[1:]), chunks=shape
            )
    assert n == len(LENGTHS)
    return path
