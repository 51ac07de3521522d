"""python src/sweep.py --config=ALG,... --env-config=ENV [--jobs=N] [-m DB] with key=value,value

Runs every combination of the values, N at a time, each as its own `python src/main.py`. What is
already completed in the results folder is left out, so an interrupted sweep is simply repeated.
Commas within a value stand in brackets or quotes. Sacred's flags (-m, -c, ...) are each run's.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from data.recorded import with_recorded_env_args
from envs import REGISTRY as env_REGISTRY
from main import parse_updates, quiet_import, sacred_flags, take_flags
from utils.config import available, load_settings, yaml_values
from utils.database import find_target
from utils.errors import ConfigError, exit_code_of
from utils.logging import progress_bar
from utils.paths import ROOT
from utils.records import NOT_IDENTITY, completed_configs, filled

NAMES = ("--config", "--env-config")
OF_A_LOOK = {"checkpoint_path", "load_step", "save_replay"}
"""Keys that count where a checkpoint is only evaluated."""
GRACE, PATIENCE = 1.0, 80.0
"""Seconds in which runs end that Ctrl-C has reached, too; then those that it has not (at the end a
run may wait for a slow database)."""


def main(argv: list[str]) -> int:
    """Run the command -> 0 when every run completed."""
    return exit_code_of(lambda: _main(argv))


def _main(argv: list[str]) -> int:
    flags, rest = take_flags(argv, (*NAMES, "--jobs"))
    if {"-h", "--help"} & set(rest) or not flags["--config"]:
        sys.stdout.write(f"{__doc__}\nALG: {' '.join(available('algs'))}\n")
        return 0
    jobs = flags["--jobs"] or str(os.cpu_count() or 1)
    if not jobs.isdigit() or int(jobs) < 1:
        raise ConfigError(f"--jobs={jobs} must be 1 or more")
    sacreds = _sacreds(rest)
    given = {k: v for k, v in sacreds.items() if k.startswith("--") and v not in (None, False)}
    each = [flag if value is True else f"{flag}={value}" for flag, value in given.items()]
    return run_all(pending(_combinations(flags, sacreds["UPDATE"])), int(jobs), each)


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
    choices = [[f"{key}={value}" for value in _split(values)] for key, _, values in pairs]
    found = []
    for alg, *words in itertools.product(flags["--config"].split(","), *choices):
        names = [f"--config={alg}", f"--env-config={flags['--env-config']}"]
        changes = parse_updates(words)
        settings = load_settings(alg, flags["--env-config"], changes)
        settings, _ = with_recorded_env_args(settings, changes.get("env_args", {}))
        found.append(([*names, *(["with", *words] if words else [])], settings.values))
    return found


def _split(values: str) -> list[str]:
    """At the commas outside of brackets and quotes."""
    parts, depth, quote = [""], 0, ""
    for character in values:
        if quote:
            quote = quote.replace(character, "")
        elif character in "'\"":
            quote = character
        else:
            depth += (character in "([{") - (character in ")]}")
        if character == "," and not quote and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def pending(combinations: list[tuple[list[str], dict[str, Any]]]) -> list[list[str]]:
    """The commands of those (command, its configuration) that have not been completed."""
    completed: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    left = []
    for command, values in combinations:
        names, _ = take_flags(command, NAMES)
        key = (values["local_results_path"], *names.values())
        if key not in completed:
            completed[key] = _completed(*key)
        if _what_counts(values) not in completed[key]:
            left.append(command)
    return left


def _completed(results: str, alg: str, env: str) -> list[dict[str, Any]]:
    """What counts of the runs that ended; keys that they had not yet have the YAML's values."""
    usual = yaml_values(alg, env)
    found = completed_configs(ROOT / results).values()
    return [_what_counts(filled(c, usual)) for c in found if c["env"] == usual["env"]]


def _what_counts(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration without what changes nothing of what is learnt or measured."""
    free = env_REGISTRY[config["env"]].FREE_ARGS - {"seed"}
    ignored = NOT_IDENTITY - (OF_A_LOOK if config["evaluate"] else set())
    env_args = {k: v for k, v in config["env_args"].items() if k not in free}
    return {k: v for k, v in config.items() if k not in ignored} | {"env_args": env_args}


def run_all(commands: list[list[str]], jobs: int, flags: Sequence[str] = ()) -> int:
    """Run `python src/main.py` with each of the commands' words, `jobs` at a time -> exit code.

    All get the flags, too, which are not shown: there may be a password in them. An interrupt ends
    the runs as well.
    """
    bar = progress_bar(len(commands), 0, " runs")
    failures, runs = 0, _Runs()
    with ThreadPoolExecutor(jobs) as pool:
        try:
            futures = {pool.submit(runs.run, [*flags, *command]): command for command in commands}
            for future in as_completed(futures):
                code, last_line = future.result()
                failures += code != 0
                state = "done" if code == 0 else f"FAILED ({code})"
                bar.write(f"{state}: {' '.join(futures[future])}: {last_line}", file=sys.stdout)
                bar.update()
        except BaseException:
            runs.stop()
            raise
    bar.close()
    return min(failures, 1)


class _Runs:
    """The processes of a sweep, which end with it. Threads start them: no signal comes between."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[str]] = []
        self._lock, self._stopped = threading.Lock(), False

    def run(self, words: list[str]) -> tuple[int, str]:
        """Run `python src/main.py` -> its exit code and last line."""
        program = [sys.executable, str(ROOT / "src" / "main.py"), *words]
        pipe = subprocess.PIPE
        with self._lock:
            if self._stopped:
                return 1, ""
            process = subprocess.Popen(program, stdout=pipe, stderr=pipe, text=True)
            self._processes.append(process)
        out, err = process.communicate()
        lines = (out if process.returncode == 0 else err).strip().splitlines()
        return process.returncode, lines[-1] if lines else ""

    def stop(self) -> None:
        """End them as SIGTERM does, unless they are ending by themselves; no more are started."""
        try:
            with self._lock:
                self._stopped = True
            self._wait(GRACE)
            for process in self._processes:
                process.terminate()
            self._wait(PATIENCE)
        finally:  # in time, or at a second Ctrl-C
            for process in self._processes:
                process.kill()

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and any(p.poll() is None for p in self._processes):
            time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
