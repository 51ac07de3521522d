"""A run in the database as Sacred's MongoObserver writes it, filled from its files.

The files are the truth. One function, `sync_run`, makes the database say what they say, and writes
nothing where it does already; so both agree, however often and from wherever it is called.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from utils.curves import evaluations, learning_curve
from utils.database import Database
from utils.errors import DataError


class OtherRunError(DataError):
    """The database has another run of that id; nothing can fill this one in."""


TIMES = ("queue_time", "start_time", "stop_time", "heartbeat")
NOT_ATTACHED = "buffer.th"  # the live runner's episodes (utils.checkpoint.BUFFER): large


def sync_run(database: Database, results: Path, run_id: str, final: bool = True) -> bool:
    """Make the database say what a run's files say -> whether anything had to be written.

    While the run goes on (not `final`) its artifacts are let wait, but for the configuration.
    DataError where a file is not whole, OtherRunError if the database has another of that id.
    """
    folder = results / "sacred" / run_id
    try:
        run, metrics = _read_run(folder), _read_metrics(folder, run_id)
        sources = _sources(results / "sacred", run["experiment"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{folder} is no record of Sacred's: {error!r}") from error
    stored = database.runs.find_one({"_id": run_id})
    if stored and stored.get("start_time") != _as_stored(run).get("start_time"):
        raise OtherRunError(
            f"{database.shown} has another run {run_id}, started {stored.get('start_time')}; "
            "a run needs an id (--id) of its own"
        )
    run["info"]["metrics"] = [{"name": m["name"], "id": str(m["_id"])} for m in metrics]
    if stored and not final:
        run["experiment"]["sources"] = stored["experiment"]["sources"]
        run["artifacts"] = stored["artifacts"]
    else:
        run["experiment"]["sources"] = [
            [name, database.file_id(filename, path)] for name, filename, path in sources
        ]
        run["artifacts"] = _attach(database, run_id, _artifacts(results, run_id, final))
    known = {m["_id"]: m for m in database.metrics.find({"run_id": run_id})}
    changes = [_write(database.metrics, m, known.get(m["_id"])) for m in metrics]
    changes.append(_write(database.runs, run, stored))
    for old in stored["artifacts"] if stored else []:
        if old not in run["artifacts"]:
            database.fs.delete(old["file_id"])
    return any(changes)


def _write(collection: Any, document: dict[str, Any], stored: dict[str, Any] | None) -> bool:
    """Insert it, or replace it where it differs; what others added (Omniboard's tags) stays.

    nx-27017 turns a date into a string in an update, but not in a replacement.
    """
    from pymongo.errors import DuplicateKeyError
    from sacred.observers.mongo import force_bson_encodeable

    ours: Any = force_bson_encodeable(document)
    ours = _as_stored(ours)
    ours = {**(stored or {}), **ours}
    if stored == ours:
        return False
    if stored is None:
        with contextlib.suppress(DuplicateKeyError):  # another process is as far as this one
            collection.insert_one(ours)
            return True
    collection.replace_one({"_id": ours["_id"]}, ours)
    return True


def _as_stored(document: dict[str, Any]) -> dict[str, Any]:
    """As it will be read again: milliseconds, no tuples."""
    import bson

    return bson.decode(bson.encode(document))


def _read_run(folder: Path) -> dict[str, Any]:
    """MongoObserver's document, but for what is in GridFS."""
    from sacred.observers import MongoObserver

    run = _read_json(folder / "run.json")
    for key in TIMES:
        if run.get(key):
            run[key] = datetime.fromisoformat(run[key])
    info, cout = folder / "info.json", folder / "cout.txt"
    return {
        **run,
        "_id": folder.name,
        "format": MongoObserver.VERSION,
        "config": _read_json(folder / "config.json"),
        "info": _read_json(info) if info.exists() else {},
        "captured_out": cout.read_text(errors="replace") if cout.exists() else "",
    }


def _read_metrics(folder: Path, run_id: str) -> list[dict[str, Any]]:
    """MongoObserver's documents, with ids that follow from run and name: no two can be made."""
    from bson import ObjectId

    path = folder / "metrics.json"
    documents = []
    for name, values in (_read_json(path) if path.exists() else {}).items():
        number = ObjectId(hashlib.sha256(json.dumps([run_id, name]).encode()).digest()[:12])
        times = [datetime.fromisoformat(time) for time in values["timestamps"]]
        documents.append(
            {"_id": number, "run_id": run_id, "name": name, **values, "timestamps": times}
        )
    return documents


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text())
    except (ValueError, FileNotFoundError):
        values = None
    if not isinstance(values, dict):
        raise DataError(f"{path} is not whole; is the run just writing it?")
    return values


def _sources(folder: Path, experiment: dict[str, Any]) -> list[tuple[str, str, Path]]:
    """(name, name in the database, file): all runs of one folder share what is the same."""
    base = experiment["base_dir"]
    found = [(name, f"{base}/{name}", folder / path) for name, path in experiment["sources"]]
    return [source for source in found if source[2].is_file()]


def _attach(database: Database, run_id: str, artifacts: list[_Artifact]) -> list[dict[str, Any]]:
    prefix = f"artifact://{database.runs.name}/{run_id}"
    return [
        {"name": name, "file_id": database.file_id(f"{prefix}/{name}", source, read)}
        for name, source, read in artifacts
    ]


class _Artifact(NamedTuple):
    name: str
    source: Path
    read: Callable[[Path], bytes] = Path.read_bytes


def _artifacts(results: Path, run_id: str, final: bool) -> list[_Artifact]:
    """Configuration, metrics, their learning curve and the last checkpoint."""
    found = [_Artifact("config.json", results / "sacred" / run_id / "config.json")]
    metrics = results / "metrics" / f"{run_id}.csv"
    if final and metrics.is_file():
        found.append(_Artifact("metrics.csv", metrics))
        if evaluations(metrics):
            found.append(_Artifact("learning_curve.png", metrics, learning_curve))
    steps = [p for p in (results / "models" / run_id).glob("*") if p.name.isdigit()]
    if final and steps:
        last = max(steps, key=lambda p: int(p.name))
        files = [p for p in sorted(last.iterdir()) if p.name != NOT_ATTACHED]
        found += [_Artifact(f"checkpoint_{last.name}_{p.name}", p) for p in files]
    return found
