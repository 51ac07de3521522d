"""Minari's data sets (extra `d4rl`): read from this machine or from its server, and written.

A set that this project wrote comes back as it was; another's is of one agent.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from data.formats.base import Format, Source
from data.formats.d4rl import FlatEpisodes
from data.formats.flat import check_whose
from data.formats.minari_files import load, own_metadata
from data.read import Episodes
from data.schema import MINARI
from envs.base import EnvInfo
from envs.gymnasium import make_task
from utils.config import scenario
from utils.errors import DataError


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

    def read(self, source: Source) -> Episodes:
        """The set, in memory."""
        from data.formats.minari_own import OwnEpisodes
        from envs import REGISTRY as env_REGISTRY

        dataset = load(source.name)
        own = own_metadata(source.name, dataset)
        if own:
            check_whose(source.path, own, source.env, source.env_args)
            return OwnEpisodes(source.name, dataset, own)
        info = env_REGISTRY[source.env].env_info(dict(source.env_args))
        return read_minari(source, dataset, info)

    def write(self, data: Episodes, target: str) -> list[str]:
        """A new local set, in which nothing is lost."""
        from data.formats.minari_write import write_minari

        write_minari(data, target)
        return []

    def key_of(self, name: str) -> str:
        """The task or map that the set names; DataError if it names none, or one of its own."""
        dataset = load(name)
        own = own_metadata(name, dataset)
        return scenario(own.env_args) if own else _task_of(name, dataset)


def read_minari(source: Source, dataset: Any, info: EnvInfo) -> FlatEpisodes:
    """Another's set, in memory.

    Minari keeps T+1 observations and T actions of an episode. One that is cut has no action on its
    last observation, so its last step only supplies what follows the one before, as D4RL's does.
    """
    name = source.name
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


def _task_of(name: str, dataset: Any) -> str:
    """The Gymnasium key that another's set names."""
    spec = dataset.spec.env_spec
    if spec is None:
        raise DataError(f"{name} does not name its task; say --key=KEY")
    if spec.kwargs != make_task(spec.id).unwrapped.spec.kwargs:
        raise DataError(f"{name} is of {spec.id} with settings of its own; say --key=KEY")
    return str(spec.id)


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
