"""python src/report.py FOLDER_OR_CSV... [--csv OUT] [--picture PNG]: one table from many runs.

The reported figure of a run is the mean of its last five evaluations, a rule fixed before any
run. The 95% interval of several seeds is Student's t over their figures. Of a single run it holds
what those evaluations leave open (their episodes, their swings), not what another seed would give.
Several folders are read as one. A CSV adds methods and data sets: what runs differ in is known of a
folder's runs alone, so a method's runs on a data set must come from one place.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import ConfigDict, Field, FiniteFloat, TypeAdapter, ValidationError
from scipy.special import stdtrit

from utils.config import RunConfig, scenario
from utils.curves import NAMES, draw, method_order, tasks_in_order
from utils.errors import ConfigError, DataError, exit_code_of
from utils.records import Run, Task, labels, quality, read_runs

LAST = 5
NOT_LEARNT = {"data", "script"}  # no number of seeds is said of them


@dataclass(frozen=True)
class Row:
    """One run's result, or (algorithm `data`) the recorded episodes themselves."""

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    env: str
    map_name: str
    quality: str
    algorithm: str
    seed: int
    t_max: int
    episodes: int
    return_mean: FiniteFloat
    return_se: FiniteFloat
    battle_won_mean: FiniteFloat

    @property
    def task(self) -> Task:
        """What can be compared: environment, map and level of the data."""
        return self.env, self.map_name, self.quality


ROWS = TypeAdapter(Annotated[list[Row], Field(min_length=1)])


def run_row(run: Run, label: str) -> Row:
    """The mean of the last five evaluations, as the rule at the top says."""
    means, errors, won, counts = (
        np.array([value for _, value in run.stats[f"test_{name}"][-LAST:]])
        for name in ("return_mean", "return_se", "battle_won_mean", "n_episodes")
    )
    return Row(
        *run.task,
        algorithm=label,
        seed=run.config["seed"],
        t_max=run.config["t_max"] if run.config["learner"] else 0,
        episodes=int(counts.sum()),
        return_mean=float(means.mean()),
        return_se=standard_error(means, errors),
        battle_won_mean=float(won.mean()),
    )


def collect(runs: Iterable[Run]) -> list[Row]:
    """One row for each run, and one for each data set that they were trained on."""
    runs = list(runs)
    rows = [run_row(run, label) for run, label in zip(runs, labels(runs), strict=True)]
    data = {run.task: run.config for run in runs if run.config["runner"] == "offline"}
    return rows + [_data_row(config) for config in data.values()]


def interval(rows: list[Row]) -> tuple[float, float, float]:
    """(mean, low, high) at 95%: Student's t over seeds, never below what each run leaves open."""
    means = np.array([row.return_mean for row in rows])
    errors = np.array([row.return_se for row in rows])
    half = 1.96 * float((errors**2).sum()) ** 0.5 / len(rows)
    if len(rows) > 1:
        error = float(means.std(ddof=1)) / len(rows) ** 0.5
        half = max(half, error * float(stdtrit(len(rows) - 1, 0.975)))
    return float(means.mean()), float(means.mean()) - half, float(means.mean()) + half


def table(rows: list[Row]) -> str:
    """Markdown: a line for each data set, or for each method where those are many."""
    groups: dict[Task, dict[str, list[Row]]] = defaultdict(dict)
    for row in rows:
        groups[row.task].setdefault(row.algorithm, []).append(row)
    tasks = tasks_in_order(groups)
    found = {task: groups.get((*task[:2], ""), {}) | groups[task] for task in tasks}
    names = {name for methods in found.values() for name in methods}
    methods = sorted(names, key=method_order)
    seeds, won = usual_seeds(rows), any(row.battle_won_mean for row in rows)
    lines = [["data set", *(NAMES.get(name, name) for name in methods)]]
    for task in tasks:
        cells = (_cell(found[task].get(name, []), seeds, won) for name in methods)
        lines.append([" ".join(filter(None, task)), *cells])
    if len(tasks) == 1 or len(methods) > 2 * len(tasks):
        lines = [list(column) for column in zip(*lines, strict=True)]
        lines[0][0] = "method"
    lines.insert(1, ["---", *["---:"] * (len(lines[0]) - 1)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def usual_seeds(rows: list[Row]) -> int:
    """How many seeds learnt methods have most often (of a tie the more); other cells say theirs."""
    counts = Counter((row.task, row.algorithm) for row in rows if row.algorithm not in NOT_LEARNT)
    found = Counter(counts.values())
    return max(found, key=lambda n: (found[n], n), default=1)


def legend(rows: list[Row]) -> str:
    """What a cell holds."""
    seeds = _seeds(usual_seeds(rows))
    won = ", battles won" if any(row.battle_won_mean for row in rows) else ""
    return (
        f"Return ± half of its 95% interval{won}. What is learnt: "
        f"{seeds} unless a cell says otherwise."
    )


def _seeds(n: int) -> str:
    return f"{n} seed{'s' * (n != 1)}"


def _cell(rows: list[Row], usual: int, won: bool) -> str:
    if not rows:
        return ""
    mean, low, _ = interval(rows)
    battles = f", {np.mean([row.battle_won_mean for row in rows]):.0%}" if won else ""
    n = len(rows)
    as_usual = n == usual or rows[0].algorithm in NOT_LEARNT
    seeds = "" if as_usual else f", {_seeds(n)}"
    return f"{mean:.2f} ± {mean - low:.2f}{battles}{seeds}"


def write_csv(rows: list[Row], path: Path) -> None:
    """Every row, sorted, so that a rerun changes no more than the numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)])
        writer.writeheader()
        for row in sorted(rows, key=lambda r: (*r.task, r.algorithm, r.seed)):
            values = asdict(row)
            writer.writerow(
                {k: round(v, 4) if isinstance(v, float) else v for k, v in values.items()}
            )


def read_csv(path: Path) -> list[Row]:
    """The inverse of `write_csv`."""
    try:
        with path.open(newline="") as file:
            return ROWS.validate_python(list(csv.DictReader(file)))
    except (ValidationError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a table made with report.py --csv") from error


def main(argv: list[str]) -> int:
    """Run the command -> its exit code."""
    parser = argparse.ArgumentParser(prog="python src/report.py", description=__doc__)
    parser.add_argument(
        "sources", type=Path, nargs="+", help="results folders, CSVs made from them, or both"
    )
    parser.add_argument("--csv", type=Path, help="write the rows behind the table")
    parser.add_argument("--picture", type=Path, help="write the folders' learning curves")
    args = parser.parse_args(argv)
    return exit_code_of(lambda: _report(args))


def _report(args: argparse.Namespace) -> int:
    tables = [source for source in args.sources if source.suffix == ".csv"]
    folders = [source for source in args.sources if source.suffix != ".csv"]
    if args.picture and not folders:
        raise ConfigError("--picture draws learning curves, which a CSV has not; give the folder")
    runs = read_runs(*folders)
    rows = collect(runs)
    for path in tables:
        rows += _new_rows(rows, path)
    if args.picture:
        draw(runs, rows, args.picture)
    if args.csv:
        write_csv(rows, args.csv)
    sys.stdout.write(f"{table(rows)}\n\n{legend(rows)}\n")
    return 0


def _new_rows(rows: list[Row], path: Path) -> list[Row]:
    """Those of the CSV, without data sets that are there already; DataError on a method that is."""
    known = {(row.task, row.algorithm) for row in rows}
    found = []
    for row in read_csv(path):
        if (row.task, row.algorithm) not in known:
            found.append(row)
        elif row.algorithm != "data":
            where = " ".join(filter(None, row.task))
            raise DataError(
                f"{path} has {row.algorithm} on {where}, and so has another source; take its lines "
                "out of the CSV, or give the folders of all its runs"
            )
    return found


def standard_error(means: np.ndarray, errors: np.ndarray) -> float:
    """Of the mean of a run's last evaluations: from their spread, at least the episodes' noise."""
    n = len(means)
    from_episodes = float((errors**2).sum()) / n**2
    from_spread = float(means.var(ddof=1)) / n if n > 1 else 0.0
    return max(from_episodes, from_spread) ** 0.5


def _data_row(config: dict[str, Any]) -> Row:
    from data.formats import open_dataset

    data = open_dataset(RunConfig.model_construct(**config))
    returns = data.episodes["return"]
    return Row(
        env=config["env"],
        map_name=scenario(config["env_args"]),
        quality=quality(config),
        algorithm="data",
        seed=0,
        t_max=0,
        episodes=len(data),
        return_mean=float(returns.mean()),
        return_se=float(returns.std(ddof=1) / len(returns) ** 0.5),
        battle_won_mean=float(data.episodes["battle_won"].mean()),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
