"""A server for Sacred's records, and what must be in it of a run."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from gridfs import GridFS
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from utils.checkpoint import BUFFER
from utils.curves import learning_curve

TINY = [
    "t_max=40", "batch_size=8", "test_interval=20", "test_nepisode=8", "batch_size_run=4",
    "learner_log_interval=10", "log_interval=30", "save_model_interval=20", "rnn_hidden_dim=8",
]  # fmt: skip
LONG = ["t_max=600", "save_model_interval=100", "test_interval=100", "log_interval=600", "-b0.2"]
COLLECTIONS = ("runs", "metrics", "fs.files")
WARNING = "Not all of this run is in the database"


class Server:
    """nx-27017 over one file; `start` and `kill` as often as a test likes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.name = f"127.0.0.1:{self.port}/sacred"
        self.words = ["-m", f"127.0.0.1:{self.port}:sacred"]
        self.client: MongoClient[dict[str, Any]] = MongoClient(
            f"127.0.0.1:{self.port}", serverSelectionTimeoutMS=500, connect=False
        )
        self.database = self.client["sacred"]
        self.start()

    def start(self) -> None:
        """Begin, and wait until it answers."""
        logs = [f"--log-file={self.folder}/log", f"--pid-file={self.folder}/pid"]
        program = str(Path(sys.executable).with_name("nx-27017"))
        file = str(self.folder / "sacred.db")
        self.process = subprocess.Popen(
            [program, "--db", file, "--host", "127.0.0.1", "-p", str(self.port), *logs],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while True:
            try:
                self.client.admin.command("ping")
            except PyMongoError:
                assert time.monotonic() < deadline, "nx-27017 does not answer"
            else:
                return

    def kill(self) -> None:
        """As a power cut would."""
        self.process.kill()
        self.process.wait()

    def run(self, run_id: str) -> dict[str, Any]:
        """A run's document."""
        found = self.database["runs"].find_one({"_id": run_id})
        assert found is not None
        return found

    def artifacts(self, run_id: str) -> dict[str, bytes]:
        """What is attached to a run."""
        fs = GridFS(self.database)
        return {a["name"]: fs.get(a["file_id"]).read() for a in self.run(run_id)["artifacts"]}

    def dump(self) -> dict[str, list[Any]]:
        """All that it holds; the files with their bytes."""
        found = {
            name: sorted(self.database[name].find(), key=lambda document: str(document["_id"]))
            for name in COLLECTIONS
        }
        fs = GridFS(self.database)
        return found | {"bytes": [fs.get(file["_id"]).read() for file in found["fs.files"]]}


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Server]:
    """A server with its file in `folder`."""
    folder.mkdir(exist_ok=True)
    server = Server(folder)
    yield server
    server.kill()
    server.client.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests of a file, which leave it alone."""
    with running(tmp_path_factory.mktemp("server")) as server:
        yield server


def run_words(folder: Path, data: Path) -> list[str]:
    """A run into folder/r; what is put behind comes on top."""
    common = ["with", *TINY, f"dataset={data}", f"local_results_path={folder / 'r'}"]
    return ["--config=icq", "--env-config=two_step", *common]


def read(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_text())


def files_of(results: Path, run_id: str) -> dict[str, bytes]:
    """What should be attached, from the files."""
    metrics = results / "metrics" / f"{run_id}.csv"
    last = max((results / "models" / run_id).glob("[0-9]*"), key=lambda path: int(path.name))
    checkpoint = {f"checkpoint_{last.name}_{path.name}": path for path in last.iterdir()}
    del checkpoint[f"checkpoint_{last.name}_{BUFFER}"]
    paths = {"config.json": results / "sacred" / run_id / "config.json", "metrics.csv": metrics}
    found = {name: path.read_bytes() for name, path in (paths | checkpoint).items()}
    return found | {"learning_curve.png": learning_curve(metrics)}


def assert_as_in_the_files(server: Server, results: Path, run_id: str) -> None:
    """Every field of the run, every number of its metrics."""
    folder = results / "sacred" / run_id
    record, stored = read(folder / "run.json"), server.run(run_id)
    assert stored["config"] == read(folder / "config.json")
    assert stored["captured_out"] == (folder / "cout.txt").read_text()
    for key in ("command", "host", "meta", "status", "resources", "result"):
        assert stored.get(key) == record.get(key), key
    for key in ("start_time", "stop_time", "heartbeat"):
        ours, theirs = record.get(key), stored.get(key)
        assert (ours is None) == (theirs is None), key
        assert ours is None or abs(datetime.fromisoformat(ours) - theirs).total_seconds() < 1e-3
    metrics = read(folder / "metrics.json")
    names = {metric["name"]: metric["id"] for metric in stored["info"].pop("metrics")}
    assert stored["info"] == read(folder / "info.json")
    found = list(server.database["metrics"].find({"run_id": run_id}))
    assert {metric["name"]: str(metric["_id"]) for metric in found} == names
    assert len(found) == len(names) == len(metrics)
    for metric in found:
        times = [datetime.fromisoformat(t) for t in metrics[metric["name"]]["timestamps"]]
        assert all(abs(a - b).total_seconds() < 1e-3 for a, b in zip(times, metric["timestamps"]))  # noqa: B905
        for key in ("steps", "values"):
            assert metric[key] == metrics[metric["name"]][key]
