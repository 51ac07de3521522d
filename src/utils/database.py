"""Where a run's database is, and the connection to it: MongoDB or what speaks its protocol."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from utils.errors import ConfigError, DatabaseError

VARIABLE = "ICQ_DATABASE"
"""The environment variable with -m's default; on a command line others see a password."""
LIMITS = {
    "serverSelectionTimeoutMS": 2000, "connectTimeoutMS": 2000, "socketTimeoutMS": 5000,
    "retryReads": False, "retryWrites": False,
}  # fmt: skip
"""A server that is away is known in two seconds; one that is there may be busy for five."""
DIGEST = "source_sha256"


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
            f"{source}{shown}: a database is HOST:PORT:DB, DB (on this machine) or a mongodb:// URL"
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
            _ping(client, target)
            yield Database(client, target)
    except (PyMongoError, BSONError, OverflowError) as error:
        raise DatabaseError(f"{target.shown}: {_reason(error)}") from None


def _ping(client: Any, target: Target) -> None:
    from pymongo.errors import PyMongoError

    try:
        client.admin.command("ping")
    except PyMongoError:
        raise
    except Exception as error:  # pymongo is lost where a server answers otherwise than MongoDB
        raise DatabaseError(
            f"{target.shown}: its answer is not MongoDB's; nx-27017 knows no users and passwords"
        ) from error


def _reason(error: Exception) -> str:
    from pymongo.errors import ConnectionFailure, OperationFailure

    if isinstance(error, ConnectionFailure):
        return "no answer"
    if isinstance(error, OperationFailure) and error.code in (13, 18):
        return "the user or password is refused"
    return type(error).__name__
