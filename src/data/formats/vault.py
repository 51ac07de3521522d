"""OG-MARL's vaults (extra `vault`): SCENARIO.vlt/UID, made by flashbax; read and written.

A row is a step: what was seen, done and earned, and whether the episode ends. There is no row
behind the last one, see data.formats.flat. A vault that this project wrote tells where it comes
from; of another's the scenario is the map, the Uid the quality.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from data.formats.base import Format, Source
from data.formats.flat import LongEpisodes, check_whose, of_one_policy
from data.formats.padded import named, require_scenario, state_args
from data.formats.vault_files import (
    MANIFEST,
    METADATA_FILE,
    OWN,
    SUFFIX,
    StoreRows,
    VaultFiles,
    read_json,
)
from data.formats.vault_scan import Scan, scan
from data.formats.vault_steps import arrays_of, steps_of
from data.read import Episodes
from data.rows import Rows
from data.schema import Metadata
from envs import REGISTRY as env_REGISTRY
from envs.base import EnvInfo
from utils.config import scenario
from utils.errors import DataError, NotInstalledError

FLASHBAX = ("version", "structure", "structure_shape", "structure_dtype", OWN)
"""What is in every metadata.json, or ours; the rest is the maker's."""


class Vault(Format):
    """flashbax's folders, without JAX."""

    what = "OG-MARL's vault"

    def recognises(self, name: str) -> bool:
        """A folder with a vault's files, or that lies where one should."""
        path = Path(name)
        if not path.is_dir():
            return False
        placed = SUFFIX in (path.suffix, path.absolute().parent.suffix)
        return placed or all((path / file).is_file() for file in (MANIFEST, METADATA_FILE))

    def takes(self, target: str) -> bool:
        """SCENARIO.vlt/UID."""
        return Path(target).absolute().parent.suffix == SUFFIX

    def read(self, source: Source) -> LongEpisodes:
        """The episodes, streamed, or in memory where they are to be drawn from."""
        path = source.path
        _check_folder(path)
        files = VaultFiles(path)
        arrays = arrays_of(files)
        steps, notes = steps_of(path, arrays)
        found = scan(path, arrays)
        metadata = _metadata(source, files, steps, found, notes | found.notes)
        info = metadata.info
        if "avail_actions" not in steps:
            shape = (files.steps, info.n_agents, 0 if info.continuous else info.n_actions)
            steps["avail_actions"] = np.broadcast_to(True, shape)
        if not source.stream:
            steps = {k: v.in_memory() if isinstance(v, StoreRows) else v for k, v in steps.items()}
        return LongEpisodes(path, steps, found.ends, metadata, found.sha256)

    def write(self, data: Episodes, target: str) -> list[str]:
        """A new folder, which flashbax opens."""
        from data.formats.vault_write import write_vault

        return write_vault(data, Path(target))

    def key_of(self, name: str) -> str:
        """What a vault of ours says, or the name of SCENARIO.vlt."""
        path = Path(name)
        _check_folder(path)
        own = _own_metadata(path, read_json(path))
        return scenario(own.env_args) if own else path.absolute().parent.name.removesuffix(SUFFIX)


def _check_folder(path: Path) -> None:
    if not path.is_dir():
        raise DataError(f"{path} is no folder; a vault is a folder, SCENARIO.vlt/UID")
    if path.suffix == SUFFIX and not (path / METADATA_FILE).exists():
        inside = sorted(p.name for p in path.iterdir() if p.is_dir())
        if not inside:
            raise DataError(f"{path} is empty; copy or download it again")
        raise DataError(f"{path} holds {', '.join(inside)}; name one, {path / inside[0]}")


def _own_metadata(path: Path, stored: dict[str, Any]) -> Metadata | None:
    """Where the episodes come from, if this project wrote the vault."""
    if OWN not in stored:
        return None
    try:
        return Metadata.from_attributes(stored[OWN])
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path / METADATA_FILE}: {OWN} is damaged ({error})") from error


def _metadata(
    source: Source, files: VaultFiles, steps: Mapping[str, Rows], found: Scan, notes: dict[str, Any]
) -> Metadata:
    own = _own_metadata(source.path, files.metadata)
    if own:
        check_whose(source.path, own, source.env, source.env_args)
        _check_numbers(source.path, own.info, steps)
        more = {"left_out_by_vault": notes} if notes else {}
        return of_one_policy(replace(own, made_with=own.made_with | more))
    require_scenario(source.path, source)
    longest = int((found.ends.last - found.ends.first + found.ends.whole).max())
    info = _info(source, steps, longest)
    env_args = state_args(source, info)
    source = replace(source, env_args=env_args)
    theirs = {k: v for k, v in files.metadata.items() if k not in FLASHBAX}
    name = f"{source.path.absolute().parent.name}/{source.path.absolute().name}"
    facts = {"format": "OG-MARL's vault", "vault": name, "vault_version": files.metadata["version"]}
    facts |= {"vault_metadata": theirs} if theirs else {}
    return source.metadata(info, source.path.absolute().name.lower(), **facts, **notes)


def _info(source: Source, steps: Mapping[str, Rows], longest: int) -> EnvInfo:
    """The vault's numbers; limit, names and bounds are the environment's, if it is here."""
    known, game = None, f"{source.env} {source.scenario}".strip()
    continuous = steps["actions"].dtype.kind == "f"
    asks = "avail_actions" not in steps  # for the number of actions, or their bounds
    with contextlib.nullcontext() if asks else contextlib.suppress(NotInstalledError):
        known = env_REGISTRY[source.env].env_info(dict(source.env_args))
    if known and known.continuous != continuous:
        kinds = ("discrete", "continuous")
        raise DataError(
            f"{source.path}: its actions are {kinds[continuous]}, those of {game} "
            f"{kinds[known.continuous]}; name its environment with --env-config and --key"
        )
    n_agents, obs_shape = steps["obs"].shape[1:]
    info = EnvInfo(
        n_agents=n_agents,
        n_actions=_n_actions(steps, known),
        obs_shape=obs_shape,
        state_shape=steps["state"].shape[1],
        episode_limit=known.episode_limit if known else longest,
    )
    if continuous and known:
        if known.n_actions != info.n_actions:
            raise DataError(
                f"{source.path}: its actions are {info.n_actions} numbers for each agent, those of "
                f"{game} {known.n_actions}; name its environment with --env-config and --key"
            )
        info = replace(info, action_low=known.action_low, action_high=known.action_high)
    return named(info, source)


def _n_actions(steps: Mapping[str, Rows], known: EnvInfo | None) -> int:
    if "avail_actions" in steps:
        return int(steps["avail_actions"].shape[2])
    if steps["actions"].dtype.kind == "f":
        return int(steps["actions"].shape[2])
    assert known is not None  # else its error was not suppressed
    return known.n_actions


def _check_numbers(path: Path, info: EnvInfo, steps: Mapping[str, Rows]) -> None:
    theirs = (*steps["obs"].shape[1:], steps["state"].shape[1])
    ours = (info.n_agents, info.obs_shape, info.state_shape)
    if theirs != ours:
        raise DataError(
            f"{path}: its arrays have (agents, obs, state) {theirs}, its metadata says {ours}"
        )
