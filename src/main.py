"""python src/main.py --config=ALG --env-config=ENV [with key=value ...]

Sacred's entry point: argv -> checked configuration -> run. A user's mistake ends in one line.
"""

from __future__ import annotations

import contextlib
import sys
import uuid
import warnings
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from utils.config import Settings, available, load_settings
from utils.errors import ConfigError, exit_code_of

USAGE = """\
python src/main.py --config=ALG --env-config=ENV [SACRED'S FLAGS] [with key=value ...]

  ALG    {algs}
  ENV    {envs}

  python src/main.py --config=icq --env-config=smax with env_args.map_name=2s3z dataset_quality=poor
  python src/main.py --config=icq --env-config=smax with evaluate=True checkpoint_path=results/models/RUN
  python src/main.py print_config --config=icq --env-config=smax     every key and its value

The keys are explained in src/config/default.yaml, config/envs/ENV.yaml and config/algs/ALG.yaml.
Sacred's flags: -m DB (MongoDB), -F DIR (another folder), -u (no record), -n NAME, -c COMMENT, ...
"""  # noqa: E501 - lines to copy

OTHER_COMMANDS = {
    "print_config",
    "print_dependencies",
    "print_named_configs",
    "save_config",
    "help",
}


def main(argv: list[str]) -> int:
    """Run the program -> its exit code."""
    if {"-h", "--help"} & set(argv):
        algs, envs = " ".join(available("algs")), " ".join(available("envs"))
        sys.stdout.write(USAGE.format(algs=algs, envs=envs))
        return 0
    return exit_code_of(lambda: _main(argv))


def _main(argv: list[str]) -> int:
    names, rest = take_flags(argv, ("--config", "--env-config"))
    settings = load_settings(names["--config"], names["--env-config"], _updates(rest))
    return _run_through_sacred(settings, rest)


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


def _updates(argv: list[str]) -> dict[str, Any]:
    """What stands behind `with`, read as Sacred reads it."""
    if "with" not in argv:
        stray = [word for word in argv if "=" in word and not word.startswith("-")]
        if stray:
            raise ConfigError(f"{stray[0]}: write `with` before the first key=value")
        return {}
    return parse_updates(argv[argv.index("with") + 1 :])


def parse_updates(words: list[str]) -> dict[str, Any]:
    """key=value words as nested values, read as Sacred reads them."""
    with _quiet_import():
        from sacred.arg_parser import get_config_updates

    updates, named = get_config_updates(words)
    if named:
        raise ConfigError(f"{named[0]}: key=value is needed behind `with`")
    return updates


def _run_through_sacred(settings: Settings, argv: list[str]) -> int:
    with _quiet_import():
        from sacred import Experiment
        from sacred.observers import FileStorageObserver

    token, argv = _token(settings.values["name"], argv)
    record = settings.run.results / "sacred" / token
    if record.exists():
        raise ConfigError(f"--id={token}: {record} is there already; choose another id")
    experiment = Experiment("icq")
    experiment.logger = None
    experiment.add_config(settings.values)
    experiment.observers.append(FileStorageObserver(settings.run.results / "sacred"))

    trainer = None if OTHER_COMMANDS & set(argv) else _build(settings, token)

    @experiment.main
    def main_run(_run: Any) -> dict[str, float]:
        assert trainer is not None
        return trainer.run(_run)

    flags = [f"--id={token}"]
    if not {"-d", "--debug"} & set(argv):
        flags.append("--debug")  # mistakes come back to main
    if not any(word.startswith(("-C", "--capture")) for word in argv):
        flags.append("--capture=sys")
    try:
        experiment.run_commandline(["main.py", *argv, *flags])
    except KeyboardInterrupt:
        if trainer is not None and trainer.models_dir.is_dir():
            sys.stderr.write(f"Resume with checkpoint_path={trainer.models_dir}\n")
        raise
    return 0


def _build(settings: Settings, token: str) -> Any:
    """Everything that can be wrong with the data or a checkpoint is found here."""
    from run import Trainer

    return Trainer(settings, token)


@contextlib.contextmanager
def _quiet_import() -> Iterator[None]:
    """Sacred 0.8.7 imports pkg_resources, which warns; constraints.txt keeps it working."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
        yield


def _token(name: str, argv: list[str]) -> tuple[str, list[str]]:
    """The run's id, taken out of argv (Sacred's -i/--id) or made so that it never collides."""
    values, rest = take_flags(argv, ("-i", "--id"))
    now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    made = f"{name}__{now}_{uuid.uuid4().hex[:6]}"
    return values["-i"] or values["--id"] or made, rest


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
