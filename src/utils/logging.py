"""Where a run's numbers go: metrics file, Sacred, TensorBoard, console; and its progress bar."""

from __future__ import annotations

import csv
import logging
import math
import shutil
import sys
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from tqdm import tqdm

from utils.errors import UserError

RECENT, STATS_PER_ROW = 5, 4


class SacredRun(Protocol):
    """The part of Sacred's Run that is used here."""

    info: dict[str, Any]

    def log_scalar(self, metric_name: str, value: float, step: int) -> None:
        """Record one number."""


class Logger:
    """PyMARL's stat names and blocks of "Recent Stats".

    The metrics file (CSV: t_env, stat, value) holds nothing that depends on the clock, so two
    runs of one seed write the same file, and a resumed run continues the one it was given.
    """

    def __init__(
        self,
        metrics_path: Path,
        earlier_metrics: Path | None = None,
        sacred_run: SacredRun | None = None,
        tb_dir: Path | None = None,
    ) -> None:
        self.metrics_path = metrics_path
        metrics_path.parent.mkdir(parents=True, exist_ok=True)
        if earlier_metrics:
            shutil.copyfile(earlier_metrics, metrics_path)
        self._file = metrics_path.open("a" if earlier_metrics else "w", newline="")
        self._writer = csv.writer(self._file)
        if not earlier_metrics:
            self._writer.writerow(["t_env", "stat", "value"])
        self._sacred = sacred_run
        self._tensorboard = _tensorboard(tb_dir)
        self._recent: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=RECENT))
        self.console = console()

    def log_stats(self, stats: Mapping[str, float], t: int, prefix: str = "") -> None:
        """Record numbers at time `t`; one that is not finite ends the run with its name."""
        for name, value in stats.items():
            self._log_stat(prefix + name, float(value), t)
        self._file.flush()

    def print_recent_stats(self, t: int) -> None:
        """The means of the last five values of every statistic, four a row."""
        cells = [f"{k + ':':<22}{sum(v) / len(v):>10.4f}" for k, v in sorted(self._recent.items())]
        rows = [
            "   ".join(cells[i : i + STATS_PER_ROW]) for i in range(0, len(cells), STATS_PER_ROW)
        ]
        self.console.info("\n".join([f"Recent Stats | t_env: {t:>10,}", *rows]))

    def close(self) -> None:
        """Close the metrics file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _log_stat(self, name: str, value: float, t: int) -> None:
        if not math.isfinite(value):
            raise UserError(
                f"{name} became {value} at t_env={t}: the run is stopped, its records are in "
                f"{self.metrics_path}; try a lower learning rate or a higher temperature"
            )
        self._writer.writerow([t, name, repr(value)])
        self._recent[name].append(value)
        if self._sacred is not None:
            self._sacred.info.setdefault(name, []).append(value)
            self._sacred.info.setdefault(f"{name}_T", []).append(t)
            self._sacred.log_scalar(name, value, t)
        if self._tensorboard is not None:
            self._tensorboard.log_value(name, value, t)


class Bar(Protocol):
    """A progress bar, or a part of one."""

    n: float

    def update(self, n: float = 1) -> object:
        """So much more is done."""

    def set_postfix(self, ordered_dict: Mapping[str, object]) -> object:
        """Show numbers behind it."""

    def close(self) -> object:
        """All is done."""


MakeBar = Callable[[int, int, str], Bar]
"""(total, done, unit) -> a bar; `progress_bar` is one."""


PATIENCE = 2.0  # seconds before a pass shows its bar


def progress_bar(total: int, done: int, unit: str, short: bool = False) -> tqdm[Any]:
    """A bar with rate and time left, on the terminal only: never in a file or a pipe.

    short: numbers are written as 1.23M.
    """
    return _bar(total=total, initial=done, unit=unit, unit_scale=short)


def spans(title: str, total: int, size: int, unit: str) -> Iterator[tuple[int, int]]:
    """(first, one behind the last) of each piece in a pass over `total` of something.

    A pass that takes long shows a bar, which goes when it is done.
    """
    with _bar(
        desc=title, total=total, unit=unit, unit_scale=True, delay=PATIENCE, leave=False
    ) as bar:
        for start in range(0, total, size):
            stop = min(start + size, total)
            yield start, stop
            bar.update(stop - start)


def _bar(**what: Any) -> tqdm[Any]:
    terminal = sys.__stderr__
    watched = terminal is not None and terminal.isatty()
    return tqdm(**what, file=terminal, disable=not watched, dynamic_ncols=True, smoothing=0.05)


class _TqdmHandler(logging.Handler):
    """Writes lines above a progress bar, not through it."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stdout)
        sys.stdout.flush()


def console() -> logging.Logger:
    """Lines with the time of day, on stdout."""
    logger = logging.getLogger("icq")
    if not logger.handlers:
        handler = _TqdmHandler()
        handler.setFormatter(logging.Formatter("[%(asctime)s] %(message)s", "%H:%M:%S"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    return logger


def _tensorboard(directory: Path | None) -> Any:
    if directory is None:
        return None
    from tensorboard_logger import Logger as TensorboardLogger

    directory.mkdir(parents=True, exist_ok=True)
    return TensorboardLogger(str(directory))
