"""What a run takes from data or checkpoint before anything is built: env_args."""

from __future__ import annotations

from typing import Any

from data.open import open_file, read_metadata
from data.schema import FORMAT, MINARI
from envs import REGISTRY as env_REGISTRY
from utils.config import ROOT, RunConfig, Settings, check_settings


def with_recorded_env_args(settings: Settings, given: dict[str, Any]) -> Settings:
    """env_args are those of what is learnt from or evaluated, but for `given`.

    given: the env_args of the command line; where they differ from the recorded ones, the run is
    refused when the data or the checkpoint is opened.
    """
    run = settings.run
    env, recorded = _recorded_env(run)
    if env != run.env:
        return settings
    taken = run.env_args.keys() - given.keys() - env_REGISTRY[env].FREE_ARGS
    theirs = {key: recorded[key] for key in taken & recorded.keys()}
    return check_settings(settings.values | {"env_args": run.env_args | theirs})


def _recorded_env(run: RunConfig) -> tuple[str, dict[str, Any]]:
    """(env, env_args) as the checkpoint or the data file tells them; ("", {}) where none does."""
    if run.evaluate and run.checkpoint_path:
        from utils.checkpoint import find_checkpoint, read_checkpoint

        folder = find_checkpoint(ROOT / run.checkpoint_path, run.load_step)
        config = read_checkpoint(folder)[1]["config"]
        return config["env"], config["env_args"]
    if not _learns_from_file(run):
        return "", {}
    with open_file(run.dataset_path) as file:
        if file.attrs.get("format") != FORMAT:
            return "", {}
        metadata = read_metadata(file, run.dataset_path)
    return metadata.env, metadata.env_args


def require_environment(run: RunConfig) -> None:
    """NotInstalledError where a run cannot do without its environment and that is not here."""
    from_minari = _learns_offline(run) and run.dataset.startswith(MINARI)
    if not (from_minari or _learns_from_file(run)):
        env_REGISTRY[run.env].check_installed(run.env_args)


def _learns_offline(run: RunConfig) -> bool:
    return run.runner == "offline" and not run.evaluate


def _learns_from_file(run: RunConfig) -> bool:
    from_file = _learns_offline(run) and not run.dataset.startswith(MINARI)
    return from_file and run.dataset_path.is_file()
