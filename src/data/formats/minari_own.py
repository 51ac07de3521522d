"""OwnEpisodes: a Minari set that this project wrote, as it was before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from data.read import Episodes
from data.schema import EPISODES, STEPS, Digest, Metadata, step_shapes
from utils.errors import DataError


class OwnEpisodes(Episodes):
    """Every row and every figure, in memory. data.formats.minari_write says where each of them is.

    An episode's attributes have what Minari has no place for, also the action on its last
    observation.
    """

    def __init__(self, name: str, dataset: Any, metadata: Metadata) -> None:
        """DataError where an array or attribute is missing or of another shape."""
        self.path, self.metadata = Path(name), metadata
        count, steps = int(dataset.total_episodes), int(dataset.total_steps)
        if count == 0:
            raise DataError(f"{name} holds no episodes")
        self.episodes = {field: np.zeros(count, dtype) for field, dtype in EPISODES.items()}
        arrays = {
            field: np.zeros((steps + count, *shape), dtype)
            for field, (shape, dtype) in step_shapes(self.info).items()
        }
        start, facts = 0, dataset.storage.get_episode_metadata(dataset.episode_indices)
        try:
            for i, (episode, fact) in enumerate(zip(dataset, facts, strict=True)):
                rows = slice(start, start + len(episode.rewards) + 1)
                self._take(i, rows, episode, fact, arrays)
                start = rows.stop
        except (KeyError, IndexError, TypeError, ValueError, OSError) as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{name} is damaged ({reason}); convert it again") from error
        ends = np.cumsum(self.episodes["length"].astype(np.int64) + 1)
        self._place(np.concatenate([[0], ends[:-1]]), ends - 1)
        self.steps = {field: arrays[field] for field in STEPS}
        self.sha256 = self._digest()

    def _take(
        self, i: int, rows: slice, episode: Any, fact: dict[str, Any], arrays: dict[str, Any]
    ) -> None:
        """One episode into its rows."""
        seen, length = episode.observations, len(episode.rewards)
        if isinstance(seen, dict):
            for agent in range(self.info.n_agents):
                arrays["obs"][rows, agent] = seen[f"agent_{agent}"]
            for field in ("state", "avail_actions"):
                if 0 not in arrays[field].shape[1:]:
                    arrays[field][rows] = seen[field]
            actions = [*episode.actions, fact["last_action"]]
        else:
            arrays["obs"][rows, 0] = seen
            arrays["state"][rows] = seen[:, : self.info.state_shape]
            arrays["avail_actions"][rows] = True
            actions = [*episode.actions[:, None], fact["last_action"]]
        arrays["actions"][rows] = actions
        arrays["rewards"][rows.start : rows.stop - 1] = episode.rewards
        known = {
            "length": length,
            "terminated": bool(episode.terminations[-1]),
            "truncated": bool(episode.truncations[-1]),
        }
        for field in EPISODES:
            self.episodes[field][i] = known[field] if field in known else fact[field]

    def _digest(self) -> str:
        digest = Digest(self.metadata.to_attributes())
        for name, values in (dict(self.steps) | self.episodes).items():
            digest.update(name, values[:])
        return digest.hexdigest()
