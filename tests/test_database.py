"""Runs in MongoDB, over the wire to a real server: recorded while they go on, and no hindrance."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from databases import (
    WARNING,
    Server,
    assert_as_in_the_files,
    files_of,
    free_port,
    read,
    run_words,
)
from gridfs import GridFS
from programs import Programs

import main
import sweep
import sync
from utils.checkpoint import BUFFER
from utils.database import find_target
from utils.database_sync import NOT_ATTACHED
from utils.paths import ROOT

SECRETS = ("s0meone", "pa55word")


@pytest.fixture
def words(two_step_file: Path, tmp_path: Path) -> list[str]:
    """A run into tmp_path/r."""
    return run_words(tmp_path, two_step_file)


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


def test_twenty_runs_at_once_have_twenty_ids(
    programs: Programs, server: Server, words: list[str], tmp_path: Path
) -> None:
    small = ["--config=bc", "t_max=1", "test_nepisode=0", "name=many", *server.words]
    started = [programs.start("main", [*words, *small]) for _ in range(20)]
    codes = [program.wait() for program in started]
    assert codes == [0] * 20, [program.err for program in started]
    assert WARNING not in "".join(program.out + program.err for program in started)
    names = {path.parent.name for path in tmp_path.glob("r/sacred/*/run.json")}
    assert len(names) == 20
    assert {path.stem for path in tmp_path.glob("r/metrics/*.csv")} == names
    stored = list(server.database["runs"].find({"config.name": "many"}))
    assert {document["_id"] for document in stored} == names
    assert len(stored) == 20
    for name in names:
        assert_as_in_the_files(server, tmp_path / "r", name)
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
