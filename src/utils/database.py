"""Runs in MongoDB as Sacred's MongoObserver writes them, filled from the files of a results folder.

The files are the truth. One function, `sync_run`, makes the database say what they say, and writes
nothing where it does already; so both agree, however often and from wherever it is called.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from utils.curves import evaluations, learning_curve
from utils.errors import ConfigError, DatabaseError, DataError

VARIABLE = "ICQ_DATABASE"
"""The environment variable with -m's default; on a command line others see a password."""
LIMITS = {
    "serverSelectionTimeoutMS": 2000, "connectTimeoutMS": 2000, "socketTimeoutMS": 5000,
    "retryReads": False, "retryWrites": False,
}  # fmt: skip
"""A server that is away is known in two seconds; one that is there may be busy for five."""
DIGEST = "source_sha256"
TIMES = ("queue_time", "start_time", "stop_time", "heartbeat")
NOT_ATTACHED = "buffer.th"  # the live runner's episodes (utils.checkpoint.BUFFER): large


@dataclass(frozen=True)
class Target:
    """Where a database is. Only `shown` and `words` may be said: they hold no password."""

    url: str = field(repr=False)
    name: str
    runs: str
    shown: str
    words: tuple[str, ...]
    """What sync.py needs to find it again."""


def find_target(value: str | None) -> Target | None:
    """What -m says, else ICQ_DATABASE, as Sacred reads it or as a mongodb:// URL; else None.

    ConfigError on what neither understands; it says nothing that may hold a password.
    """
    source = "-m"
    if value is None:
        value, source = os.environ.get(VARIABLE, ""), VARIABLE
        if not value:
            return None
    is_url = re.match(r"mongodb(\+srv)?://", value)
    target = _from_url(value, source) if is_url else _from_words(value, source)
    if target is None:
        shown = "" if "@" in value or "//" in value else f" {value}"
        raise ConfigError(
            f"{source}{shown}: a database is HOST:PORT:DB, DB (on this machine) or "
            "mongodb://USER:PASSWORD@HOST:PORT/DB"
        )
    return target


def _from_words(value: str, source: str) -> Target | None:
    """[host:port:]db[.collection][!priority]: Sacred's spelling."""
    from sacred.observers.mongo import MongoObserver, get_pattern, parse_mongo_db_arg

    if not re.match(get_pattern(), value):
        return None
    parts = parse_mongo_db_arg(value)
    runs = parts.get("collection", "runs")
    if runs in MongoObserver.COLLECTION_NAME_BLACKLIST | {"metrics"}:
        raise ConfigError(f"{source} {value}: runs cannot be put into {runs}; name another")
    if "overwrite" in parts:
        raise ConfigError(f"{source} {value}: a run's id is chosen with --id")
    server = parts.get("url", "localhost:27017")
    words = (source, value) if source == "-m" else ()
    target = _from_url(f"mongodb://{server}/{parts.get('db_name', 'sacred')}.{runs}", source)
    return target and Target(target.url, target.name, runs, target.shown, words)


def _from_url(url: str, source: str) -> Target | None:
    """None if it is none, or if a part of the password could be taken for something else."""
    from pymongo.errors import PyMongoError
    from pymongo.uri_parser import parse_uri

    scheme, server, path, query, fragment = urlsplit(url)
    if "@" in path + query + fragment or not server:
        return None
    name, _, runs = path.strip("/").partition(".")
    name, runs = name or "sacred", runs or "runs"
    if scheme == "mongodb":  # the other kind is asked of a name server first, when it is opened
        try:
            parse_uri(url)
        except (PyMongoError, ValueError):
            return None
    user, at, host = server.rpartition("@")
    shown = f"{name}.{runs}" if runs != "runs" else name
    words = ("-m", f"{scheme}://{'USER:PASSWORD@' if user or at else ''}{host}/{shown}")
    return Target(url, name, runs, f"{host}/{shown}", words if source == "-m" else ())


class Database:
    """The collections that Sacred's MongoObserver uses."""

    def __init__(self, client: Any, target: Target) -> None:
        from gridfs import GridFS

        database = client[target.name]
        self.shown = target.shown
        self.runs, self.metrics = database[target.runs], database["metrics"]
        self.fs, self.stored = GridFS(database), database["fs.files"]

    def file_id(
        self, filename: str, source: Path, read: Callable[[Path], bytes] = Path.read_bytes
    ) -> Any:
        """The id of what `read` makes of a file; stored unless it was made from these bytes."""
        from sacred.observers.mongo import mimetype_detector

        digest = hashlib.sha256(source.read_bytes()).hexdigest()
        same = {"filename": filename, f"metadata.{DIGEST}": digest}
        if not (found := [file["_id"] for file in self.stored.find(same)]):
            kind, _ = mimetype_detector.guess_type(filename)
            metadata = {DIGEST: digest}
            self.fs.put(read(source), filename=filename, content_type=kind, metadata=metadata)
            found = [file["_id"] for file in self.stored.find(same)]  # another's may be there, too
        return min(found)


@contextlib.contextmanager
def open_database(target: Target) -> Iterator[Database]:
    """A connection; what goes wrong with it is a DatabaseError without any of the server's text."""
    from bson.errors import BSONError
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    try:
        with MongoClient(target.url, **LIMITS) as client:
            yield Database(client, target)
    except (PyMongoError, BSONError) as error:
        raise DatabaseError(f"{target.shown}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    from pymongo.errors import ConnectionFailure, OperationFailure

    if isinstance(error, ConnectionFailure):
        return "no answer"
    if isinstance(error, OperationFailure) and error.code in (13, 18):
        return "the user or password is refused"
    return type(error).__name__


def sync_run(database: Database, results: Path, run_id: str, final: bool = True) -> bool:
    """Make the database say what a run's files say -> whether anything had to be written.

    While the run goes on (not `final`) its artifacts are let wait, but for the configuration.
    DataError where a file is not whole, or if the database has another run of that id.
    """
    folder = results / "sacred" / run_id
    run, metrics = _read_run(folder), _read_metrics(folder, run_id)
    stored = database.runs.find_one({"_id": run_id})
    if stored and stored.get("start_time") != _as_stored(run).get("start_time"):
        raise DataError(
            f"{database.shown} has another run {run_id}, started {stored.get('start_time')}; "
            "a run needs an id (--id) of its own"
        )
    run["info"]["metrics"] = [{"name": m["name"], "id": str(m["_id"])} for m in metrics]
    if stored and not final:
        run["experiment"]["sources"] = stored["experiment"]["sources"]
        run["artifacts"] = stored["artifacts"]
    else:
        run["experiment"]["sources"] = _sources(database, results, run["experiment"])
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
    from sacred.observers.mongo import force_bson_encodeable

    ours: Any = force_bson_encodeable(document)
    ours = _as_stored(ours)
    if stored is None:
        collection.insert_one(ours)
    elif stored != (ours := {**stored, **ours}):
        collection.replace_one({"_id": ours["_id"]}, ours)
    else:
        return False
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


def _sources(database: Database, results: Path, experiment: dict[str, Any]) -> list[list[Any]]:
    """[name, file's id] of each source; all runs share one copy of the same bytes."""
    found = []
    for name, stored in experiment["sources"]:
        path = results / "sacred" / stored
        if path.is_file():
            found.append([name, database.file_id(f"{experiment['base_dir']}/{name}", path)])
    return found


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
