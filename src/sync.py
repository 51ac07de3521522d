"""python src/sync.py RESULTS... [-m HOST:PORT:DB]: fill in what the database lacks of these runs.

A run that was recorded without -m, or whose database was away, is in results/sacred all the same;
so is one that was killed. What the database has already stays as it is, with its ids.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import NoReturn

from main import quiet_import
from utils.database import VARIABLE, Database, find_target, open_database
from utils.database_sync import sync_run
from utils.errors import ConfigError, DataError, exit_code_of, without_password
from utils.logging import progress_bar

TRIES = 5
"""A file that a run is just writing is whole a moment later."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Argparse repeats words that it does not know."""
        super().error(without_password(message))


def main(argv: list[str]) -> int:
    """Run the command -> its exit code; 1 if a run was left out."""
    parser = _Parser(prog="python src/sync.py", description=__doc__)
    parser.add_argument("results", type=Path, nargs="+", help="results folders")
    parser.add_argument(
        "-m", "--mongo_db", metavar="DB", help=f"the database; without it ${VARIABLE} says"
    )
    args = parser.parse_args(argv)
    return exit_code_of(lambda: _sync(args.results, args.mongo_db))


def _sync(folders: list[Path], value: str | None) -> int:
    with quiet_import():
        import sacred  # noqa: F401 - it warns when it is imported first
    target = find_target(value)
    if target is None:
        raise ConfigError(f"which database? Say -m HOST:PORT:DB, or set {VARIABLE}")
    runs = [(folder, run_id) for folder in folders for run_id in _run_ids(folder)]
    bar = progress_bar(len(runs), 0, " runs")
    filled, left_out = 0, 0
    with open_database(target) as database:
        for folder, run_id in runs:
            try:
                filled += _sync_run(database, folder, run_id)
            except DataError as error:
                left_out += 1
                bar.write(f"left out: {error}", file=sys.stderr)
            bar.update()
    bar.close()
    rest = f", {left_out} left out" if left_out else ""
    complete = len(runs) - filled - left_out
    sys.stdout.write(f"{target.shown}: {filled} filled in, {complete} complete already{rest}\n")
    return min(left_out, 1)


def _run_ids(folder: Path) -> list[str]:
    found = sorted(record.parent.name for record in folder.glob("sacred/*/run.json"))
    if not found:
        raise DataError(f"{folder} has no run; a results folder has sacred/RUN/run.json")
    return found


def _sync_run(database: Database, folder: Path, run_id: str) -> bool:
    for _ in range(TRIES - 1):
        try:
            return sync_run(database, folder, run_id)
        except DataError:
            time.sleep(0.1)
    return sync_run(database, folder, run_id)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
