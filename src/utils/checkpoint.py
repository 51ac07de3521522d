"""Checkpoints: results/models/<run>/<t_env>/, laid out as PyMARL does and written whole or not.

agent.th, critic.th, mixer.th, opt.th ... are named as in PyMARL. Everything else that resuming
needs (targets, random state, counters, the configuration) is in trainer_state.th, the records so
far in metrics.csv.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn

from utils.errors import CheckpointError

TRAINER_STATE = "trainer_state.th"
METRICS = "metrics.csv"
BUFFER = "buffer.th"


def save_checkpoint(
    models_dir: Path,
    t_env: int,
    learner_state: dict[str, Any],
    trainer_state: dict[str, Any],
    metrics: Path,
    buffer: dict[str, Any] | None = None,
) -> Path:
    """Write one checkpoint under `models_dir`; it appears under its name when it is complete."""
    final, partial = models_dir / str(t_env), models_dir / f".{t_env}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    rest = dict(trainer_state)
    rest["learner"] = {k: v for k, v in learner_state.items() if not _has_own_file(k, v)}
    for name, state in learner_state.items():
        if _has_own_file(name, state):
            _save(state, partial / f"{name}.th")
    _save(rest, partial / TRAINER_STATE)
    with metrics.open("rb") as records, (partial / METRICS).open("wb") as copy:
        shutil.copyfileobj(records, copy)
        copy.flush()
        os.fsync(copy.fileno())
    if buffer is not None:
        _save(buffer, partial / BUFFER)
    if final.exists():  # a rerun with the same id: the old one stays until the new one is there
        old = models_dir / f".{t_env}.old"
        shutil.rmtree(old, ignore_errors=True)
        final.rename(old)
        partial.rename(final)
        shutil.rmtree(old)
    else:
        partial.rename(final)
    if buffer is not None:  # only now that a newer one is whole
        for earlier in models_dir.glob(f"*/{BUFFER}"):
            if earlier.parent != final:
                earlier.unlink()
    return final


def find_checkpoint(path: Path, load_step: int) -> Path:
    """The checkpoint nearest to `load_step`, or the latest for 0, in a run's folder."""
    if (path / TRAINER_STATE).is_file():
        return path
    steps = [int(p.name) for p in path.glob("*") if p.name.isdigit()] if path.is_dir() else []
    if not steps:
        raise CheckpointError(
            f"checkpoint_path={path}: no checkpoint there; "
            "it must be the folder of a run, results/models/<run>"
        )
    chosen = max(steps) if load_step == 0 else min(steps, key=lambda step: abs(step - load_step))
    return path / str(chosen)


def read_checkpoint(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(learner state, trainer state) of one checkpoint."""
    files = {p.stem: _load(p) for p in sorted(folder.glob("*.th")) if p.name != BUFFER}
    trainer = files.pop(Path(TRAINER_STATE).stem, {})
    if not trainer:
        raise CheckpointError(f"{folder} lacks {TRAINER_STATE}")
    for part in ("learner", "runner", "config"):
        if part not in trainer:
            raise CheckpointError(f"{folder / TRAINER_STATE} is not a run's: it lacks {part}")
    return files | trainer.pop("learner"), trainer


def read_buffer(folder: Path) -> dict[str, Any] | None:
    """The live runner's episodes, if they were saved with this checkpoint."""
    return _load(folder / BUFFER) if (folder / BUFFER).is_file() else None


def load_agent(agent: nn.Module, learner_state: dict[str, Any], folder: Path) -> None:
    """Put a checkpoint's agent into the network, or say why it does not fit."""
    if "agent" not in learner_state:
        raise CheckpointError(f"{folder} has no agent.th")
    wanted, found = agent.state_dict(), learner_state["agent"]
    if not isinstance(found, dict):
        raise CheckpointError(f"{folder / 'agent.th'} holds no network's state")
    for name in sorted(wanted.keys() | found.keys()):
        ours = tuple(wanted[name].shape) if name in wanted else "nothing"
        theirs = tuple(found[name].shape) if name in found else "nothing"
        if ours != theirs:
            raise CheckpointError(
                f"{folder / 'agent.th'} belongs to another network: {name} is {theirs} there, "
                f"{ours} here; use the --config, map, obs_* and sizes of the run that made it"
            )
    agent.load_state_dict(found)


def _has_own_file(name: str, state: Any) -> bool:
    return isinstance(state, dict) and not name.startswith("target_")


def _save(state: Any, path: Path) -> None:
    try:
        with path.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
    except (OSError, RuntimeError) as error:  # torch turns a full disk into a RuntimeError
        raise CheckpointError(f"{path} could not be written: {error}") from error


def _load(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, KeyError, RuntimeError, ValueError, UnpicklingError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path} cannot be read: {reason}") from error
