"""Sacred's flags: a run's id, which two cannot have, and other kinds of records."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from programs import Programs

import main
import sync


@pytest.fixture
def words(two_step_file: Path, tmp_path: Path) -> list[str]:
    """A short run into tmp_path/r."""
    keys = ["t_max=1", "batch_size=8", "test_nepisode=0", f"local_results_path={tmp_path / 'r'}"]
    return ["--config=bc", "--env-config=two_step", "with", *keys, f"dataset={two_step_file}"]


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """What stderr says."""
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    return shown.strip()


def test_of_two_runs_at_once_with_one_id_the_second_is_one_line(
    programs: Programs, words: list[str], tmp_path: Path
) -> None:
    running = [programs.start("main", [*words, "--id=one"]) for _ in range(2)]
    shown = {program.wait(): program.err for program in running}
    record = tmp_path / "r/sacred/one"
    assert shown.keys() == {0, 2}
    assert shown[2] == f"ConfigError: --id=one: {record} is there already; choose another id\n"


def test_an_id_that_is_taken_while_a_run_is_built(
    words: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record = tmp_path / "r/sacred/one"
    monkeypatch.setattr(main, "_build", lambda *_: record.mkdir(parents=True))
    assert main.main([*words, "--id=one"]) == 2
    expected = f"ConfigError: --id=one: {record} is there already; choose another id"
    assert one_line(capsys) == expected
    assert not list(record.iterdir())


def test_a_run_that_does_not_begin_leaves_its_id(words: list[str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="soon"):
        main.main([*words, "--id=one", "--beat-interval=soon"])
    assert not (tmp_path / "r").exists()
    assert main.main([*words, "--id=one"]) == 0


def test_an_id_is_the_name_of_a_folder(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main([*words, "--id=a/b"]) == 2
    expected = "ConfigError: --id=a/b: an id is the name of a folder; leave out the /"
    assert one_line(capsys) == expected
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("flag", ["--sql=", "--sql ", "-s", "-s "])
def test_sacreds_own_database_is_refused(
    flag: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main([*words, *f"{flag}postgresql://u:sec/ret@h/db".split()]) == 2
    assert one_line(capsys) == (
        "ConfigError: --sql: Sacred would write the password into the run's record; for a database "
        "use -m (docs/database.md)"
    )
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("flag", "name", "packages"),
    [("-t", "--tiny_db", "tinydb hashfs"), ("-S", "--s3", "boto3")],
)
def test_a_flag_whose_packages_are_missing_is_one_line(
    flag: str,
    name: str,
    packages: str,
    words: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert main.main([*words, flag, str(tmp_path / "r")]) == 2
    assert one_line(capsys) == (
        f"NotInstalledError: {name} needs packages that are not installed here; install them with: "
        f"pip install {packages}"
    )
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("password", ["sec/ret", "s:ec?r#et", "sec@ret"])
def test_a_command_that_is_not_understood_says_no_password(
    password: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = f"u:{password}@h:27017:db"
    names = ["--config=bc", "--env-config=two_step"]
    assert main.main([*names, "--foo", "-m", database]) == 2
    assert one_line(capsys) == "ConfigError: --foo -m ***@h:27017:db: not understood; see --help"
    assert main.main([*names, database]) == 2
    assert one_line(capsys).startswith("ConfigError: ***@h:27017:db is not a command; ")
    with pytest.raises(SystemExit):
        sync.main([str(tmp_path), "--foo", database])
    assert capsys.readouterr().err.endswith("unrecognized arguments: --foo ***@h:27017:db\n")
