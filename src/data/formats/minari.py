"""Minari's data sets (extra `d4rl`): read from this machine or from its server, and written."""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from data.formats.base import Format, Source
from data.formats.d4rl import FlatEpisodes
from data.read import Episodes
from data.schema import MINARI
from envs.base import EnvInfo
from envs.gymnasium import make_task
from utils.config import scenario
from utils.errors import DataError, MissingExtraError


class Minari(Format):
    """`minari:ID`: sets on this machine, else downloaded."""

    what = "Minari's"
    env_config = "d4rl"

    def recognises(self, name: str) -> bool:
        """By the name alone."""
        return name.startswith(MINARI)

    def takes(self, target: str) -> bool:
        """As for sources."""
        return self.recognises(target)

    def read(self, source: Source) -> FlatEpisodes:
        """The set, in memory."""
        from envs import REGISTRY as env_REGISTRY

        info = env_REGISTRY[source.env].env_info(dict(source.env_args))
        return read_minari(source, info)

    def write(self, data: Episodes, target: str) -> list[str]:
        """A new local set."""
        write_minari(data, target)
        return ["the action on the last observation", "which policy played what"]

    def key_of(self, name: str) -> str:
        """The Gymnasium task that the set names; DataError if it names none, or one of its own."""
        return task_of(name)


def read_minari(source: Source, info: EnvInfo) -> FlatEpisodes:
    """The data set `minari:ID`, in memory; what is not on this machine is downloaded.

    Minari keeps T+1 observations and T actions of an episode. One that is cut has no action on its
    last observation, so its last step only supplies what follows the one before, as D4RL's does.
    """
    name = source.name
    dataset = _load(name)
    _check_spaces(name, dataset)
    columns: dict[str, list[np.ndarray]] = {
        key: [] for key in ("observations", "actions", "rewards", "terminals", "timeouts")
    }
    for episode in dataset.iterate_episodes():
        for key, values in _rows(episode, dataset.observation_space).items():
            columns[key].append(values)
    arrays = {key: np.concatenate(parts) for key, parts in columns.items()}
    dataset_id = dataset.spec.dataset_id
    quality = name.rpartition("/")[2].removeprefix(MINARI)
    metadata = source.metadata(info, quality, format="Minari", id=dataset_id)
    metadata = replace(metadata, policies=[{"algorithm": dataset_id}])
    return FlatEpisodes(Path(name), arrays, metadata, spare_rows=True)


def task_of(name: str) -> str:
    """The Gymnasium key that a data set names; DataError if it has none, or a task of its own."""
    spec = _load(name).spec.env_spec
    if spec is None:
        raise DataError(f"{name} does not name its task; say --key=KEY")
    if spec.kwargs != make_task(spec.id).unwrapped.spec.kwargs:
        raise DataError(f"{name} is of {spec.id} with settings of its own; say --key=KEY")
    return str(spec.id)


def write_minari(data: Episodes, name: str) -> None:
    """Write the episodes as the local data set ID of `minari:ID`.

    Lost: the action on the last observation, and which policy played what.
    """
    minari = _import_minari()
    from minari.data_collector import EpisodeBuffer

    dataset_id, meta = _checked_id(name), data.metadata
    if "key" not in meta.env_args or data.info.n_agents != 1:
        raise DataError(f"{data.path} is not of one Gymnasium task; Minari keeps one agent's data")
    if dataset_id in minari.list_local_datasets():
        raise DataError(f"{name} is on this machine already; choose another name or delete it")
    task = make_task(meta.env_args["key"])
    scores = data.info.reference_scores
    facts = {
        "env": task.unwrapped.spec,
        "algorithm_name": _algorithms(data),
        "description": f"{meta.env} {scenario(meta.env_args)} {meta.quality}",
        "observation_space": task.observation_space,
        "action_space": task.action_space,
        "ref_min_score": scores and scores[0],
        "ref_max_score": scores and scores[1],
    }
    folder = Path(minari.namespace.get_dataset_path(dataset_id))
    try:
        buffers = [EpisodeBuffer(id=i, **_episode(data, i)) for i in range(len(data))]
        with _quiet():
            minari.create_dataset_from_buffers(dataset_id, buffers, **facts)
    except Exception as error:  # of every library below it; half a set would break all the others
        shutil.rmtree(folder, ignore_errors=True)
        reason = " ".join(str(error).split())
        raise DataError(f"{name} could not be written: {reason}") from error


def _load(name: str) -> Any:
    minari, dataset_id = _import_minari(), _checked_id(name)
    try:
        with _quiet():
            if dataset_id not in minari.list_local_datasets():
                minari.download_dataset(dataset_id)
            return minari.load_dataset(dataset_id)
    except Exception as error:  # of every library below it: HTTP, hub, files
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(
            f"{name} is not on this machine and could not be downloaded ({reason}); "
            "`minari list local` and `minari list remote` say what there is"
        ) from error


def _checked_id(name: str) -> str:
    _import_minari()
    from minari.dataset.minari_dataset import parse_dataset_id

    dataset_id = name.removeprefix(MINARI)
    if not re.search(r"-v\d+$", dataset_id):
        raise DataError(f"{name} has no version; write {name}-v0, say")
    try:
        parse_dataset_id(dataset_id)
    except (ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{name} is no name of a Minari set: {reason}") from error
    return dataset_id


def _check_spaces(name: str, dataset: Any) -> None:
    from gymnasium.spaces import Box, Dict, Discrete

    for what, space, kinds in (
        ("observations", dataset.observation_space, (Box, Dict)),
        ("actions", dataset.action_space, (Box, Discrete)),
    ):
        if not isinstance(space, kinds):
            found = " ".join(str(space).split())
            raise DataError(
                f"{name}: its {what} are {found}; {' or '.join(k.__name__ for k in kinds)} is "
                "needed"
            )


def _rows(episode: Any, space: Any) -> dict[str, np.ndarray]:
    """One episode in D4RL's layout; after a true end a row more, for the last observation."""
    actions, rewards = np.asarray(episode.actions), np.asarray(episode.rewards)
    terminated = bool(episode.terminations[-1])
    rows = len(rewards) + terminated
    ends = np.zeros((2, rows), dtype=bool)
    ends[0 if terminated else 1, -1] = True
    return {
        "observations": _flat(episode.observations, space)[:rows].astype(np.float32),
        "actions": np.concatenate([actions, actions[-1:]])[:rows],
        "rewards": np.append(rewards, 0.0)[:rows].astype(np.float32),
        "terminals": ends[0],
        "timeouts": ends[1],
    }


def _flat(values: Any, space: Any) -> np.ndarray:
    """(T+1,O): flattened as Gymnasium does it, a Dict in the order of its keys."""
    from gymnasium.spaces import Dict

    if isinstance(space, Dict):
        return np.concatenate([_flat(values[key], part) for key, part in space.items()], axis=1)
    values = np.asarray(values)
    return values.reshape(len(values), -1)


def _episode(data: Episodes, i: int) -> dict[str, Any]:
    length = int(data.episodes["length"][i])
    rows = np.arange(data.first_rows[i], data.first_rows[i] + length + 1)
    rows = np.minimum(rows, data.last_rows[i])
    ends = np.zeros((2, length), dtype=bool)
    ends[int(data.episodes["truncated"][i]), -1] = True
    return {
        "observations": np.asarray(data.steps["obs"][rows, 0], dtype=np.float32),
        "actions": np.asarray(data.steps["actions"][rows[:-1], 0]),
        "rewards": data.steps["rewards"][rows[:-1]].astype(float),
        "terminations": ends[0],
        "truncations": ends[1],
    }


def _algorithms(data: Episodes) -> str:
    names = dict.fromkeys(str(p.get("algorithm", "unknown")) for p in data.metadata.policies)
    return ", ".join(names)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without advice to authors and without a line for every try of the network."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def _import_minari() -> Any:
    try:
        import minari
        import minari.namespace
    except ImportError as error:
        raise MissingExtraError("Minari", "d4rl") from error
    return minari
