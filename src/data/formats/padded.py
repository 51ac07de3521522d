"""PaddedEpisodes: PyMARL's padded arrays (episodes, L, ...) in HDF5 files, read as rows.

Nothing of a contiguous file is copied. `terminated` is 1 at a true end alone, so an episode without
one met the time limit.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from data.formats.base import Source
from data.formats.padded_rows import MappedFiles, Parts, shaped
from data.formats.padded_scan import Found, Sizes, scan
from data.open import open_file
from data.read import Episodes
from data.rows import MappedFile, Rows, rows_of
from data.schema import EPISODES
from envs import REGISTRY as env_REGISTRY
from envs.base import EnvInfo
from envs.sc2 import MOVES, action_names
from utils.errors import DataError, NotInstalledError


class PaddedEpisodes(Episodes):
    """The episodes of one file, or of several of the same sizes, one behind another."""

    derived = True

    def __init__(
        self,
        path: Path,
        parts: Sequence[Path],
        source: Source,
        quality: str,
        made_with: Mapping[str, Any],
    ) -> None:
        """parts: the files, in order; path: what they are together, for messages."""
        self.path = path
        require_scenario(path, source)
        found = [scan(part) for part in parts]
        _check_alike(parts, found)
        filled, length, returns, terminated = (
            np.concatenate(column) for column in zip(*(f[1:5] for f in found), strict=True)
        )
        self.episodes = figures(length, returns, terminated)
        sizes = found[0].sizes
        limit = max(sizes.time - 1, int(length.max()))
        info = EnvInfo(sizes.agents, sizes.actions, sizes.obs, sizes.state, limit)
        env_args = state_args(source, info)
        source = replace(source, env_args=env_args)
        facts = {**made_with} | _facts(parts, found, ~terminated & (length < limit))
        self.metadata = source.metadata(named(info, source), quality, **facts)
        self._open_rows(parts, [f.sizes for f in found], source.stream)
        first = np.arange(len(filled)) * sizes.time
        self._place(first, first + filled - 1)
        self.sha256 = hashlib.sha256("".join(f.sha256 for f in found).encode()).hexdigest()

    def _open_rows(self, paths: Sequence[Path], sizes: Sequence[Sizes], stream: bool) -> None:
        files = [MappedFile(path) for path in paths]
        self.mapped = files[0] if len(files) == 1 else MappedFiles(files)
        openers = [
            partial(_fields, path, file, each, stream)
            for path, file, each in zip(paths, files, sizes, strict=True)
        ]
        counts = [each.episodes * each.time for each in sizes]
        self.steps = Parts(openers, counts, stream).joined()


def figures(
    length: np.ndarray, returns: np.ndarray, terminated: np.ndarray
) -> dict[str, np.ndarray]:
    """What our format keeps of each episode; wins, policies and seeds are not known, so 0."""
    unknown = {name: np.zeros(len(length), dtype) for name, dtype in EPISODES.items()}
    known = {"length": length, "return": returns, "terminated": terminated}
    known["truncated"] = ~terminated
    with np.errstate(over="ignore"):  # found when the rows are checked
        return unknown | {name: values.astype(EPISODES[name]) for name, values in known.items()}


def require_scenario(path: Path, source: Source) -> None:
    """DataError where the environment has maps or tasks, and which of them it is nobody says."""
    if source.env_args.keys() & {"map_name", "key"} and not source.scenario:
        raise DataError(
            f"{path} does not say which map or task it is of; name it, such as --key=3m"
        )


def named(info: EnvInfo, source: Source) -> EnvInfo:
    """With the names of the actions, where the environment gives them."""
    known = None
    with contextlib.suppress(NotInstalledError):
        known = env_REGISTRY[source.env].env_info(dict(source.env_args))
    if known is not None and known.n_actions == info.n_actions:
        scores = known.reference_scores
        return replace(info, action_names=known.action_names, reference_scores=scores)
    if source.env == "sc2" and info.n_actions > len(MOVES):
        return replace(info, action_names=action_names(info.n_actions))
    return info


def state_args(source: Source, info: EnvInfo) -> dict[str, Any]:
    """The source's env_args; of SMAC state_last_action is what the state's width says.

    The official ICQ plays without the last actions in the state, offpymarl with them. Without them
    it has health, cooldown and place of every ally, health and place of every enemy, perhaps their
    shields and bits for their kinds. Where both readings are possible the args stay.
    """
    args, last = dict(source.env_args), info.n_agents * info.n_actions
    if source.env != "sc2" or "state_last_action" not in args:
        return args
    allies, enemies = info.n_agents, info.n_actions - len(MOVES)
    if enemies < 1 or args.get("obs_instead_of_state"):
        return args
    widths = {
        allies * (4 + shield + kinds) + enemies * (3 + their_shield + kinds)
        for shield in (0, 1) for their_shield in (0, 1) for kinds in (0, 2, 3)
    }  # fmt: skip
    without, with_them = info.state_shape in widths, info.state_shape - last in widths
    if without != with_them:
        args["state_last_action"] = with_them
    return args


def _facts(parts: Sequence[Path], found: Sequence[Found], short: np.ndarray) -> dict[str, Any]:
    """What the reader noticed, for made_with; DataError for a reward behind an episode's end."""
    facts: dict[str, Any] = {"battle_won": "unknown"}
    if short.any():
        facts["cut_short"] = int(short.sum())
    left_out = sum(int((f.length == f.filled).sum()) for f in found)
    for part, f in zip(parts, found, strict=True):
        _check_spare(part, f, bool(left_out))
    if left_out:  # then the last row of one that is cut is a step, too
        cut = sum(int((~f.terminated).sum()) for f in found)
        facts |= {"without_last_row": left_out, "cut_steps": cut}
    if any(f.corrected for f in found):
        facts["corrected_terminated"] = "ignored, it drops the last transition"
    probs = sorted({f.probs for f in found} - {""})
    if probs:
        facts["probs"] = f"{', '.join(probs)}; not converted"
    return facts


def _check_spare(part: Path, found: Found, left_out: bool) -> None:
    """left_out: whether there are episodes without a last row, so that cut ones may end in a step.

    A true end says itself where the last transition is.
    """
    wrong = (found.spare != 0) & (found.terminated | (not left_out))
    if wrong.any():
        i = int(np.argmax(wrong))
        raise DataError(
            f"{part}: episode {i}, step {found.length[i]}: the reward behind the last transition "
            f"is {found.spare[i]:g}, PyMARL leaves 0 there"
        )


def _check_alike(parts: Sequence[Path], found: Sequence[Found]) -> None:
    first = found[0].sizes
    for part, each in zip(parts, found, strict=True):
        if each.sizes[1:] != first[1:]:
            raise DataError(
                f"{part} holds (L, agents, actions, obs, state) {each.sizes[1:]}, "
                f"{parts[0]} {first[1:]}"
            )


def _fields(path: Path, mapped: MappedFile, sizes: Sizes, stream: bool) -> dict[str, Rows]:
    """Our fields of one file, with the shapes and types that `Episodes` asks for."""
    fields: dict[str, Rows] = {}
    shapes = {
        "obs": (sizes.agents, sizes.obs), "state": (sizes.state,),
        "avail_actions": (sizes.agents, sizes.actions), "actions": (sizes.agents,), "rewards": (),
    }  # fmt: skip
    with open_file(path) as file:
        for name, row in shapes.items():
            dataset: Any = file["reward" if name == "rewards" else name]
            dtype = _dtype(name, dataset.dtype)
            rows = rows_of(dataset, path, mapped, stream, row_axes=2)
            if isinstance(rows, np.ndarray) and rows.flags.writeable:  # in memory: the smaller way
                rows = rows.astype(dtype, copy=False)
            fields[name] = shaped(rows, row, dtype)
    return fields


def _dtype(name: str, stored: np.dtype[Any]) -> np.dtype[Any]:
    if name == "avail_actions":
        return np.dtype(np.bool_)
    if name == "actions":
        return np.dtype(np.int64) if stored.kind == "f" else stored
    return stored if stored.kind == "f" else np.dtype(np.float32)
