"""scan: one pass over a vault's rewards and ends, in bounded memory."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data.formats.flat import Ends
from data.formats.vault_files import StoreRows
from utils.errors import DataError

ROWS = 65_536
SAMPLES = 16  # rows of every other array that go into the fingerprint


class Scan(NamedTuple):
    """Where episodes end; notes: what was left out; sha256: tells vaults apart."""

    ends: Ends
    notes: dict[str, Any]
    sha256: str


def scan(path: Path, arrays: dict[str, StoreRows]) -> Scan:
    """Find the episodes: one ends where all agents' terminals or all their truncations are 1.

    DataError where agents' rewards differ, where an end is neither 0 nor 1, where there is none.
    Rewards, ends and a few rows of the rest go into the fingerprint, not all of the data.
    """
    digest = hashlib.sha256(str({k: (v.shape, str(v.dtype)) for k, v in arrays.items()}).encode())
    pieces: list[np.ndarray] = []  # of each end: row, truly, rewards up to it, its own
    before, episodes, first = 0.0, 0, 0  # rewards, episodes, and the running one's first row
    steps = len(arrays["rewards"])
    for start in range(0, steps, ROWS):
        names = ("rewards", "terminals", "truncations")
        block = {name: arrays[name][start : start + ROWS] for name in names}
        for values in block.values():
            digest.update(np.ascontiguousarray(values).data)
        _check_ends(path, block, start)
        truly = (block["terminals"] == 1).all(1)
        last = np.flatnonzero(truly | (block["truncations"] == 1).all(1))
        _check_rewards(path, block["rewards"], last, start, (episodes, first))
        earned = block["rewards"][:, 0].astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):  # found when the rows are checked
            so_far = before + earned.cumsum()
        pieces.append(np.stack([start + last, truly[last], so_far[last], earned[last]]))
        before, episodes = so_far[-1], episodes + len(last)
        first = start + int(last[-1]) + 1 if len(last) else first
    if episodes == 0:
        raise DataError(
            f"{path} has no step at which all agents' terminals or truncations are 1: where its "
            "episodes end is not known"
        )
    for name in sorted(arrays.keys() - {"rewards", "terminals", "truncations"}):
        digest.update(arrays[name][np.linspace(0, steps - 1, SAMPLES).astype(np.int64)].data)
    ends, notes = _ends(np.concatenate(pieces, axis=1), steps)
    return Scan(ends, notes, digest.hexdigest())


def _ends(found: np.ndarray, steps: int) -> tuple[Ends, dict[str, Any]]:
    last, truly = found[0].astype(np.int64), found[1].astype(bool)
    first = np.concatenate([[0], last[:-1] + 1])
    with np.errstate(over="ignore", invalid="ignore"):
        sums = np.diff(found[2], prepend=0.0)
        dropped = np.where(truly, 0.0, found[3])
        returns = sums - dropped
    ends = Ends(first, last, truly, truly, returns)
    notes: dict[str, Any] = {}
    if not truly.all():
        notes["dropped_transitions"] = {
            "why": "nothing follows the last step of an episode that is cut",
            "count": int((~truly).sum()), "rewards": float(dropped.sum()),
        }  # fmt: skip
    counts = {
        "episodes_of_one_row": int((first == last).sum()),
        "of_these_without_transition": int(((first == last) & ~truly).sum()),
        "steps_behind_the_last_end": int(steps - 1 - last[-1]),
    }
    return ends, notes | {name: count for name, count in counts.items() if count}


def _check_ends(path: Path, block: dict[str, np.ndarray], start: int) -> None:
    for name in ("terminals", "truncations"):
        good = ((block[name] == 0) | (block[name] == 1)).all(1)
        if not good.all():
            row = int(np.argmin(good))
            raise DataError(
                f"{path}: step {start + row} of the vault: {name} are "
                f"{block[name][row].tolist()}, not 0 or 1"
            )


def _check_rewards(
    path: Path, rewards: np.ndarray, last: np.ndarray, start: int, running: tuple[int, int]
) -> None:
    """running: number and first row of the episode that the block begins in."""
    mine = rewards[:, :1]
    same = ((rewards == mine) | (np.isnan(rewards) & np.isnan(mine))).all(1)
    if same.all():
        return
    row = int(np.argmin(same))
    earlier = int(np.searchsorted(last, row))
    first = start + int(last[earlier - 1]) + 1 if earlier else running[1]
    raise DataError(
        f"{path}: episode {running[0] + earlier}, step {start + row - first}: the agents' rewards "
        f"differ ({', '.join(f'{r:g}' for r in rewards[row])}); one reward of the team is needed"
    )
