"""New files from the episodes of others: all of several, a part of one, a mix. Piece by piece."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data.check import check_episodes, environment_differs
from data.checks.ends import check_policies
from data.read import Episodes, RecordedEpisodes
from data.schema import EPISODES, Metadata
from data.write import EXACT, EpisodeWriter, Storage
from utils.errors import DataError
from utils.logging import spans

PIECE = 64  # episodes copied at once
MOST_POLICIES = np.iinfo(EPISODES["policy"]).max + 1
UNKNOWN: list[dict[str, Any]] = [{"algorithm": "unknown"}]
"""The policies of a file that names none."""


class Part(NamedTuple):
    """Episodes of one file: the `chosen` ones, sorted, or all of them."""

    path: Path
    chosen: np.ndarray | None = None


class Choice(NamedTuple):
    """Which episodes of a file may be taken, and how many: all of them where None."""

    episodes: int | None = None
    low: float = -np.inf  # return, from
    high: float = np.inf  # and below

    @property
    def bounded(self) -> bool:
        """Whether it asks for certain returns."""
        return self.low > -np.inf or self.high < np.inf


def merge(paths: Sequence[Path], out: Path, storage: Storage = EXACT) -> int:
    """Write the episodes of `paths`, in their order, to `out` -> how many they are.

    Every file is checked and must be of the same environment and licence. `policies` are those of
    the first file, then the second's, ...; `made_with` lists the files' own. The quality is the
    new file's name. One file is open at a time.
    """
    return _combine([Part(path) for path in paths], out, storage, {})


def subsample(path: Path, out: Path, choice: Choice, seed: int, storage: Storage = EXACT) -> int:
    """Write some of a file's episodes, in their order -> how many; drawn evenly with `seed`."""
    part = _drawn(path, choice, np.random.default_rng([seed, 0]))
    return _combine([part], out, storage, _told(choice, seed))


def mix(
    paths: Sequence[Path], choices: Sequence[Choice], out: Path, seed: int,
    storage: Storage = EXACT,
) -> int:  # fmt: skip
    """Write episodes of several files, those of the first before the second's -> how many.

    Each file's are drawn evenly, with a generator of its own from `seed`.
    """
    pairs = enumerate(zip(paths, choices, strict=True))
    parts = [_drawn(p, choice, np.random.default_rng([seed, i])) for i, (p, choice) in pairs]
    return _combine(parts, out, storage, {"seed": seed})


def copy_episodes(
    writer: EpisodeWriter, source: Episodes, offset: int = 0, index: np.ndarray | None = None
) -> None:
    """Append the episodes of `index`, or all; their policies' numbers are moved by `offset`."""
    every = np.arange(len(source)) if index is None else index
    for start, stop in spans(f"copying {source.path.name}", len(every), PIECE, " episodes"):
        piece = every[start:stop]
        facts = {k: source.episodes[k][piece] for k in ("battle_won", "policy", "seed", "slot")}
        facts["policy"] = facts["policy"].astype(np.int64) + offset
        writer.append_with(source.read(piece), facts)


def _drawn(path: Path, choice: Choice, rng: np.random.Generator) -> Part:
    returns = RecordedEpisodes(path, stream=True).episodes["return"]
    eligible = np.flatnonzero((returns >= choice.low) & (returns < choice.high))
    wanted = len(eligible) if choice.episodes is None else choice.episodes
    if not 0 < wanted <= len(eligible):
        bounds = f" with returns from {choice.low:g} to {choice.high:g}" * choice.bounded
        raise DataError(f"{path} has {len(eligible)} episodes{bounds}, not {max(wanted, 1)}")
    return Part(path, np.sort(rng.choice(eligible, wanted, replace=False)))


def _told(choice: Choice, seed: int) -> dict[str, Any]:
    bounds = [value if np.isfinite(value) else None for value in (choice.low, choice.high)]
    return {"seed": seed} | ({"returns": bounds} if choice.bounded else {})


def _combine(parts: Sequence[Part], out: Path, storage: Storage, how: dict[str, Any]) -> int:
    if out.resolve() in {part.path.resolve() for part in parts}:
        raise DataError(f"{out} is one of the files that it is made of; choose another --out")
    metadata = _metadata(parts, out, how)
    episodes, offset = 0, 0
    with EpisodeWriter(out, metadata, storage, keep=False) as writer:
        for path, chosen in parts:
            source = RecordedEpisodes(path, stream=True)
            copy_episodes(writer, source, offset, chosen)
            offset += len(source.metadata.policies or UNKNOWN)
            episodes += len(source) if chosen is None else len(chosen)
    return episodes


def _metadata(parts: Sequence[Part], out: Path, how: dict[str, Any]) -> Metadata:
    """The new file's, once all files have been checked."""
    found: dict[str, tuple[Path, Metadata]] = {}
    origins: list[dict[str, Any]] = []
    for path, chosen in parts:
        source = _checked(path)
        if source.sha256 in found:
            raise DataError(f"{path} holds the episodes of {found[source.sha256][0]}; name it once")
        found[source.sha256] = path, source.metadata
        _check_same(source, *next(iter(found.values())))
        origin = {"file": path.name, "quality": source.metadata.quality, "sha256": source.sha256}
        taken = {} if chosen is None else {"episodes": len(chosen), "of": len(source)}
        origins.append(origin | taken | source.metadata.made_with)
    every = [metadata for _, metadata in found.values()]
    policies = [policy for metadata in every for policy in metadata.policies or UNKNOWN]
    if len(policies) > MOST_POLICIES:
        raise DataError(f"{out} would be of {len(policies)} policies, {MOST_POLICIES} are possible")
    return replace(
        every[0],
        quality=out.stem,
        policies=policies,
        made_with={"merged": origins} | how,
    )


def _checked(path: Path) -> RecordedEpisodes:
    source = RecordedEpisodes(path, stream=True)
    check_episodes(source)  # and the checksum
    for finding in check_policies(source):
        raise DataError(f"{path}: {finding.text}")
    return source


def _check_same(source: RecordedEpisodes, path: Path, first: Metadata) -> None:
    difference = environment_differs(source, first.env, first.env_args, first.info, str(path))
    if difference:
        raise DataError(f"{source.path} {difference}")
    if source.metadata.licence != first.licence:
        raise DataError(
            f"{source.path} has the licence {source.metadata.licence}, {path} {first.licence}"
        )
