"""steps_of: a vault's arrays, checked, as the fields of our rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from data.formats.vault_files import StoreRows, VaultFiles
from data.rows import Rows, holds_numbers
from utils.errors import DataError

RANKS = {
    "observations": 2, "rewards": 1, "terminals": 1, "truncations": 1, "infos.state": 1,
    "infos.legals": 2,
}  # fmt: skip
"""Dimensions of a step; actions have one, or two."""

NEEDED = ("observations", "actions", "rewards", "terminals", "truncations")
OPTIONAL = ("infos.state", "infos.legals")


def arrays_of(files: VaultFiles) -> dict[str, StoreRows]:
    """Every array that the vault has, of dimensions that fit together."""
    found = {name: files.array(name) for name in (*NEEDED, *OPTIONAL)}
    arrays = {name: rows for name, rows in found.items() if rows is not None}
    missing = [name for name in NEEDED if name not in arrays]
    if missing:
        raise DataError(
            f"{files.folder} lacks {', '.join(missing)}; a vault has {', '.join(NEEDED)}"
        )
    shapes = {name: rows.shape[1:] for name, rows in arrays.items()}
    agents = shapes["observations"][:1]
    for name, shape in shapes.items():
        fits = name == "infos.state" or shape[:1] == agents
        if not fits or len(shape) not in {RANKS.get(name, 1), RANKS.get(name, 2)}:
            told = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
            raise DataError(f"{files.folder}: {name} does not fit the others; a step has {told}")
        if not holds_numbers(arrays[name].dtype):
            raise DataError(
                f"{files.folder}: {name} holds {arrays[name].dtype}, not numbers of up to 64 bits"
            )
    _check_last(files, arrays)
    return arrays


def _check_last(files: VaultFiles, arrays: dict[str, StoreRows]) -> None:
    """What was never written reads as zeros: then a copy was cut, or vault_index is too large."""
    last = files.steps - 1
    if not any(rows[np.array([last])].any() for rows in arrays.values()):
        raise DataError(
            f"{files.folder}: vault_index says {files.steps} steps, but step {last} has only zeros "
            "in every array; copy or download it again"
        )


def steps_of(path: Path, arrays: dict[str, StoreRows]) -> tuple[dict[str, Rows], dict[str, Any]]:
    """(our fields, what is to be noted of them); `avail_actions` is left out without legals."""
    steps: dict[str, Rows] = {
        "obs": arrays["observations"],
        "state": arrays.get("infos.state", np.zeros((len(arrays["rewards"]), 0), np.float32)),
        "rewards": arrays["rewards"].changed(lambda values: values[:, 0]),
    }
    notes: dict[str, Any] = {}
    pad = np.isneginf(arrays["observations"][np.array([0])][0])
    if pad.any():
        steps["obs"] = arrays["observations"].changed(_unpadded(pad))
        notes["obs_padding"] = {
            "was": "-inf", "is": 0, "numbers_of_each_agent": pad.sum(axis=1).tolist(),
        }  # fmt: skip
    actions, legals = arrays["actions"], arrays.get("infos.legals")
    if legals is None and actions.dtype.kind == "f":  # numbers of a torque, say
        steps["actions"] = actions.changed(lambda v: v.reshape(*v.shape[:2], *v.shape[2:] or (1,)))
        return steps, notes
    if len(actions.shape) == 3 and actions.shape[2] != 1:
        raise DataError(
            f"{path}: a step's actions have the shape {actions.shape[1:]}; discrete ones are one "
            "number for each agent"
        )
    steps["actions"] = actions.changed(_whole(path))
    if legals is None:
        notes["avail_actions"] = "not recorded; all are taken to be available"
    else:
        steps["avail_actions"] = legals.changed(_flags(path))
    return steps, notes


def _unpadded(pad: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda values: np.where(pad & np.isneginf(values), np.zeros((), values.dtype), values)


def _whole(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    def change(values: np.ndarray) -> np.ndarray:
        """(rows, N) int."""
        values = values.reshape(values.shape[:2])
        if values.dtype.kind != "f":
            return values
        if not (np.isfinite(values) & (values == np.rint(values))).all():
            raise DataError(f"{path}: actions has values that are no whole numbers")
        return values.astype(np.int32)

    return change


def _flags(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    def change(values: np.ndarray) -> np.ndarray:
        """(rows, N, A) bool."""
        if not ((values == 0) | (values == 1)).all():
            raise DataError(f"{path}: infos.legals has values other than 0 and 1")
        return values.astype(np.bool_)

    return change
