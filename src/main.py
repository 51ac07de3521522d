"""python src/main.py --config=ALG --env-config=ENV [with key=value ...]

Sacred's entry point: argv -> checked configuration -> run. A user's mistake ends in one line.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import uuid
import warnings
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from data.recorded import require_environment, with_recorded_env_args
from utils.config import Settings, available, load_settings
from utils.errors import ConfigError, GameError, NotInstalledError, exit_code_of

USAGE = """\
python src/main.py --config=ALG --env-config=ENV [SACRED'S FLAGS] [with key=value ...]

  ALG    {algs}
  ENV    {envs}

  python src/main.py --config=icq --env-config=smax with env_args.map_name=2s3z dataset_quality=poor
  python src/main.py --config=icq --env-config=smax with evaluate=True checkpoint_path=results/models/RUN
  python src/main.py print_config --config=icq --env-config=smax     every key and its value

The keys are explained in src/config/default.yaml, config/envs/ENV.yaml and config/algs/ALG.yaml.
Sacred's flags: -m HOST:PORT:DB (MongoDB, too: docs/database.md), -F DIR (another folder), -u (no
record), -n NAME, -c COMMENT, ...
"""  # noqa: E501 - lines to copy

OTHER_COMMANDS = (
    "print_config", "print_dependencies", "print_named_configs", "save_config",
)  # fmt: skip
"""Sacred's own: nothing is trained."""
OBSERVERS = {"--tiny_db": ("tinydb", "hashfs"), "--s3": ("boto3",)}
"""Sacred's flags for other kinds of records -> the packages that they need."""


def main(argv: list[str]) -> int:
    """Run the program -> its exit code."""
    if {"-h", "--help"} & set(argv):
        algs, envs = " ".join(available("algs")), " ".join(available("envs"))
        sys.stdout.write(USAGE.format(algs=algs, envs=envs))
        return 0
    return exit_code_of(lambda: _main(argv))


def _main(argv: list[str]) -> int:
    names, rest = take_flags(argv, ("--config", "--env-config"))
    with quiet_import():
        from sacred import Experiment
    experiment = Experiment("icq")
    flags = sacred_flags(experiment, rest)
    updates = parse_updates(flags["UPDATE"])
    settings = load_settings(names["--config"], names["--env-config"], updates)
    settings, notes = with_recorded_env_args(settings, updates.get("env_args", {}))
    if not flags["COMMAND"]:
        require_environment(settings.run)
    return _run_through_sacred(experiment, settings, updates, flags, notes)


def take_flags(argv: list[str], flags: tuple[str, ...]) -> tuple[dict[str, str], list[str]]:
    """Take `--flag=value` and `--flag value` out of argv."""
    values = dict.fromkeys(flags, "")
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        flag, _, value = word.partition("=")
        if flag in values:
            values[flag] = value or next(words, "")
        else:
            rest.append(word)
    return values, rest


def sacred_flags(experiment: Any, argv: list[str]) -> dict[str, Any]:
    """Sacred's flags, COMMAND and UPDATE (what stands behind `with`), read by its own usage."""
    from docopt import DocoptExit, docopt

    _, _, usage = experiment.get_usage("main.py")
    try:
        flags = docopt(usage, argv, default_help=False)
    except DocoptExit as error:
        raise ConfigError(f"{_shown(argv)}: not understood; see --help") from error
    command = "help" if flags["help"] else flags["COMMAND"]
    if command and "=" in command:
        raise ConfigError(f"{command}: write `with` before the first key=value")
    if command and command not in OTHER_COMMANDS:
        raise ConfigError(f"{command} is not a command; there are {', '.join(OTHER_COMMANDS)}")
    _check_observers(flags)
    return dict(flags)


def _check_observers(flags: dict[str, Any]) -> None:
    if flags["--sql"] is not None:
        raise ConfigError(
            "--sql: Sacred would write the password into the run's record; for a database use -m "
            "(docs/database.md)"
        )
    for flag, packages in OBSERVERS.items():
        missing = [name for name in packages if importlib.util.find_spec(name) is None]
        if flags[flag] is not None and missing:
            names = " ".join(missing)
            raise NotInstalledError(
                f"{flag} needs packages that are not installed here; install them with: "
                f"pip install {names}"
            )


def _shown(argv: list[str]) -> str:
    """The words, without any that may hold a password."""
    return " ".join(f"***@{word.rpartition('@')[2]}" if "@" in word else word for word in argv)


def parse_updates(words: list[str]) -> dict[str, Any]:
    """key=value words as nested values, read as Sacred reads them."""
    with quiet_import():
        from sacred.arg_parser import get_config_updates

    updates, named = get_config_updates(words)
    if named:
        raise ConfigError(f"{named[0]}: key=value is needed behind `with`")
    return updates


def _run_through_sacred(
    experiment: Any, settings: Settings, updates: dict[str, Any], flags: dict[str, Any],
    notes: list[str],
) -> int:  # fmt: skip
    from utils.database import find_target
    from utils.observers import DatabaseObserver, WholeFiles, claimed

    target = find_target(flags["--mongo_db"])
    token = flags["--id"] or _new_token(settings.values["name"])
    record = _free_record(settings.run.results / "sacred", token)
    experiment.logger = None
    experiment.add_config(settings.values)
    experiment.observers.append(WholeFiles(record.parent))
    if target:
        experiment.observers.append(DatabaseObserver(target, settings.run.results))

    trainer = None if flags["COMMAND"] else _build(settings, token, notes)

    @experiment.main
    def main_run(_run: Any) -> dict[str, float]:
        assert trainer is not None
        return trainer.run(_run)

    options = flags | {"--id": token, "--capture": flags["--capture"] or "sys"}
    options["--debug"] = True  # mistakes come back to main
    options["--mongo_db"] = None  # Sacred would record it, password and all
    unrecorded = flags["COMMAND"] or flags["--unobserved"]
    try:
        with contextlib.nullcontext() if unrecorded else claimed(record):
            experiment.run(flags["COMMAND"], updates, options=options)
    except (KeyboardInterrupt, GameError):
        if trainer is not None and trainer.models_dir.is_dir():
            sys.stderr.write(f"Resume with checkpoint_path={trainer.models_dir}\n")
        raise
    return 0


def _free_record(folder: Path, token: str) -> Path:
    """A run's folder, as long as there is none; only `claimed` makes it the run's."""
    from utils.observers import id_taken

    if "/" in token:
        raise ConfigError(f"--id={token}: an id is the name of a folder; leave out the /")
    if (record := folder / token).exists():
        raise id_taken(record)
    return record


def _build(settings: Settings, token: str, notes: list[str]) -> Any:
    """Everything that can be wrong with the data or a checkpoint is found here."""
    from run import Trainer

    return Trainer(settings, token, notes)


@contextlib.contextmanager
def quiet_import() -> Iterator[None]:
    """Sacred 0.8.7 imports pkg_resources, which warns; constraints.txt keeps it working.

    Where pandas is installed it imports that, too, to store data frames, and every start would wait
    for it: here are none, so it is told that there is no pandas.
    """
    modules: dict[str, ModuleType | None] = sys.modules  # pyright: ignore[reportAssignmentType]
    hidden = "pandas" not in modules
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
        if hidden:
            modules["pandas"] = None
        try:
            yield
        finally:
            if hidden:
                del modules["pandas"]


def _new_token(name: str) -> str:
    """A run's id that never collides, however many runs start at once."""
    now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    return f"{name}__{now}_{uuid.uuid4().hex[:6]}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
