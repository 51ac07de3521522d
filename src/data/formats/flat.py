"""LongEpisodes: episodes whose steps lie end to end, with a row for a step.

Nothing stands behind an episode's last step. After a true end nothing is needed: every step is
kept, and the last row is repeated. Of an episode that is cut, the last row only supplies the
observation and action that follow the step before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.read import Episodes
from data.rows import MappedFile, Rows
from data.schema import EPISODES, Metadata
from utils.config import scenario
from utils.errors import DataError


class Ends(NamedTuple):
    """Of each episode: first and last row, whether it truly ends there, and its return."""

    first: np.ndarray
    last: np.ndarray
    terminated: np.ndarray  # bool
    whole: np.ndarray  # bool: the last row is a step, too
    returns: np.ndarray  # of its steps


class LongEpisodes(Episodes):
    """Episodes from long arrays; nothing of them is copied."""

    derived = True

    def __init__(
        self,
        path: Path,
        steps: Mapping[str, Rows],
        ends: Ends,
        metadata: Metadata,
        sha256: str,
        mapped: MappedFile | None = None,
    ) -> None:
        """steps: every field of data.schema.STEPS. DataError where no transition is left."""
        self.path, self.metadata, self.mapped = path, metadata, mapped
        self.steps, self.sha256 = steps, sha256
        lengths = ends.last - ends.first + ends.whole
        self._check_lengths(lengths)
        kept = lengths > 0  # a cut episode of one row is no transition
        self.episodes = _figures(lengths[kept], ends.returns[kept], ends.terminated[kept])
        self._place(ends.first[kept], ends.last[kept])

    def _check_lengths(self, lengths: np.ndarray) -> None:
        if lengths.max(initial=0) == 0:
            raise DataError(f"{self.path} holds no transition")
        i, limit = int(lengths.argmax()), self.info.episode_limit
        if lengths[i] > limit:
            raise DataError(
                f"{self.path}: episode {i} has {lengths[i]} steps, "
                f"{scenario(self.metadata.env_args) or self.metadata.env} ends after {limit}; "
                "are timeouts missing?"
            )


def check_whose(path: Path, own: Metadata, env: str, env_args: Mapping[str, object]) -> None:
    """DataError where what is asked for is another game of the environment that the file names."""
    asked, theirs = scenario(dict(env_args)), scenario(own.env_args)
    if own.env == env and asked and asked != theirs:
        raise DataError(f"{path} is of {theirs}, not of {asked}")


def of_one_policy(metadata: Metadata) -> Metadata:
    """For formats that do not say which of several policies played an episode: one stands for all.

    What is known of them stays in it, as `one_of`.
    """
    if len(metadata.policies) < 2:
        return metadata
    names = dict.fromkeys(str(p.get("algorithm", "unknown")) for p in metadata.policies)
    policy = {"algorithm": ", ".join(names), "one_of": metadata.policies}
    return replace(metadata, policies=[policy])


def transition_rows(data: Episodes, index: np.ndarray) -> np.ndarray:
    """The rows of the transitions `index`, counted through all episodes."""
    lengths = data.episodes["length"].astype(np.int64)
    starts = np.cumsum(lengths) - lengths
    episode = np.searchsorted(starts, index, side="right") - 1
    return data.first_rows[episode] + index - starts[episode]


def _figures(
    lengths: np.ndarray, returns: np.ndarray, terminated: np.ndarray
) -> dict[str, np.ndarray]:
    """What our format keeps of each episode; of wins, policies and seeds nothing is known."""
    unknown = {name: np.zeros(len(lengths), dtype) for name, dtype in EPISODES.items()}
    known = {"length": lengths, "return": returns, "terminated": terminated}
    known["truncated"] = ~terminated
    return unknown | {name: values.astype(EPISODES[name]) for name, values in known.items()}
