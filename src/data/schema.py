"""What a file of recorded episodes holds; format and units are explained in docs/datasets.md."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from envs.base import EnvInfo

FORMAT, VERSION = "icq-episodes", 2
MINARI = "minari:"
"""What the name of a Minari set begins with."""

BITS = "avail_actions_bits"
"""The name that avail_actions has where it is stored as bits; version 1 stored a byte for each."""

HALF = ("obs", "state")
"""Fields that may be stored as float16."""

STEPS = ("obs", "state", "avail_actions", "actions", "rewards")
"""One row for each observation: an episode of T transitions has T+1 rows, end to end."""

EPISODES: dict[str, type] = {
    "length": np.int32,  # T, transitions
    "return": np.float32,  # undiscounted sum of the rewards
    "terminated": np.bool_,
    "truncated": np.bool_,
    "battle_won": np.bool_,
    "policy": np.int16,  # index into the metadata's policies
    "seed": np.int64,  # of the round of battles it was recorded in
    "slot": np.int32,  # its place in that round
}

METADATA = ("env", "env_args", "env_info", "quality", "policies", "made_with", "licence")
"""Root attributes that say where the episodes come from."""

ATTRIBUTES = ("version", "complete", *METADATA)
"""Root attributes without which a file is refused."""


@dataclass(frozen=True)
class Metadata:
    """Where the episodes come from. `policies` and `made_with` hold every fact of provenance."""

    env: str
    env_args: dict[str, Any]
    info: EnvInfo
    quality: str
    policies: list[dict[str, Any]] = field(default_factory=list)
    made_with: dict[str, Any] = field(default_factory=dict)
    licence: str = "CC0-1.0"

    def to_attributes(self) -> dict[str, str]:
        """HDF5 root attributes."""
        return {
            "env": self.env,
            "env_args": json.dumps(self.env_args),
            "env_info": json.dumps(self.info.to_dict()),
            "quality": self.quality,
            "policies": json.dumps(self.policies),
            "made_with": json.dumps(self.made_with),
            "licence": self.licence,
        }

    @staticmethod
    def from_attributes(attributes: Any) -> Metadata:
        """The inverse of `to_attributes`; TypeError where a value is of another kind."""
        return Metadata(
            env=str(attributes["env"]),
            env_args=_json(attributes, "env_args", dict),
            info=EnvInfo.from_dict(_json(attributes, "env_info", dict)),
            quality=str(attributes["quality"]),
            policies=_json(attributes, "policies", list),
            made_with=_json(attributes, "made_with", dict),
            licence=str(attributes["licence"]),
        )


def _json(attributes: Any, name: str, kind: type) -> Any:
    value = json.loads(attributes[name])
    if not isinstance(value, kind):
        raise TypeError(f"{name} is no JSON {kind.__name__}")
    return value


def step_shapes(info: EnvInfo) -> dict[str, tuple[tuple[int, ...], Any]]:
    """Field -> (shape of one row, smallest exact dtype). What has no elements is not stored."""
    n, a = info.n_agents, info.n_actions
    whole = np.uint8 if a <= 256 else np.int16 if a <= 2**15 else np.int32
    actions = ((n, a), np.float32) if info.continuous else ((n,), whole)
    return {
        "obs": ((n, info.obs_shape), np.float32),
        "state": ((info.state_shape,), np.float32),
        "avail_actions": ((n, 0 if info.continuous else a), np.bool_),
        "actions": actions,
        "rewards": ((), np.float32),  # row T of an episode is 0
    }


def stored_shapes(info: EnvInfo, half: bool) -> dict[str, tuple[tuple[int, ...], Any]]:
    """Name in the file -> (shape of one row, dtype), of what has elements; half: obs and state."""
    shapes = {name: row for name, row in step_shapes(info).items() if 0 not in row[0]}
    if half:
        shapes |= {name: (shapes[name][0], np.float16) for name in HALF if name in shapes}
    if "avail_actions" in shapes:
        n_bytes = -(-math.prod(shapes.pop("avail_actions")[0]) // 8)
        shapes[BITS] = ((n_bytes,), np.uint8)
    return shapes


class Digest:
    """sha256 of a file's content, however it is compressed: metadata, and every field's own sum.

    Version 1 had one sum over the fields' bytes, one field after the other, without metadata.
    """

    def __init__(self, metadata: Mapping[str, str]) -> None:
        self._whole = hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode())
        self._fields: dict[str, Any] = {}

    def update(self, name: str, values: np.ndarray) -> None:
        """The next rows of a field."""
        field_sum = self._fields.setdefault(name, hashlib.sha256())
        field_sum.update(np.ascontiguousarray(values).data if values.size else b"")

    def hexdigest(self) -> str:
        """Of all that was given."""
        whole = self._whole.copy()
        for name, field_sum in sorted(self._fields.items()):
            whole.update(f"{name}={field_sum.hexdigest()}".encode())
        return whole.hexdigest()
