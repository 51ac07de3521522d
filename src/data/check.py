"""Checks that no recorded episode can break a learner; each failure names file and episode."""

from __future__ import annotations

from typing import Any

import numpy as np

from data.read import Episodes, RecordedEpisodes
from envs import game_of
from envs.base import EnvInfo
from utils.config import default_env_args
from utils.errors import DataError

SLACK = 1e-5  # of an action's range: what rounding to float32 may put outside the bounds


def check_episodes(data: Episodes) -> None:
    """Look at every row and every episode once; DataError at the first that is wrong."""
    for start, rows, own in data.blocks():
        numbers = ["obs", "state", "rewards"] + ["actions"] * data.info.continuous
        for name in numbers:
            values = rows[name].reshape(len(rows[name]), -1)
            with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite
                finite = np.isfinite(values.astype(np.float32, copy=False)).all(axis=1) | ~own
            _require(data, finite, start, f"{name} is NaN or infinite")
        if data.info.continuous:
            _check_bounds(data, rows["actions"], start, own)
        else:
            _check_choices(data, rows, start, own)
    if not data.derived:
        _check_ends(data)


def _check_bounds(data: Episodes, actions: np.ndarray, start: int, own: np.ndarray) -> None:
    low, high = np.array(data.info.action_low), np.array(data.info.action_high)
    slack = SLACK * (high - low)
    inside = ((actions >= low - slack) & (actions <= high + slack)).all((1, 2)) | ~own
    if not inside.all():
        found = f"{actions[int(np.argmin(inside))].round(4).tolist()}"
        bounds = f"{data.info.action_low} to {data.info.action_high}"
        _require(data, inside, start, f"the action {found} is outside the bounds {bounds}")


def _check_choices(
    data: Episodes, rows: dict[str, np.ndarray], start: int, own: np.ndarray
) -> None:
    actions, avail = rows["actions"].astype(np.int64), rows["avail_actions"]
    in_range = ((actions >= 0) & (actions < data.info.n_actions)).all(1) | ~own
    _require(data, in_range, start, f"an action is not in 0..{data.info.n_actions - 1}")
    actions = actions.clip(0, data.info.n_actions - 1)  # those of rows between episodes may be any
    allowed = np.take_along_axis(avail, actions[..., None], -1).all((1, 2)) | ~own
    _require(data, allowed, start, "a taken action is marked unavailable")


def check_checksum(data: RecordedEpisodes) -> None:
    """Compare the content with the checksum that the writer left."""
    found = data.digest()
    if found != data.sha256:
        raise DataError(
            f"{data.path} was changed after it was written: its content has sha256 "
            f"{found[:12]}..., recorded was {data.sha256[:12]}..."
        )


def check_environment(
    data: Episodes, env: str, env_args: dict[str, Any], info: EnvInfo | None
) -> None:
    """Refuse data of another environment, map or setting, showing both sides.

    info: the environment's own numbers; None where it is not installed.
    """
    theirs, ours = {"env": data.metadata.env} | data.metadata.env_args, game_of(env, env_args)
    if data.metadata.env == env:
        defaults = default_env_args(env)  # what a file does not say is from before one could
        theirs = game_of(env, {k: defaults[k] for k in env_args if k in defaults})
        theirs |= game_of(env, data.metadata.env_args)
    different = sorted(k for k in theirs.keys() | ours.keys() if theirs.get(k) != ours.get(k))
    if different or info not in (None, data.info):
        numbers = f" ({info.numbers()})" if info else ""
        raise DataError(
            f"{data.path} was recorded on {_setting(theirs, different)} ({data.info.numbers()}), "
            f"the run is on {_setting(ours, different)}{numbers}"
        )


def other_versions(data: Episodes, versions: dict[str, str]) -> list[str]:
    """A line for each part of the simulator that has another version than when it recorded."""
    recorded = data.metadata.made_with.get("simulator", {})
    return [
        f"{data.path} was recorded with {name} {recorded[name]}, here is {version}: evaluations "
        "may not be comparable"
        for name, version in versions.items()
        if recorded.get(name, version) != version
    ]


def _setting(values: dict[str, Any], different: list[str]) -> str:
    named = ["env", *(k for k in different if k != "env")]
    return " ".join(f"{key}={values.get(key, 'nothing')}" for key in named)


def _require(data: Episodes, good: Any, start: int, problem: str) -> None:
    if good.all():
        return
    row = start + int(np.argmin(good))
    episode = int(np.searchsorted(data.first_rows, row, side="right")) - 1
    if episode < 0 or row > data.last_rows[episode]:  # a cut episode of one row was left out
        raise DataError(f"{data.path}: row {row}: {problem}")
    step = row - int(data.first_rows[episode])
    raise DataError(f"{data.path}: episode {episode}, step {step}: {problem}")


def _check_ends(data: Episodes) -> None:
    ends = data.episodes["terminated"] ^ data.episodes["truncated"]
    if not ends.all():
        raise DataError(
            f"{data.path}: episode {int(np.argmin(ends))} must end either terminated or truncated"
        )
    spare = data.steps["rewards"][data.last_rows] == 0
    if not spare.all():
        raise DataError(f"{data.path}: episode {int(np.argmin(spare))}: row T must have reward 0")
    sums = np.add.reduceat(data.steps["rewards"][:], data.first_rows)
    close = np.isclose(sums, data.episodes["return"], rtol=1e-4, atol=1e-4)
    if not close.all():
        i = int(np.argmin(close))
        raise DataError(
            f"{data.path}: episode {i}'s rewards sum to {sums[i]:.4f}, its return says "
            f"{data.episodes['return'][i]:.4f}"
        )
