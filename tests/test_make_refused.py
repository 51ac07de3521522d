"""Recipes that are refused before anything is done, and what a dry run leaves: nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from making import (
    FILES,
    TINY,
    changed,
    make,
    words,
)
from recordings import Capture

from data.making.files import Job
from data.making.recipe import read_recipe
from data.making.stages import Train


def test_an_unusable_folder_is_found_before_the_training(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("notes")
    argv = words(TINY, tmp_path / "file/out", tmp_path / "results")
    assert make(capsys, monkeypatch, argv) == (
        2, "",
        f"ConfigError: nothing can be written in {tmp_path}/file/out: Not a directory; give "
        "another folder with --out\n",
    )  # fmt: skip
    assert not list((tmp_path / "results").rglob("recipe.json"))


def test_two_recipes_of_one_name(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = changed(tmp_path / "a"), changed(tmp_path / "b")
    results = tmp_path / "results"
    argv = ["make", str(first), str(second), f"--results={results}"]
    assert make(capsys, monkeypatch, argv) == (
        2, "",
        f"ConfigError: {first} and {second} would both be trained in {results}/recipes/tiny; "
        "rename one, or make them one by one with another --results\n",
    )  # fmt: skip


def test_only_checkpoints_are_removed(tmp_path: Path) -> None:
    job = Job(read_recipe(str(TINY)), tmp_path, tmp_path / "out")
    names = ["32", "64", ".96.partial", ".32.old", "notes", "64.bak", ".mine"]
    for name in names:
        (job.run_of(1) / name).mkdir(parents=True)
    (job.run_of(1) / "96").write_text("a file")
    Train(job, 1)._forget_after(32)
    left = {path.name for path in job.run_of(1).iterdir()}
    assert left == {"32", "notes", "64.bak", ".mine", "96"}


def test_dry_run_makes_nothing(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = words(TINY, tmp_path / "out", tmp_path / "results", "--dry-run")
    code, out, error = make(capsys, monkeypatch, argv)
    assert (code, error, list(tmp_path.iterdir())) == (0, "", [])
    assert out.count("to do") == 6


def test_a_file_of_another_origin_is_never_overwritten(
    two_step_file: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in sorted(FILES):
        path = out / name
        shutil.copy(two_step_file, path)
        code, _, error = make(capsys, monkeypatch, words(TINY, out, tmp_path / "results"))
        assert (code, error) == (
            2,
            f"DataError: {path} is there already and was not made by this recipe; move it away or "
            "give another folder with --out\n",
        )
        assert path.read_bytes() == two_step_file.read_bytes()
        path.write_text("notes")
        code, _, error = make(capsys, monkeypatch, words(TINY, out, tmp_path / "results"))
        assert code == 2
        assert "or move it away, or give another folder with --out" in error
        path.unlink()
    assert not (tmp_path / "results").exists()


def test_words_that_do_not_go_together(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for argv, message in (
        (["make"], "make needs a recipe: smax/3m, say; --list lists them"),
        (["make", "smax/3m", "smax/8m", "--out=x"], "--out=x is for one recipe; make them one by"),
        (["make", "smax/3mm"], "smax/3mm: there is no src/config/recipes/smax/3mm.yaml; did you"),
        (["make", "none.yaml"], "none.yaml: there is no such file"),
    ):
        code, out, error = make(capsys, monkeypatch, argv)
        assert (code, out, error.count("\n")) == (2, "", 1)
        assert error.startswith(f"ConfigError: {message}")
    code, out, _ = make(capsys, monkeypatch, ["make", "--list"])
    assert code == 0
    assert "two_step/tiny           QMIX's two-step matrix game, for a first look" in out
