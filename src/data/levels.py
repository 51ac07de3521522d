"""Levels of data sets, those of the paper's Table 3 among them, and which policies are of one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from utils.errors import ConfigError, DataError

LEVELS = {"poor": (0.0, 10.0), "medium": (10.0, 15.0), "good": (15.0, 20.0)}
"""Table 3: level -> mean episode return, from and below (20 is the maximum and counts)."""

MIN_POLICIES, MIN_SEEDS = 4, 2
MORE_RUNS = "give more runs, or runs with more checkpoints (save_model_interval)"


class Measured(Protocol):
    """What a level is chosen from: whatever has facts, among them return_mean and seed."""

    @property
    def facts(self) -> dict[str, Any]:
        """Every fact of a policy."""
        ...


M = TypeVar("M", bound=Measured)


class Level(NamedTuple):
    """A name, and the mean episode returns that it has: from `low`, below `high`.

    Of the `last` of some levels `high` itself counts, too.
    """

    name: str
    low: float
    high: float
    last: bool = False


def read_levels(words: str) -> list[Level]:
    """Levels between commas; ConfigError where two have one name, or a return would be in both."""
    return in_order([_read_level(word) for word in words.split(",")], "--levels")


def in_order(levels: list[Level], source: str) -> list[Level]:
    """By their returns, the last one marked; ConfigError names `source` where two overlap.

    Table 3's poor and medium are below their upper bound, even where they are the last.
    """
    levels = sorted(levels, key=lambda level: level.low)
    for one, other in itertools.pairwise(levels):
        if other.low < one.high or one.name == other.name:
            raise ConfigError(f"{source}: {one.name} and {other.name} overlap")
    last = levels[-1].name not in LEVELS or LEVELS[levels[-1].name] == max(LEVELS.values())
    return [*levels[:-1], levels[-1]._replace(last=last)]


def _read_level(word: str) -> Level:
    """poor, medium or good of Table 3, or NAME=LOW:HIGH; ConfigError for anything else."""
    name, given, bounds = word.partition("=")
    if not given:
        if name not in LEVELS:
            known = ", ".join(LEVELS)
            raise ConfigError(
                f"--levels: {name} is not a level; there are {known}, and NAME=LOW:HIGH"
            )
        return Level(name, *LEVELS[name])
    try:
        low, high = (float(bound) for bound in bounds.split(":"))
    except ValueError:
        low, high = 1.0, 0.0
    if not (name.isidentifier() and name not in LEVELS and low < high):
        raise ConfigError(f"--levels: {word} is not NAME=LOW:HIGH, say medium=0.3:0.6")
    return Level(name, low, high)


def choose(candidates: Sequence[M], level: Level, count: int, advice: str = MORE_RUNS) -> list[M]:
    """`count` policies of a level, as many from each seed, spread evenly over its returns.

    What one seed lacks the others give; fewer than `count` only where there are no more.
    """
    name, low, high, last = level
    by_seed: dict[int | str, list[M]] = {}  # of others' runs their names
    for policy in candidates:
        mean = policy.facts["return_mean"]
        if low <= mean < high or (last and mean == high):
            by_seed.setdefault(policy.facts["seed"], []).append(policy)
    groups = sorted(by_seed.items(), key=lambda item: (isinstance(item[0], str), item[0]))
    quotas = _quotas([len(group) for _, group in groups], count)
    pairs = zip(groups, quotas, strict=True)
    chosen = [p for (_, group), quota in pairs for p in _spread(group, quota)][:count]
    if len(chosen) < MIN_POLICIES or len({p.facts["seed"] for p in chosen}) < MIN_SEEDS:
        found = {seed: len(group) for seed, group in groups}
        raise DataError(
            f"level {name} ({low:g}-{high:g}) needs {MIN_POLICIES} checkpoints of {MIN_SEEDS} "
            f"seeds; found {found or 'none'} (seed: checkpoints); {advice}"
        )
    return chosen


def _quotas(sizes: list[int], count: int) -> list[int]:
    """How many of each seed: the same where each has enough, else filled one by one."""
    quota = -(-count // max(len(sizes), 1))
    if all(size >= quota for size in sizes):
        return [quota] * len(sizes)
    quotas = [0] * len(sizes)
    for _ in range(min(count, sum(sizes))):
        free = [i for i, size in enumerate(sizes) if quotas[i] < size]
        quotas[min(free, key=lambda i: quotas[i])] += 1
    return quotas


def _spread(group: list[M], count: int) -> list[M]:
    group = sorted(group, key=lambda p: p.facts["return_mean"])
    picks = np.unique(np.linspace(0, len(group) - 1, count).round().astype(int))
    return [group[i] for i in picks]
