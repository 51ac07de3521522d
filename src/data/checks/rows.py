"""Checks of single rows; whatever one of them finds would break a learner."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from data.checks.view import View
from data.findings import Kind
from data.read import RecordedEpisodes

SLACK = 1e-5  # of an action's range: what rounding to float32 may put outside the bounds


class RowCheck(NamedTuple):
    """What was asked of every row of a block, and how to say that one is bad."""

    kind: Kind
    good: np.ndarray  # (M,) bool
    problem: Callable[[int], str]  # of a row
    meaning: str


def check_rows(view: View) -> Iterator[RowCheck]:
    """Every check that the episodes' kind of actions has; rows of no episode are always good."""
    yield from _finite(view)
    if view.data.info.continuous:
        yield _within_bounds(view)
    else:
        yield from _choices(view)


def _finite(view: View) -> Iterator[RowCheck]:
    names = ["obs", "state", "rewards"] + ["actions"] * view.data.info.continuous
    for name in names:
        values = view.columns[name].reshape(len(view.own), -1)
        with np.errstate(over="ignore", invalid="ignore"):  # infinite, where float32 cannot hold it
            finite = np.isfinite(values.astype(np.float32, copy=False)).all(axis=1)
        problem = f"{name} is NaN or infinite"
        meaning = "one step on it makes every weight NaN"
        yield RowCheck(Kind.NOT_FINITE, finite | ~view.own, lambda _, p=problem: p, meaning)


def _within_bounds(view: View) -> RowCheck:
    info, actions = view.data.info, view.columns["actions"]
    low, high = np.array(info.action_low), np.array(info.action_high)
    slack = SLACK * (high - low)
    inside = ((actions >= low - slack) & (actions <= high + slack)).all((1, 2)) | ~view.own

    def problem(row: int) -> str:
        found = [[float(f"{number:.4g}") for number in agent] for agent in actions[row]]
        bounds = f"{info.action_low} to {info.action_high}"
        return f"the action {found} is outside the bounds {bounds}"

    meaning = "the policy cannot act so; clip or rescale the actions"
    return RowCheck(Kind.OUT_OF_BOUNDS, inside, problem, meaning)


def _choices(view: View) -> Iterator[RowCheck]:
    n_actions, avail = view.data.info.n_actions, view.columns["avail_actions"]
    if isinstance(view.data, RecordedEpisodes) and view.data.version == 1:
        bits = (avail.view(np.uint8) <= 1).all((1, 2))  # version 1 had a byte for each
        yield RowCheck(
            Kind.ODD_FLAG, bits | ~view.own, lambda _: "availability is neither 0 nor 1",
            "the file is damaged; copy it again",
        )  # fmt: skip
    any_choice = avail.any(-1).all(-1) | ~view.own

    def without(row: int) -> str:
        agents = np.flatnonzero(~avail[row].any(-1)).tolist()
        return f"no action is available to agent {', '.join(map(str, agents))}"

    yield RowCheck(Kind.NO_CHOICE, any_choice, without, "a softmax over no action is NaN")
    actions = view.columns["actions"].astype(np.int64)
    in_range = ((actions >= 0) & (actions < n_actions)).all(1) | ~view.own
    yield RowCheck(
        Kind.OUT_OF_RANGE, in_range, lambda _: f"an action is not in 0..{n_actions - 1}",
        "it has no Q-value and no probability",
    )  # fmt: skip
    actions = actions.clip(0, n_actions - 1)  # those of rows between episodes may be any
    allowed = np.take_along_axis(avail, actions[..., None], -1).all((1, 2))
    yield RowCheck(
        Kind.UNAVAILABLE, allowed | ~view.own | ~any_choice,
        lambda _: "a taken action is marked unavailable",
        "the policy gives it probability 0, whose logarithm is infinite",
    )  # fmt: skip
