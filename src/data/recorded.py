"""What a run takes from its data before anything is built: the environment's arguments."""

from __future__ import annotations

from typing import Any

from data.open import open_file, read_metadata
from data.schema import FORMAT, MINARI
from envs import REGISTRY as env_REGISTRY
from utils.config import RunConfig, Settings, check_settings


def with_recorded_env_args(settings: Settings, given: dict[str, Any]) -> Settings:
    """Learning from data is learning about its game: env_args are the file's, but for `given`.

    given: the env_args of the command line; where they differ from the file's, the run is refused
    when the data is opened. Formats that do not tell env_args change nothing.
    """
    run = settings.run
    if not _learns_from_file(run):
        return settings
    with open_file(run.dataset_path) as file:
        if file.attrs.get("format") != FORMAT:
            return settings
        metadata = read_metadata(file, run.dataset_path)
    if metadata.env != run.env:
        return settings
    declared = {k: v for k, v in metadata.env_args.items() if k in run.env_args.keys() - given}
    free = env_REGISTRY[run.env].FREE_ARGS
    theirs = {key: value for key, value in declared.items() if key not in free}
    return check_settings(settings.values | {"env_args": run.env_args | theirs})


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
