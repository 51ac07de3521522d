"""Small files whose cards are known by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from batches import CONTINUOUS_INFO, as_continuous, random_batch

from components.episode_batch import EpisodeBatch
from data.card import Card, card_of
from data.read import RecordedEpisodes
from data.schema import Metadata
from data.write import EpisodeWriter, Storage
from envs.base import EnvInfo

INFO = EnvInfo(2, 3, 1, 1, 3, action_names=("wait", "left", "attack_0"))
ONE = EnvInfo(1, 3, 1, 1, 3)


def tiny() -> EpisodeBatch:
    """Two episodes, of 2 and 1 transitions; agent 1 has no choice at step 1."""
    avail = torch.ones(2, 3, 2, 3, dtype=torch.bool)
    avail[0, 1, 1, :2] = False
    state = torch.tensor([[0.0, 1, 2], [0, 5, 5]])[..., None]
    return EpisodeBatch(
        obs=state[:, :, None].expand(2, 3, 2, 1),
        state=state,
        avail_actions=avail,
        actions=torch.tensor([[[0, 1], [2, 2], [0, 0]], [[0, 1], [1, 1], [1, 1]]]),
        rewards=torch.tensor([[1.0, 19], [4, 0]]),
        terminated=torch.tensor([[False, True], [False, False]]),
        truncated=torch.tensor([[False, False], [True, False]]),
        mask=torch.tensor([[True, True], [True, False]]),
    )


def write_tiny(path: Path, env: str = "smax", half: bool = False, **env_args: Any) -> Path:
    """Its file: a policy for each episode, and one that played nothing; the first one is won."""
    policies: list[dict[str, Any]] = [{"algorithm": name} for name in "abc"]
    metadata = Metadata(env, env_args, INFO, "poor", policies, {"seed": 3})
    with EpisodeWriter(path, metadata, Storage(half=half)) as writer:
        facts = {"battle_won": [True, False], "policy": [0, 1], "seed": [1, 1], "slot": [0, 1]}
        writer.append_with(tiny(), {k: np.array(v) for k, v in facts.items()})
    return path


def write_actions(path: Path, actions: list[list[int]], info: EnvInfo = ONE) -> Card:
    """The card of one agent's episodes of equal length, that take these actions."""
    taken = torch.tensor(actions)[:, :, None]
    e, t = taken.shape[:2]
    time = torch.arange(t + 1.0).expand(e, t + 1)[..., None]
    last = (torch.arange(t) == t - 1).expand(e, t)
    batch = EpisodeBatch(
        obs=time[:, :, None],
        state=time,
        avail_actions=torch.ones(e, t + 1, 1, info.n_actions, dtype=torch.bool),
        actions=torch.cat([taken, taken[:, -1:]], dim=1),
        rewards=torch.zeros(e, t),
        terminated=last,
        truncated=torch.zeros(e, t, dtype=torch.bool),
        mask=torch.ones(e, t, dtype=torch.bool),
    )
    with EpisodeWriter(path, Metadata("game", {}, info, "x")) as writer:
        writer.append(batch, np.zeros(e, dtype=bool), policy=0, seed=1)
    return card_of(RecordedEpisodes(path), "ours")


def write_continuous(path: Path) -> Path:
    """Episodes of two dimensions."""
    with EpisodeWriter(path, Metadata("game", {}, CONTINUOUS_INFO, "poor")) as writer:
        writer.append(as_continuous(random_batch()), np.zeros(4, dtype=bool), policy=0, seed=1)
    return path
