"""Checks that no recorded episode can break a learner; each failure names file and episode."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from data.checks.content import Content, differs
from data.checks.ends import check_ends
from data.checks.rewards import Rewards, check_returns, check_spare
from data.checks.rows import check_rows
from data.checks.view import views
from data.read import Episodes, RecordedEpisodes
from envs import game_of
from envs.base import EnvInfo
from utils.config import default_env_args
from utils.errors import DataError


def check_episodes(data: Episodes) -> None:
    """Look at every row and every episode once; DataError at the first that breaks a learner.

    Of a file of our format the content's checksum is computed on the way, and compared at last.
    """
    rewards, content = Rewards(data), Content(data)
    for view in views(data):
        for check in check_rows(view):
            if not check.good.all():
                row = int(np.argmin(check.good))
                raise DataError(f"{data.path}: {view.place(row)}: {check.problem(row)}")
        rewards.see(view)
        content.see(view)
    ends, spare = check_ends(data), check_spare(data, rewards)
    for finding in itertools.chain(ends, spare, check_returns(data, rewards)):
        raise DataError(f"{data.path}: {finding.text}")
    _refuse(data, content.difference())


def check_checksum(data: RecordedEpisodes) -> None:
    """Compare the content with the checksum that the writer left."""
    _refuse(data, differs(data, data.digest()))


def _refuse(data: Episodes, difference: str) -> None:
    if difference:
        raise DataError(f"{data.path} {difference}")


def check_environment(
    data: Episodes, env: str, env_args: dict[str, Any], info: EnvInfo | None
) -> None:
    """Refuse data of another environment, map or setting, showing both sides.

    info: the environment's own numbers; None where it is not installed.
    """
    _refuse(data, environment_differs(data, env, env_args, info))


def environment_differs(
    data: Episodes, env: str, env_args: dict[str, Any], info: EnvInfo | None, who: str = "the run"
) -> str:
    """Both sides where data is not of the environment that `who` is on, else ""."""
    theirs, ours = {"env": data.metadata.env} | data.metadata.env_args, game_of(env, env_args)
    if data.metadata.env == env:
        defaults = default_env_args(env)  # what a file does not say is from before one could
        theirs = game_of(env, {k: defaults[k] for k in env_args if k in defaults})
        theirs |= game_of(env, data.metadata.env_args)
    different = sorted(k for k in theirs.keys() | ours.keys() if theirs.get(k) != ours.get(k))
    if different or info not in (None, data.info):
        numbers = f" ({info.numbers()})" if info else ""
        return (
            f"was recorded on {_setting(theirs, different)} ({data.info.numbers()}), "
            f"{who} is on {_setting(ours, different)}{numbers}"
        )
    return ""


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
