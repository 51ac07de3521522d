"""write_minari: recorded episodes as a Minari set, of one agent or of many; whole or not at all.

Minari knows one agent. Of many, an observation is a Dict {agent_0, agent_1, ..., state,
avail_actions}, an action is MultiDiscrete, or a Box of all agents' numbers. Of a Gymnasium task
everything is as Gymnasium has it. An episode's attributes have return, battle_won, policy, seed,
slot and last_action, the action on the last observation; the set's metadata has ours.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data.formats.minari_files import OWN, checked_id, import_minari, quiet
from data.read import Episodes
from envs.gymnasium import make_task
from utils.config import scenario
from utils.errors import DataError
from utils.logging import spans

PIECE = 64  # episodes in memory at once
ROOT_VARIABLE = "MINARI_DATASETS_PATH"


def write_minari(data: Episodes, name: str) -> None:
    """Write the episodes as the local set ID of `minari:ID`, piece by piece.

    It is made in a hidden folder, which Minari does not list, and moved when it is whole.
    """
    minari, dataset_id = import_minari(), checked_id(name)
    from minari.storage.datasets_root_dir import get_dataset_path

    if dataset_id in minari.list_local_datasets():
        raise DataError(f"{name} is on this machine already; choose another name or delete it")
    work = Path(tempfile.mkdtemp(prefix=".incomplete_", dir=get_dataset_path()))
    try:
        with quiet(), _root(work):
            _write(minari, data, dataset_id)
        _move(minari, work, dataset_id, get_dataset_path(dataset_id))
    except Exception as error:  # of every library below it
        reason = " ".join(str(error).split())
        raise DataError(f"{name} could not be written: {reason}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _write(minari: Any, data: Episodes, dataset_id: str) -> None:
    dataset = None
    for start, stop in spans(f"writing {dataset_id}", len(data), PIECE, " episodes"):
        index = np.arange(start, stop)
        found = [_episode(data, int(i)) for i in index]
        buffers = [_buffer(int(i), episode) for i, (episode, _) in zip(index, found, strict=True)]
        if dataset is None:
            dataset = minari.create_dataset_from_buffers(dataset_id, buffers, **_facts(data))
        else:
            dataset.update_dataset_from_buffer(buffers)
        dataset.storage.update_episode_metadata([fact for _, fact in found], index.tolist())
    assert dataset is not None
    dataset.storage.update_metadata({OWN: data.metadata.to_attributes()})


def _move(minari: Any, work: Path, dataset_id: str, target: Path) -> None:
    from minari.namespace import create_namespace, list_local_namespaces

    namespace = minari.dataset.minari_dataset.parse_dataset_id(dataset_id)[0]
    if namespace is not None and namespace not in list_local_namespaces():
        create_namespace(namespace)
    (work / dataset_id).rename(target)


def _facts(data: Episodes) -> dict[str, Any]:
    """What Minari is told of the set."""
    meta, scores = data.metadata, data.info.reference_scores
    names = dict.fromkeys(str(p.get("algorithm", "unknown")) for p in meta.policies)
    facts: dict[str, Any] = {
        "algorithm_name": ", ".join(names),
        "description": f"{meta.env} {scenario(meta.env_args)} {meta.quality}, {meta.licence}",
    }
    if not _of_gymnasium(data):
        return facts | _spaces(data)
    task = make_task(meta.env_args["key"])
    return facts | {
        "env": task.unwrapped.spec,
        "observation_space": task.observation_space,
        "action_space": task.action_space,
        "ref_min_score": scores and scores[0],
        "ref_max_score": scores and scores[1],
    }


def _of_gymnasium(data: Episodes) -> bool:
    return data.metadata.env == "gymnasium"


def _spaces(data: Episodes) -> dict[str, Any]:
    from gymnasium.spaces import Box, Dict, MultiBinary, MultiDiscrete, Space

    info, n, a = data.info, data.info.n_agents, data.info.n_actions
    seen: dict[str, Space[Any]] = {
        f"agent_{i}": Box(-np.inf, np.inf, (info.obs_shape,), np.float32) for i in range(n)
    }
    if info.state_shape:
        seen["state"] = Box(-np.inf, np.inf, (info.state_shape,), np.float32)
    if not info.continuous:
        return {
            "observation_space": Dict(seen | {"avail_actions": MultiBinary([n, a])}),
            "action_space": MultiDiscrete([a] * n),
        }
    bounds = (np.array(b, dtype=np.float32) for b in (info.action_low, info.action_high))
    low, high = (np.tile(b, (n, 1)) for b in bounds)
    return {"observation_space": Dict(seen), "action_space": Box(low, high, (n, a), np.float32)}


def _buffer(i: int, episode: dict[str, Any]) -> Any:
    from minari.data_collector import EpisodeBuffer

    return EpisodeBuffer(id=i, **episode)


def _episode(data: Episodes, i: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what Minari keeps of an episode, its attributes)."""
    facts, length = data.episodes, int(data.episodes["length"][i])
    rows = np.arange(data.first_rows[i], data.first_rows[i] + length + 1)
    rows = np.minimum(rows, data.last_rows[i])
    obs, actions = data.steps["obs"][rows], np.asarray(data.steps["actions"][rows])
    actions = actions.astype(np.float32 if data.info.continuous else np.int64)
    observations: Any = np.asarray(obs[:, 0], dtype=np.float32)
    played = actions[:-1, 0]
    if not _of_gymnasium(data):
        observations, played = _of_many(data, obs, rows), actions[:-1]
    ends = np.zeros((2, length), dtype=bool)
    ends[:, -1] = facts["terminated"][i], facts["truncated"][i]
    data.note_read(1, len(rows))
    episode = {
        "observations": observations, "actions": played,
        "rewards": np.asarray(data.steps["rewards"][rows[:-1]], dtype=float),
        "terminations": ends[0], "truncations": ends[1], "seed": int(facts["seed"][i]),
    }  # fmt: skip
    own = {name: facts[name][i] for name in ("return", "battle_won", "policy", "slot")}
    own["last_action"] = actions[-1]
    return episode, own


def _of_many(data: Episodes, obs: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    seen: dict[str, Any] = {
        f"agent_{n}": obs[:, n].astype(np.float32) for n in range(data.info.n_agents)
    }
    if data.info.state_shape:
        seen["state"] = np.asarray(data.steps["state"][rows], dtype=np.float32)
    if not data.info.continuous:
        seen["avail_actions"] = data.steps["avail_actions"][rows].astype(np.int8)
    return seen


@contextlib.contextmanager
def _root(folder: Path) -> Iterator[None]:
    """Minari keeps its sets in `folder` meanwhile."""
    before = os.environ.get(ROOT_VARIABLE)
    os.environ[ROOT_VARIABLE] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[ROOT_VARIABLE]
        else:
            os.environ[ROOT_VARIABLE] = before
