"""Runs in MongoDB, over the wire to a real server: recorded, missed, filled in, no hindrance."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from gridfs import GridFS
from pymongo import MongoClient
from pymongo.errors import PyMongoError

import main
import sweep
import sync
from utils.checkpoint import BUFFER
from utils.config import ROOT
from utils.curves import learning_curve
from utils.database import find_target
from utils.database_sync import NOT_ATTACHED

TINY = [
    "t_max=40", "batch_size=8", "test_interval=20", "test_nepisode=8", "batch_size_run=4",
    "learner_log_interval=10", "log_interval=30", "save_model_interval=20", "rnn_hidden_dim=8",
]  # fmt: skip
LONG = ["t_max=600", "save_model_interval=100", "test_interval=100", "log_interval=600", "-b0.2"]
SECRETS = ("s0meone", "pa55word")
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


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """One that a test may kill."""
    (tmp_path / "server").mkdir()
    server = Server(tmp_path / "server")
    yield server
    server.kill()
    server.client.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests that leave it alone."""
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.kill()
    server.client.close()


@pytest.fixture
def words(two_step_file: Path, tmp_path: Path) -> list[str]:
    """A run into tmp_path/r; what is put behind comes on top."""
    common = ["with", *TINY, f"dataset={two_step_file}", f"local_results_path={tmp_path / 'r'}"]
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


def test_a_run_is_in_the_database_as_in_its_files(
    server: Server, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    buffered = ["save_buffer=True", "--config=qmix", "buffer_size=16", "t_max=64"]
    assert main.main([*words, *buffered, *server.words, "--id=whole"]) == 0
    results = tmp_path / "r"
    assert WARNING not in capsys.readouterr().out
    assert_as_in_the_files(server, results, "whole")
    assert server.run("whole")["status"] == "COMPLETED"
    assert server.artifacts("whole") == files_of(results, "whole")
    assert NOT_ATTACHED == BUFFER
    sources = server.run("whole")["experiment"]["sources"]
    assert sources
    for name, file_id in sources:
        stored = GridFS(server.database).get(file_id)
        assert stored.read() == Path(stored.filename).read_bytes()
        assert stored.filename.endswith(name)
    assert main.main([*words, *buffered, "--id=plain"]) == 0
    plain, whole = ((results / f"metrics/{name}.csv").read_bytes() for name in ("plain", "whole"))
    assert plain == whole, "the database changes nothing of what is learnt"


def test_the_document_is_that_of_sacreds_own_observer(
    server: Server, words: list[str], tmp_path: Path
) -> None:
    from sacred import Experiment
    from sacred.observers import MongoObserver

    experiment = Experiment("own")
    experiment.add_config(seed=1)
    url = f"127.0.0.1:{server.port}"
    experiment.observers.append(MongoObserver(url, "sacred", collection_prefix="own"))
    experiment.main(lambda _run: _run.log_scalar("x", 1.0, 1))
    experiment.run(options={"--id": "own", "--capture": "sys"})
    assert main.main([*words, *server.words, "--id=ours"]) == 0
    theirs = server.database["own_runs"].find_one({"_id": "own"})
    assert theirs is not None
    ours = server.run("ours")
    assert ours.keys() == theirs.keys()
    assert ours["format"] == theirs["format"]
    assert ours["experiment"].keys() == theirs["experiment"].keys()
    assert ours["info"]["metrics"][0].keys() == theirs["info"]["metrics"][0].keys()
    metrics = [server.database[name].find_one() or {} for name in ("metrics", "own_metrics")]
    assert metrics[0].keys() == metrics[1].keys()


def test_nothing_evaluated_no_learning_curve(server: Server, words: list[str]) -> None:
    assert main.main([*words, "test_nepisode=0", *server.words, "--id=unseen"]) == 0
    assert "learning_curve.png" not in server.artifacts("unseen")


def test_a_server_that_is_away_is_one_line_and_no_wait(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    begin = time.monotonic()
    assert main.main(words) == 0
    usual = time.monotonic() - begin
    capsys.readouterr()
    begin = time.monotonic()
    assert main.main([*words, "-m", f"127.0.0.1:{port}:sacred", "--id=missed"]) == 0
    assert time.monotonic() - begin < usual + 6
    assert read(tmp_path / "r/sacred/missed/run.json")["status"] == "COMPLETED"
    shown = "".join(capsys.readouterr())
    assert shown.count("atabase") == 1
    (line,) = [line for line in shown.splitlines() if WARNING in line]
    assert line.split("] ", 1)[1] == (
        f"Not all of this run is in the database (127.0.0.1:{port}/sacred: no answer). The files "
        "have it; when the run is over, fill it in with: "
        f"python src/sync.py {tmp_path / 'r'} -m 127.0.0.1:{port}:sacred"
    )


def test_a_server_that_dies_in_mid_run_is_filled_in_afterwards(
    own_server: Server, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []

    def kill_in_mid_run() -> None:
        deadline = time.monotonic() + 60
        while not seen and time.monotonic() < deadline:
            seen.extend(d["status"] for d in own_server.database["runs"].find({"_id": "cut"}))
            time.sleep(0.05)
        own_server.kill()

    killer = threading.Thread(target=kill_in_mid_run)
    killer.start()
    assert main.main([*words, *LONG, *own_server.words, "--id=cut"]) == 0
    killer.join()
    assert seen == ["RUNNING"]
    shown = "".join(capsys.readouterr())
    assert shown.count(WARNING) == 1
    assert "Traceback" not in shown
    command = ["-m", f"127.0.0.1:{own_server.port}:sacred"]
    assert f"python src/sync.py {tmp_path / 'r'} {' '.join(command)}" in shown
    assert main.main([*words, "--id=other"]) == 0
    capsys.readouterr()
    own_server.start()
    assert own_server.run("cut")["status"] == "RUNNING"
    own_server.database["runs"].update_one(
        {"_id": "cut"}, {"$set": {"omniboard": {"notes": "mine"}}}
    )
    assert sync.main([str(tmp_path / "r"), *command]) == 0
    assert capsys.readouterr().out == f"{own_server.name}: 2 filled in, 0 complete already\n"
    for name in ("cut", "other"):
        assert_as_in_the_files(own_server, tmp_path / "r", name)
    assert own_server.run("cut")["status"] == "COMPLETED"
    assert own_server.run("cut")["omniboard"] == {"notes": "mine"}
    before = own_server.dump()
    assert all(before.values())
    assert sync.main([str(tmp_path / "r"), *command]) == 0
    assert capsys.readouterr().out == f"{own_server.name}: 0 filled in, 2 complete already\n"
    assert own_server.dump() == before


def test_a_killed_run_is_filled_in_as_its_files_say(
    server: Server, words: list[str], tmp_path: Path
) -> None:
    results = tmp_path / "r"
    command = [sys.executable, str(ROOT / "src/main.py"), *words, *LONG, "--id=killed"]
    process = subprocess.Popen([*command, *server.words], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    metrics = results / "sacred/killed/metrics.json"
    while not (metrics.exists() and list(results.glob("models/*/[0-9]*"))):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert sync.main([str(results), *server.words]) == 0
    assert_as_in_the_files(server, results, "killed")
    assert server.run("killed")["status"] == "RUNNING"
    (artifact,) = {name for name in server.artifacts("killed") if name.endswith("_agent.th")}
    _, step, _ = artifact.split("_", 2)
    agent = results / "models" / "killed" / step / "agent.th"
    assert server.artifacts("killed")[artifact] == agent.read_bytes()
    before = server.dump()
    assert sync.main([str(results), *server.words]) == 0
    assert server.dump() == before


AT_ONCE = """
import os, sys
import torch._dynamo, sacred.observers, pymongo, gridfs, main, run
children = []
for _ in range(20):
    if not (child := os.fork()):
        sys.exit(main.main(sys.argv[1:]))
    children.append(child)
sys.exit(max(os.waitpid(child, 0)[1] for child in children) > 0)
"""
"""Twenty processes in the same second: all that is long, the imports, is done before they part."""


def test_twenty_runs_at_once_have_twenty_ids(
    server: Server, words: list[str], tmp_path: Path
) -> None:
    small = ["--config=bc", "t_max=1", "test_nepisode=0", "name=many", *server.words]
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", AT_ONCE, *words, *small],
        cwd=ROOT / "src", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    names = {path.parent.name for path in tmp_path.glob("r/sacred/*/run.json")}
    assert len(names) == 20
    assert {path.stem for path in tmp_path.glob("r/metrics/*.csv")} == names
    stored = list(server.database["runs"].find({"config.name": "many"}))
    assert {document["_id"] for document in stored} == names
    assert len(stored) == 20
    before = server.dump()
    assert sync.main([str(tmp_path / "r"), *server.words]) == 0
    assert server.dump() == before, "they were complete"


def test_credentials_are_nowhere(
    server: Server, words: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    user, results, away = ":".join(SECRETS), tmp_path / "r", free_port()
    here, nowhere = (f"mongodb://{user}@127.0.0.1:{p}/sacred" for p in (server.port, away))
    assert main.main([*words, "-m", here]) == 0
    shown = [*capfd.readouterr()]
    assert "its answer is not MongoDB's; nx-27017 knows no users" in shown[0]
    assert f"{results} -m mongodb://USER:PASSWORD@{server.name}\n" in shown[0]
    result = subprocess.run(
        [sys.executable, str(ROOT / "src/main.py"), *words, "-l", "DEBUG"],
        env=os.environ | {"ICQ_DATABASE": nowhere}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert f"127.0.0.1:{away}/sacred: no answer" in result.stdout
    assert f"python src/sync.py {results}\n" in result.stdout
    assert sync.main([str(results), "-m", nowhere]) == 2
    with pytest.raises(SystemExit):
        sync.main([str(results), "--mongodb", nowhere])
    for wrong in (["--nonsense", "-m", here], [here], ["--nonsense", f"-m{user}@h:1:db"]):
        assert main.main([*words[:2], *wrong]) == 2
    shown += [*capfd.readouterr(), result.stdout, result.stderr]
    for secret in SECRETS:
        assert secret not in "".join(shown)
        assert subprocess.run(["grep", "-rqa", secret, str(results)], check=False).returncode == 1


def test_the_server_is_away_when_runs_are_filled_in(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(words) == 0
    capsys.readouterr()
    port = free_port()
    assert sync.main([str(tmp_path / "r"), "-m", f"127.0.0.1:{port}:sacred"]) == 2
    assert capsys.readouterr().err == f"DatabaseError: 127.0.0.1:{port}/sacred: no answer\n"


def test_a_file_that_is_not_whole_is_left_out(
    server: Server, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "r"
    for name in ("good", "torn"):
        assert main.main([*words, f"--id={name}"]) == 0
    capsys.readouterr()
    path = results / "sacred/torn/metrics.json"
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    assert sync.main([str(results), *server.words]) == 1
    shown = capsys.readouterr()
    assert shown.out == f"{server.name}: 1 filled in, 0 complete already, 1 left out\n"
    assert shown.err == f"left out: {path} is not whole; is the run just writing it?\n"
    path.write_text(text)
    assert sync.main([str(results), *server.words]) == 0
    assert capsys.readouterr().out == f"{server.name}: 1 filled in, 1 complete already\n"
    assert_as_in_the_files(server, results, "torn")
    (path.with_name("run.json")).write_text("{}")
    assert sync.main([str(results), *server.words]) == 1
    assert f"left out: {path.parent} is no record of Sacred's: " in capsys.readouterr().err


def test_another_run_of_the_same_id_is_not_overwritten(
    server: Server, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main([*words, *server.words, "--id=mine"]) == 0
    before = server.dump()
    capsys.readouterr()
    elsewhere = f"local_results_path={tmp_path / 'elsewhere'}"
    assert main.main([*words, elsewhere, *server.words, "--id=mine"]) == 0
    started = server.run("mine")["start_time"]
    message = f"{server.name} has another run mine, started {started}; a run needs an id (--id)"
    assert message in capsys.readouterr().out
    assert sync.main([str(tmp_path / "elsewhere"), *server.words]) == 1
    assert f"left out: {message}" in capsys.readouterr().err
    assert server.dump() == before


def test_a_folder_without_runs_and_no_database(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sync.main([str(tmp_path), "-m", "127.0.0.1:1:sacred"]) == 2
    assert capsys.readouterr().err == (
        f"DataError: {tmp_path} has no run; a results folder has sacred/RUN/run.json\n"
    )
    monkeypatch.delenv("ICQ_DATABASE", raising=False)
    assert sync.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        "ConfigError: which database? Say -m HOST:PORT:DB, or set ICQ_DATABASE\n"
    )


FORMS = "a database is HOST:PORT:DB, DB (on this machine) or a mongodb:// URL"
WRONG = {
    "localhost:27017:": f"-m localhost:27017:: {FORMS}",
    "": f"-m : {FORMS}",
    "h:99999:db": f"-m h:99999:db: {FORMS}",
    "me:secret@h:1:db": f"-m: {FORMS}",
    "mongodb://me:sec/ret@h/db": f"-m: {FORMS}",
    "mongodb://me:sec@ret@h/db": f"-m: {FORMS}",
    "mongodb://h:port/db": f"-m: {FORMS}",
    "mongodb://": f"-m: {FORMS}",
    "h:1:db.metrics": "-m h:1:db.metrics: runs cannot be put into metrics; name another",
    "h:1:db.runs:7": "-m h:1:db.runs:7: a run's id is chosen with --id",
}


@pytest.mark.parametrize("value", WRONG)
def test_a_wrong_database_is_one_line_and_leaves_nothing(
    value: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main([*words, f"--mongo_db={value}"]) == 2
    assert capsys.readouterr().err == f"ConfigError: {WRONG[value]}\n"
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("value", "shown", "said"),
    [
        ("db", "localhost:27017/db", "db"),
        ("h:1", "h:1/sacred", "h:1"),
        ("h:1:db!5", "h:1/db", "h:1:db!5"),
        ("h:1:db.mine", "h:1/db.mine", "h:1:db.mine"),
        ("mongodb://h", "h/sacred", "mongodb://h/sacred"),
        ("mongodb://a,b:2/db?replicaSet=x", "a,b:2/db", "mongodb://a,b:2/db"),
        ("mongodb://u:p%40@h:1/db?authSource=admin", "h:1/db", "mongodb://USER:PASSWORD@h:1/db"),
        ("mongodb+srv://u:p@h.org/db", "h.org/db", "mongodb+srv://USER:PASSWORD@h.org/db"),
    ],
)
def test_how_a_database_is_written(
    value: str, shown: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = find_target(value)
    assert target is not None
    assert (target.shown, target.words) == (shown, ("-m", said))
    assert "u:p" not in repr(target)
    monkeypatch.setenv("ICQ_DATABASE", value)
    target = find_target(None)
    assert target is not None
    assert (target.shown, target.words) == (shown, ())


def test_a_sweep_hands_its_database_on(
    server: Server, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep.main([*server.words, "-c", "hello", *words, "name=swept"]) == 0
    assert "done: " in (shown := capsys.readouterr().out)
    assert str(server.port) not in shown
    (stored,) = server.database["runs"].find({"config.name": "swept"})
    assert stored["meta"]["comment"] == "hello"
    assert sweep.main([*server.words, "--id=one", *words]) == 2
    assert capsys.readouterr().err == "ConfigError: --id is for one run, not for a sweep\n"
    assert sweep.main(["-m", "h:", *words]) == 2
    assert capsys.readouterr().err == f"ConfigError: -m h:: {FORMS}\n"
