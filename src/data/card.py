"""A data set's card: the figures of recorded episodes, all counted from the file."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.action_use import ChoiceCounter, Choices, Dimension, DimensionCounter
from data.coverage import ACTION_STEPS, PairCounter
from data.levels import LEVELS
from data.read import Episodes
from envs.base import EnvInfo

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
UP_TO_20 = ("sc2", "smax", "smaclite")
"""Environments whose return is at most 20, as the levels of Table 3 need it."""

DEFINITIONS = {
    "level": "of Table 3 of the ICQ paper: "
    + ", ".join(f"{name} from {low:g}" for name, (low, _) in LEVELS.items())
    + "; that of the mean return, and each one's share of the episodes",
    "SACo": "different pairs of state and joint action, as a share of the transitions; a pair is "
    "told by the state's float32 numbers (where there is no state, all agents' observations') and "
    f"every agent's action (continuous ones rounded to 1/{ACTION_STEPS} of their range)",
    "entropy": "of the actions taken, given the agent and the time step, mean over decisions (steps"
    " at which an agent has more than one available action); it ignores what the policies see, and "
    "so it is an upper bound of their entropy given the history; too low where episodes are few; "
    "its share is of the log of the number of actions",
}
"""Figure -> what it is, for whoever reads a card."""


@dataclass(frozen=True, eq=False)
class Card:
    """The figures of one source."""

    file: str
    format: str
    size: int | None
    """Bytes; None of what is no file or folder."""
    precision: str
    sha256: str
    env: str
    env_args: dict[str, Any]
    info: EnvInfo
    quality: str
    licence: str
    policies: list[dict[str, Any]]
    """The facts of each, and what it has here: recorded_episodes, recorded_return_mean."""
    made_with: dict[str, Any]
    returns: np.ndarray
    lengths: np.ndarray
    """Of each episode, as the returns (E,)."""
    won: float
    terminated: float
    truncated: float
    """Shares of the episodes."""
    pairs: int
    """Different (state, joint action) pairs."""
    choices: Choices | None
    """Of discrete actions."""
    dimensions: list[Dimension]
    """Of continuous actions."""

    @property
    def transitions(self) -> int:
        """In all episodes together."""
        return int(self.lengths.sum())

    @property
    def coverage(self) -> float:
        """SACo, as DEFINITIONS says."""
        return self.pairs / self.transitions

    @property
    def level(self) -> str | None:
        """The level that the mean return has; None where returns have another scale."""
        return level_of(float(self.returns.mean())) if self._up_to_20 else None

    @property
    def levels(self) -> dict[str, float] | None:
        """Level -> share of the episodes."""
        if not self._up_to_20:
            return None
        found = [level_of(value) for value in self.returns.tolist()]
        return {name: found.count(name) / len(found) for name in LEVELS}

    @property
    def _up_to_20(self) -> bool:
        scale = {"reward_scale": True, "reward_scale_rate": 20, "reward_sparse": False}
        as_usual = all(self.env_args.get(key, value) == value for key, value in scale.items())
        return self.env in UP_TO_20 and as_usual

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "file": self.file, "format": self.format, "bytes": self.size,
            "precision": self.precision, "sha256": self.sha256,
            "env": self.env, "env_args": self.env_args, "env_info": self.info.to_dict(),
            "quality": self.quality, "licence": self.licence,
            "policies": self.policies, "made_with": self.made_with,
            "episodes": len(self.returns), "transitions": self.transitions,
            "return": spread(self.returns), "length": spread(self.lengths),
            "won": self.won, "terminated": self.terminated, "truncated": self.truncated,
            "level": self.level, "levels": self.levels,
            "SACo": self.coverage, "pairs": self.pairs,
            "choices": self.choices
            and asdict(self.choices) | {"entropy_share": self.choices.entropy_share},
            "dimensions": [asdict(dimension) for dimension in self.dimensions],
        }  # fmt: skip


def card_of(data: Episodes, form: str) -> Card:
    """Count everything, in one pass over the rows; form: the name of the file's format.

    Beside a block of rows memory holds 8 bytes for each transition.
    """
    meta, episodes = data.metadata, data.episodes
    pairs, choices, dimensions = _count(data)
    return Card(
        file=str(data.path),
        format=form,
        size=_size(data.path),
        precision=data.steps[_state(data)].dtype.name,
        sha256=data.sha256,
        env=meta.env,
        env_args=meta.env_args,
        info=data.info,
        quality=meta.quality,
        licence=meta.licence,
        policies=_policies(data),
        made_with=meta.made_with,
        returns=episodes["return"].astype(np.float64),
        lengths=episodes["length"].astype(np.int64),
        won=float(episodes["battle_won"].mean()),
        terminated=float(episodes["terminated"].mean()),
        truncated=float(episodes["truncated"].mean()),
        pairs=pairs,
        choices=choices,
        dimensions=dimensions,
    )


def level_of(value: float) -> str:
    """The level of Table 3 that a return has: the last one that begins at or below it."""
    first, *others = LEVELS
    return next((name for name in reversed(others) if value >= LEVELS[name][0]), first)


def spread(values: np.ndarray) -> dict[str, Any]:
    """Mean, standard deviation and QUANTILES of values (E,)."""
    marks = np.quantile(values, QUANTILES).tolist()
    return {
        "mean": float(values.mean()),
        "std": float(values.std()),
        "quantiles": {f"{q:g}": mark for q, mark in zip(QUANTILES, marks, strict=True)},
    }


def labels(cards: Sequence[Card]) -> list[str]:
    """The shortest ends of the files' names that tell them apart."""
    paths = [Path(card.file).with_suffix("").parts for card in cards]
    for length in itertools.count(1):
        names = ["/".join(parts[-length:]) for parts in paths]
        if len(set(names)) == len(set(paths)):
            return names
    raise AssertionError


def _count(data: Episodes) -> tuple[int, Choices | None, list[Dimension]]:
    """(pairs, discrete actions' use, continuous ones') of all transitions."""
    lengths = data.episodes["length"].astype(np.int64)
    pairs = PairCounter(data.info, data.n_transitions)
    choices = None if data.info.continuous else ChoiceCounter(data.info, int(lengths.max()))
    dimensions = DimensionCounter(data.info) if data.info.continuous else None
    state = _state(data)
    for start, rows, own in data.blocks((state, "actions", "avail_actions")):
        at = np.arange(start, start + len(own))
        episode = np.searchsorted(data.first_rows, at, side="right") - 1
        time = at - data.first_rows[episode]
        played = own & (time < lengths[episode])  # the last row's action is never played
        actions = rows["actions"][played]
        pairs.add(rows[state][played], actions)
        if choices:
            choices.add(actions, rows["avail_actions"][played], time[played])
        if dimensions:
            dimensions.add(actions)
    return (
        pairs.count(),
        choices.result(lengths) if choices else None,
        dimensions.result() if dimensions else [],
    )


def _state(data: Episodes) -> str:
    return "state" if data.info.state_shape else "obs"


def _policies(data: Episodes) -> list[dict[str, Any]]:
    found = []
    for i, facts in enumerate(data.metadata.policies):
        returns = data.episodes["return"][data.episodes["policy"] == i]
        mean = float(returns.mean(dtype=np.float64)) if len(returns) else None
        found.append(facts | {"recorded_episodes": len(returns), "recorded_return_mean": mean})
    return found


def _size(path: Path) -> int | None:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size if path.is_file() else None
