"""What a run takes from data or checkpoint before anything is built: env_args."""

from __future__ import annotations

from typing import Any

from data.schema import FORMAT, MINARI
from envs import REGISTRY as env_REGISTRY
from utils.config import RunConfig, Settings, check_env_args, check_settings
from utils.paths import ROOT


def with_recorded_env_args(settings: Settings, given: dict[str, Any]) -> tuple[Settings, list[str]]:
    """env_args are those of what is learnt from or evaluated -> (settings, what that changed).

    But for `given`, those of the command line: where they differ from the recorded ones, the run
    is refused when data or checkpoint is opened. So it is for a task's `key`, which may import
    what it names.
    """
    run = settings.run
    source, env, recorded = _recorded_env(run)
    if env != run.env:
        return settings, []
    taken = run.env_args.keys() - given.keys() - env_REGISTRY[env].FREE_ARGS - {"key"}
    theirs = {k: recorded[k] for k in sorted(taken & recorded.keys())}
    theirs = {k: v for k, v in theirs.items() if v != run.env_args[k]}
    if not theirs:
        return settings, []
    check_env_args(theirs, run.env_args, source)
    told = " ".join(f"env_args.{key}={value}" for key, value in theirs.items())
    settings = check_settings(settings.values | {"env_args": run.env_args | theirs})
    return settings, [f"As {source} says: {told}"]


def _recorded_env(run: RunConfig) -> tuple[str, str, dict[str, Any]]:
    """(source, env, env_args) of checkpoint or data file; ("", "", {}) where none tells them."""
    if run.evaluate and run.checkpoint_path:
        from utils.checkpoint import find_checkpoint, read_checkpoint

        folder = find_checkpoint(ROOT / run.checkpoint_path, run.load_step)
        config = read_checkpoint(folder)[1]["config"]
        return str(folder), config["env"], config["env_args"]
    if not _learns_from_file(run):
        return "", "", {}
    if run.dataset_path.is_dir():
        return "", "", {}
    from data.open import metadata_of, open_file, root_attributes

    with open_file(run.dataset_path) as file:
        attributes = root_attributes(run.dataset_path)
        if attributes.get("format") != FORMAT:
            return "", "", {}
        metadata = metadata_of(attributes, file, run.dataset_path)
    return str(run.dataset_path), metadata.env, metadata.env_args


def require_environment(run: RunConfig) -> None:
    """NotInstalledError where a run cannot do without its environment and that is not here."""
    from_minari = _learns_offline(run) and run.dataset.startswith(MINARI)
    if not (from_minari or _learns_from_file(run)):
        env_REGISTRY[run.env].check_installed(run.env_args)


def _learns_offline(run: RunConfig) -> bool:
    return run.runner == "offline" and not run.evaluate


def _learns_from_file(run: RunConfig) -> bool:
    from_file = _learns_offline(run) and not run.dataset.startswith(MINARI)
    return from_file and run.dataset_path.exists()
