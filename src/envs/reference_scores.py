"""Reference scores of D4RL's normalised score: 100 (return - random) / (expert - random).

The figures are those of D4RL's infos.py (Fu et al. 2020), measured there on the tasks' version 2.
A task of version 5 that is played here pays a little differently, so compare scores only within
one version. AntMaze is not here: its score is the rate of success, `battle_won_mean`.
"""

from __future__ import annotations

SCORES: dict[str, tuple[float, float]] = {
    "HalfCheetah": (-280.178953, 12135.0),
    "Hopper": (-20.272305, 3234.3),
    "Walker2d": (1.629008, 4592.3),
    "Ant": (-325.6, 3879.7),
}
"""Task, its version left out -> mean return of random play, of the expert."""


def reference_scores(key: str) -> tuple[float, float] | None:
    """The pair for a Gymnasium key such as HalfCheetah-v5, if it is known."""
    return SCORES.get(key.rpartition("-v")[0])
