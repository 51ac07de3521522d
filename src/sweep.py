"""python src/sweep.py --config=ALG,... --env-config=ENV [--jobs=N] [-m DB] with key=value,value

Runs every combination of the values, N at a time, each as its own `python src/main.py`. What is
already completed in the results folder is left out, so an interrupted sweep is simply repeated.
Sacred's flags (-m, -c, ...) are each run's.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from data.recorded import with_recorded_env_args
from main import parse_updates, quiet_import, sacred_flags, take_flags
from utils.config import ROOT, available, load_settings
from utils.database import find_target
from utils.errors import ConfigError, exit_code_of
from utils.logging import progress_bar
from utils.records import completed_configs


def main(argv: list[str]) -> int:
    """Run the command -> 0 when every run completed."""
    return exit_code_of(lambda: _main(argv))


def _main(argv: list[str]) -> int:
    flags, rest = take_flags(argv, ("--config", "--env-config", "--jobs"))
    if {"-h", "--help"} & set(rest) or not flags["--config"]:
        sys.stdout.write(f"{__doc__}\nALG: {' '.join(available('algs'))}\n")
        return 0
    jobs = flags["--jobs"] or str(os.cpu_count() or 1)
    if not jobs.isdigit() or int(jobs) < 1:
        raise ConfigError(f"--jobs={jobs} must be 1 or more")
    sacreds = _sacreds(rest)
    updates = sacreds["UPDATE"]
    each = [word for word in rest if word not in [*updates, "with"]]
    return run_all(pending(_combinations(flags, updates)), int(jobs), each)


def _sacreds(words: list[str]) -> dict[str, Any]:
    """Sacred's flags and UPDATE, what stands behind `with`; ConfigError on what fits one run."""
    with quiet_import():
        from sacred import Experiment
    flags = sacred_flags(Experiment("icq"), words)
    for given in (flags["COMMAND"], flags["--id"] and "--id"):
        if given:
            raise ConfigError(f"{given} is for one run, not for a sweep")
    find_target(flags["--mongo_db"])
    return flags


def _combinations(
    flags: dict[str, str], updates: list[str]
) -> list[tuple[list[str], dict[str, Any]]]:
    """(command, its checked configuration) for every combination of the comma-separated values."""
    pairs = [word.partition("=") for word in updates]
    choices = [[f"{key}={value}" for value in values.split(",")] for key, _, values in pairs]
    found = []
    for alg, *words in itertools.product(flags["--config"].split(","), *choices):
        names = [f"--config={alg}", f"--env-config={flags['--env-config']}"]
        changes = parse_updates(words)
        settings = load_settings(alg, flags["--env-config"], changes)
        settings = with_recorded_env_args(settings, changes.get("env_args", {}))
        found.append(([*names, *(["with", *words] if words else [])], settings.values))
    return found


def pending(combinations: list[tuple[list[str], dict[str, Any]]]) -> list[list[str]]:
    """The commands of those (command, its configuration) that have not been completed."""
    completed: dict[Path, list[dict[str, Any]]] = {}
    left = []
    for command, values in combinations:
        folder = ROOT / values["local_results_path"]
        if folder not in completed:
            completed[folder] = _completed(folder)
        if values not in completed[folder]:
            left.append(command)
    return left


def _completed(folder: Path) -> list[dict[str, Any]]:
    """Configurations of runs that ended; of one that was resumed also what it was before."""
    configs = list(completed_configs(folder).values())
    resumed = [c for c in configs if c["checkpoint_path"] and not c["evaluate"]]
    return configs + [config | {"checkpoint_path": ""} for config in resumed]


def run_all(commands: list[list[str]], jobs: int, flags: Sequence[str] = ()) -> int:
    """Run `python src/main.py` with each of the commands' words, `jobs` at a time -> exit code.

    All get the flags, too, which are not shown: there may be a password in them.
    """
    bar = progress_bar(len(commands), 0, " runs")
    failures = 0
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(_run_one, [*flags, *command]): command for command in commands}
        try:
            for future in as_completed(futures):
                code, last_line = future.result()
                failures += code != 0
                state = "done" if code == 0 else f"FAILED ({code})"
                bar.write(f"{state}: {' '.join(futures[future])}: {last_line}", file=sys.stdout)
                bar.update()
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise
    bar.close()
    return min(failures, 1)


def _run_one(command: list[str]) -> tuple[int, str]:
    program = [sys.executable, str(ROOT / "src" / "main.py"), *command]
    result = subprocess.run(program, capture_output=True, text=True, check=False)
    lines = (result.stdout if result.returncode == 0 else result.stderr).strip().splitlines()
    return result.returncode, lines[-1] if lines else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
