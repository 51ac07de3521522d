"""Sacred's observers as they are used here: the files that are always kept, and the database."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from sacred.observers import FileStorageObserver, RunObserver
from sacred.utils import IntervalTimer

from utils.database import Target, open_database
from utils.database_sync import OtherRunError, sync_run
from utils.errors import ConfigError, DataError, UserError

FINAL_WAIT = 30.0
"""Seconds. A server that is away is given up after two; this is for one that answers slowly."""


def id_taken(record: Path) -> ConfigError:
    """Two runs cannot have one folder."""
    return ConfigError(f"--id={record.name}: {record} is there already; choose another id")


@contextlib.contextmanager
def claimed(record: Path) -> Iterator[None]:
    """A run's folder in results/sacred, made by one run alone; removed if that does not begin."""
    made = [folder for folder in (record, *record.parents) if not folder.exists()]
    try:
        os.makedirs(record)
    except FileExistsError:
        raise id_taken(record) from None
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # a run that began has left files in it
            for folder in made:
                folder.rmdir()
        raise


class WholeFiles(FileStorageObserver):
    """Sacred's, for a folder that is `claimed`.

    A JSON file is replaced whole: it can be read at any moment.
    """

    def _make_run_dir(self, _id: str) -> None:
        self.dir = os.path.join(self.basedir, _id)

    def save_json(self, obj: Any, filename: str) -> None:
        """Write results/sacred/RUN/`filename`."""
        assert self.dir is not None
        partial = f".{filename}.{threading.get_ident()}"  # heartbeat and run may both write it
        super().save_json(obj, partial)
        os.replace(os.path.join(self.dir, partial), os.path.join(self.dir, filename))


class DatabaseObserver(RunObserver):
    """Fills the database from the run's files in a thread of its own, which events only wake.

    Whatever goes wrong there, the run goes on; it is said once, with what to do afterwards.
    """

    priority = 10  # below the file observer's 20: the files are written first

    def __init__(self, target: Target, results: Path) -> None:
        self._target, self._results, self._run_id = target, results, ""
        self._wake, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="database", daemon=True)
        self._not_warned = threading.Semaphore(1)

    def started_event(
        self, ex_info: Any, command: Any, host_info: Any, start_time: datetime, config: Any,
        meta_info: Any, _id: str,
    ) -> None:  # fmt: skip
        """The run's files are there."""
        self._run_id = _id
        self._thread.start()
        self._wake.set()

    def heartbeat_event(
        self, info: Any, captured_out: str, beat_time: datetime, result: Any
    ) -> None:
        """The run's files are renewed."""
        self._wake.set()

    def join(self) -> None:
        """The run has ended: its files are final once the last heartbeat is over."""
        if not self._run_id:
            return
        deadline = time.monotonic() + FINAL_WAIT
        for thread in threading.enumerate():
            if isinstance(thread, IntervalTimer):  # Sacred itself waits no more than 2 s for it
                thread.join(max(0.0, deadline - time.monotonic()))
        self._ended.set()
        self._wake.set()
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            self._warn_of_gap(f"{self._target.shown}: slow, not ready in {FINAL_WAIT:g} s")

    def _work(self) -> None:
        ended = False
        while not ended:
            self._wake.wait()
            self._wake.clear()
            ended = self._ended.is_set()
            self._sync(ended)

    def _sync(self, final: bool) -> None:
        try:
            with open_database(self._target) as database:
                sync_run(database, self._results, self._run_id, final)
        except OtherRunError as error:
            self._warn("This run is not in the database: %s. The files have it.", error)
        except UserError as error:
            if final or not isinstance(error, DataError):  # else the next beat tries again
                self._warn_of_gap(str(error))
        except Exception as error:  # no mistake in here may end a run, or be its traceback
            self._warn_of_gap(f"{self._target.shown}: {type(error).__name__}")

    def _warn_of_gap(self, reason: str) -> None:
        words = ["python", "src/sync.py", str(self._results), *self._target.words]
        self._warn(
            "Not all of this run is in the database (%s). The files have it; "
            "when the run is over, fill it in with: %s",
            reason, shlex.join(words),
        )  # fmt: skip

    def _warn(self, message: str, *parts: object) -> None:
        if self._not_warned.acquire(blocking=False):
            logging.getLogger("icq").warning(message, *parts)
