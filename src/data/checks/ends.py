"""Checks of how episodes end, how long they are, and who played them: from one figure of each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from data.findings import Finding, Kind
from data.read import Episodes, RecordedEpisodes

ENOUGH = 8  # episodes from which a pattern is told from chance
FRAGMENTS = 0.3  # share of episodes of one step from which they are no chance
FOLLOWED = 0.1  # share of them that may stand side by side
AT_LIMIT = 0.05  # share of true ends at the very limit from which they are no chance
SHORT_LIMIT = 10  # steps below which a game may always last as long
BAD_PROBABILITIES = ("all zero", "do not sum to 1", "of another shape")
"""What `made_with["probs"]` says of those that are none."""

FLAGS = ("terminated", "truncated", "battle_won")


def check_flags(data: Episodes) -> Iterator[Finding]:
    """A flag is a byte of 0 or 1."""
    for name in FLAGS:
        odd = data.episodes[name].view(np.uint8) > 1
        for i in np.flatnonzero(odd).tolist():
            yield Finding(
                Kind.ODD_FLAG, f"episode {i}: {name} is neither 0 nor 1",
                "the file is damaged; copy it again",
            )  # fmt: skip


def check_ends(data: Episodes) -> Iterator[Finding]:
    """Exactly one of terminated and truncated."""
    wrong = data.episodes["terminated"] == data.episodes["truncated"]
    for i in np.flatnonzero(wrong).tolist():
        yield Finding(
            Kind.ENDS, f"episode {i} must end either terminated or truncated",
            "it is not known whether its last step bootstraps",
        )  # fmt: skip


def check_lengths(data: Episodes) -> Iterator[Finding]:
    """None is longer than the time limit."""
    lengths, limit = data.episodes["length"], data.info.episode_limit
    for i in np.flatnonzero(lengths > limit).tolist():
        yield Finding(
            Kind.TOO_LONG, f"episode {i} has {lengths[i]} steps, the limit is {limit}",
            "two episodes may be one here, or the limit is another task's",
        )  # fmt: skip


def check_cuts(data: Episodes) -> Iterator[Finding]:
    """A time limit cuts all episodes at one length; else ends were lost.

    Where episodes follow from arrays, the last one is cut by the end of the file.
    """
    lengths, cut = (
        data.episodes["length"],
        data.episodes["truncated"] & ~data.episodes["terminated"],
    )
    if data.derived:
        cut = cut & (np.arange(len(lengths)) < len(lengths) - 1)
    if not cut.any():
        return
    longest = int(lengths[cut].max())
    early = cut & (lengths < longest)
    if not data.episodes["terminated"].any() and early.sum() >= 2:
        yield Finding(
            Kind.NO_TERMINALS,
            f"no episode ends by termination, yet {int(early.sum()):,} of {len(lengths):,} are cut "
            f"before {longest} steps: were terminals dropped?",
            "values bootstrap beyond every end",
        )
        return
    for i in np.flatnonzero(early).tolist():
        yield Finding(
            Kind.CUT_EARLY,
            f"episode {i} is truncated after {lengths[i]} steps, others after {longest}",
            "it was cut off, or its true end was lost: its last value bootstraps",
        )


def check_merged_limits(data: Episodes) -> Iterator[Finding]:
    """Many true ends in the very last step are time limits; short games may always last as long."""
    limit = data.info.episode_limit
    at_limit = int((data.episodes["length"] == limit).sum())
    enough = at_limit >= max(2, AT_LIMIT * len(data))
    if limit >= SHORT_LIMIT and data.episodes["terminated"].all() and enough:
        yield Finding(
            Kind.MERGED_LIMITS,
            f"{at_limit:,} of {len(data):,} episodes end exactly at the limit of {limit} steps and "
            "all are marked terminated: were time limits merged into terminals?",
            "the value of their last step is learnt too low or too high",
        )


def check_fragments(data: Episodes) -> Iterator[Finding]:
    """Episodes of one step between longer ones: starts that are off by one."""
    short = data.episodes["length"] == 1
    side_by_side = (short[1:] & short[:-1]).sum()
    number = int(short.sum())
    many = len(short) >= ENOUGH and number >= FRAGMENTS * len(short)
    if many and number < len(short) and side_by_side <= FOLLOWED * number:
        yield Finding(
            Kind.FRAGMENTS,
            f"{number:,} of {len(short):,} episodes have one step and stand between longer ones: "
            "are starts off by one?",
            "the last transition of the episode before is learnt again, as an episode",
        )


def check_policies(data: Episodes) -> Iterator[Finding]:
    """Every policy that is named is described."""
    known, policies = len(data.metadata.policies), data.episodes["policy"]
    if not known:
        return
    for i in np.flatnonzero((policies < 0) | (policies >= known)).tolist():
        yield Finding(
            Kind.POLICY,
            f"episode {i} is of policy {policies[i]}, the file describes 0..{known - 1}",
            "where it comes from is not known",
        )


def check_probabilities(data: Episodes) -> Iterator[Finding]:
    """What the reader found of probabilities in a file of another format; we use none."""
    if isinstance(data, RecordedEpisodes):
        return
    found = str(data.metadata.made_with.get("probs", "")).partition(";")[0]
    if any(bad in found for bad in BAD_PROBABILITIES):
        yield Finding(
            Kind.PROBABILITIES, f"its behaviour probabilities (probs) are {found}",
            "no importance weight can be made of them; nothing here uses them",
        )  # fmt: skip
