"""Findings: what is wrong with recorded episodes, counted by kind, the first of each kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

LIMIT = 10  # lines of each kind


class Kind(Enum):
    """Every kind of finding, in the order in which they are told, and its name in a sentence."""

    CHANGED = "content that is not what was written"
    ENVIRONMENT = "another environment"
    NOT_FINITE = "numbers that are NaN or infinite"
    ODD_FLAG = "flags that are neither 0 nor 1"
    OUT_OF_RANGE = "actions out of range"
    OUT_OF_BOUNDS = "actions out of bounds"
    NO_CHOICE = "agents without any available action"
    UNAVAILABLE = "taken actions that are marked unavailable"
    ENDS = "episodes that have not exactly one end"
    TOO_LONG = "episodes above the time limit"
    SPARE_REWARD = "rewards at row T"
    RETURN = "returns that are not the sum of the rewards"
    POLICY = "policies that are not listed"
    NO_TERMINALS = "no terminated episode"
    CUT_EARLY = "episodes cut before the time limit"
    MERGED_LIMITS = "time limits marked as true ends"
    FRAGMENTS = "episodes of one step between the others"
    SHIFTED_STARTS = "episodes that begin with the end of the one before"
    NEVER_AVAILABLE = "actions that are never available"
    STALE_STATE = "a state that never changes"
    STALE_AVAILABILITY = "availability that never changes"
    LAST_REWARD = "last rewards that are missing"
    UNPAID_WIN = "wins that are not rewarded"
    REPEATED = "repeated episodes"
    PROBABILITIES = "behaviour probabilities that are none"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: its place and what it is, and what it means for learning."""

    kind: Kind
    text: str
    meaning: str


@dataclass
class Findings:
    """All findings in one source; of each kind the number and the first `limit`."""

    limit: int = LIMIT
    counts: dict[Kind, int] = field(default_factory=dict)
    repeated: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """The numbers of the episodes that another one before them equals."""
    _kept: dict[Kind, list[Finding]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.counts)

    def add(self, finding: Finding) -> None:
        """One more."""
        self.count(finding.kind, 1)
        if self.room(finding.kind):
            self._kept[finding.kind].append(finding)

    def count(self, kind: Kind, number: int) -> None:
        """More of a kind, which are only counted."""
        self.counts[kind] = self.counts.get(kind, 0) + number
        self._kept.setdefault(kind, [])

    def room(self, kind: Kind) -> int:
        """How many more of a kind would be kept."""
        return self.limit - len(self._kept.get(kind, []))

    def lines(self) -> Iterator[str]:
        """A line for each that was kept, and how many more there are of its kind."""
        for kind in Kind:
            kept = self._kept.get(kind, [])
            for finding in kept:
                yield f"{finding.text}; {finding.meaning}"
            more = self.counts.get(kind, 0) - len(kept)
            if more:
                yield f"... and {more:,} more {kind.value}" if kept else f"{more:,} {kind.value}"
