"""What a database has missed is filled in from the files, over the wire to a real server."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import (
    LONG,
    WARNING,
    Server,
    assert_as_in_the_files,
    free_port,
    run_words,
    running,
)
from programs import Programs

import main
import sync


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """One that a test may kill."""
    with running(tmp_path / "server") as server:
        yield server


@pytest.fixture
def words(two_step_file: Path, tmp_path: Path) -> list[str]:
    """A run into tmp_path/r."""
    return run_words(tmp_path, two_step_file)


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
    programs: Programs, server: Server, words: list[str], tmp_path: Path
) -> None:
    results = tmp_path / "r"
    program = programs.start("main", [*words, *LONG, "--id=killed", *server.words])
    metrics = results / "sacred/killed/metrics.json"
    code = program.wait(lambda: metrics.exists() and any(results.glob("models/*/[0-9]*")))
    assert code == -signal.SIGKILL, program.err
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
    shown = capsys.readouterr().out
    assert f"This run is not in the database: {message}" in shown
    assert "sync.py" not in shown, "it can never fill it in"
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
