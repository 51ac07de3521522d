"""Recipes from the command line: made from nothing, again, after kills; what is refused."""

from __future__ import annotations

import random
import shutil
import signal
import time
from pathlib import Path

import pytest
from making import (
    FILES,
    TINY,
    Made,
    artefacts,
    bytes_in,
    changed,
    make,
    moments,
    start_make,
    words,
)
from programs import Programs
from recordings import Capture

from data.read import RecordedEpisodes


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, programs: Programs) -> Made:
    """The tiny recipe from a file of its own, so that a test can change it."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "recipe").mkdir()
    shutil.copy(TINY, folder / "recipe/tiny.yaml")
    began = time.monotonic()
    made = Made(folder / "out", folder / "results", 0.0)
    argv = words(folder / "recipe/tiny.yaml", made.out, made.results)
    assert start_make(programs, argv).wait() == 0
    return made._replace(seconds=time.monotonic() - began)


def test_a_recipe_makes_every_level_and_their_mix(made: Made) -> None:
    assert set(bytes_in(made.out)) == FILES
    for name, low, high in (("safe", 0.0, 7.25), ("best", 7.25, 8.0)):
        data = RecordedEpisodes(made.out / f"{name}.h5")
        assert (len(data), len(data.metadata.policies)) == (64, 4)
        assert {p["seed"] for p in data.metadata.policies} == {1, 10}
        assert all(low <= p["return_mean"] <= high for p in data.metadata.policies)
        assert data.metadata.made_with["recipe"]["t_max"] == 256
        assert str(made.results) not in str(data.metadata)
    mixed = RecordedEpisodes(made.out / "mixed.h5")
    assert (len(mixed), mixed.metadata.quality) == (128, "mixed")
    assert not list(made.work.rglob("buffer.th"))


def test_made_again_nothing_is_done(
    made: Made, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = bytes_in(made.out), bytes_in(made.work)
    times = {p: p.stat().st_mtime_ns for p in made.work.rglob("*.th")}
    recipe = made.out.parent / "recipe/tiny.yaml"
    code, out, error = make(capsys, monkeypatch, words(recipe, made.out, made.results))
    assert (code, error) == (0, "")
    assert "to do" not in out
    assert out.count("  64 episodes  return ") == 2
    assert (bytes_in(made.out), bytes_in(made.work)) == before
    assert {p: p.stat().st_mtime_ns for p in made.work.rglob("*.th")} == times
    code, out, _ = make(capsys, monkeypatch, words(recipe, made.out, made.results, "--dry-run"))
    assert out.count("done") == 6


def test_without_its_trainings_a_whole_set_is_left_as_it_is(
    made: Made, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, results, recipe = tmp_path / "out", tmp_path / "none", made.out.parent / "recipe/tiny.yaml"
    shutil.copytree(made.out, out)
    code, shown, _ = make(capsys, monkeypatch, words(recipe, out, results, "--dry-run"))
    assert (code, shown.count("not needed, every level is there")) == (0, 3)
    assert not results.exists()
    code, _, error = make(capsys, monkeypatch, words(recipe, out, results))
    assert (code, error) == (0, "")
    assert bytes_in(out) == bytes_in(made.out)
    assert set(bytes_in(results / "recipes/tiny")) == {"recipe.json"}


def test_a_commit_in_between_changes_no_byte(
    made: Made, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, results, recipe = tmp_path / "out", tmp_path / "results", made.out.parent / "recipe"
    shutil.copytree(made.results, results)
    monkeypatch.setenv("ICQ_COMMIT", "another")
    code, _, error = make(capsys, monkeypatch, words(recipe / "tiny.yaml", out, results))
    assert (code, error) == (0, "")
    assert bytes_in(out) == bytes_in(made.out)


def test_what_another_yaml_says_is_compared_as_well(
    made: Made, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = made.out.parent / "recipe/tiny.yaml"
    path, argv = made.work / "recipe.json", words(recipe, made.out, made.results)
    before = path.read_text()
    mend = "give another folder with --results, or delete that one\n"
    for text, line in (
        (before.replace('"gamma": 0.99', '"gamma": 0.9'), f"ConfigError: {made.work} was begun "
         f"with gamma=0.9, {recipe} now says gamma=0.99; {mend}"),
        ("[]", f"DataError: {path} is damaged; {made.work} may be another recipe's; {mend}"),
    ):  # fmt: skip
        path.write_text(text)
        assert make(capsys, monkeypatch, argv) == (2, "", line)
    path.write_text(before)
    measured = made.work / "measured.json"
    before = measured.read_text()
    for text in ("[]", "{", '{"seed_1/32": {}}'):
        measured.write_text(text)
        code, _, error = make(capsys, monkeypatch, argv)
        advice = "delete it: what it held is measured again"
        assert (code, error) == (2, f"DataError: {measured} is damaged; {advice}\n")
    measured.write_text(before)


def test_killed_at_any_moment_the_same_bytes_are_made(
    made: Made, programs: Programs, tmp_path: Path
) -> None:
    recipe = changed(tmp_path / "recipe")
    out, results = tmp_path / "out", tmp_path / "results"
    argv, work = words(recipe, out, results), results / "recipes/tiny"
    rng = random.Random(4)
    kills = [*moments(rng, 0.25 * made.seconds), *artefacts(rng, work, out)]
    assert len(kills) >= 10
    killed = [start_make(programs, argv).wait(kill()) for kill in kills].count(-signal.SIGKILL)
    assert killed >= 9, f"{killed} of {len(kills)} were killed in time"
    assert start_make(programs, argv).wait() == 0
    for name, content in bytes_in(made.out).items():
        assert (out / name).read_bytes() == content, name
    assert set(bytes_in(out)) == FILES
    assert not list(work.rglob("buffer.th"))
    assert bytes_in(work / "models").keys() == bytes_in(made.work / "models").keys()
    agents = [sorted(w.rglob("agent.th")) for w in (work, made.work)]
    assert [p.read_bytes() for p in agents[0]] == [p.read_bytes() for p in agents[1]]


def test_two_at_once(
    programs: Programs, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = changed(tmp_path / "recipe", with_={"t_max": 100_000})
    argv = words(recipe, tmp_path / "out", tmp_path / "results")
    work = tmp_path / "results/recipes/tiny"

    def second_is_refused() -> bool:
        if not list(work.glob("models/seed_1/*")):
            return False
        code, _, error = make(capsys, monkeypatch, argv)
        assert (code, error) == (
            2,
            f"ConfigError: tiny is being made in {work} already; wait for it, or give another "
            "folder with --results\n",
        )
        return True

    def other_is_refused() -> bool:
        if not second_is_refused():
            return False
        other = words(recipe, tmp_path / "out", tmp_path / "other")
        code, _, error = make(capsys, monkeypatch, other)
        assert (code, error) == (
            2,
            f"ConfigError: another data set is being made in {tmp_path / 'out'} already; wait for "
            "it, or give another folder with --out\n",
        )
        return True

    assert start_make(programs, argv).wait(other_is_refused) == -signal.SIGKILL


def test_a_recipe_that_was_changed_is_refused(
    made: Made, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = bytes_in(made.out)
    recipe = changed(tmp_path / "a", with_={"lr": 0.02})
    code, _, error = make(capsys, monkeypatch, words(recipe, made.out, made.results))
    assert (code, error) == (
        2,
        f"ConfigError: {made.work} was begun with lr=0.01, {recipe} now says lr=0.02; give another "
        "folder with --results, or delete that one\n",
    )
    recipe = changed(tmp_path / "b", episodes=65)
    code, _, error = make(capsys, monkeypatch, words(recipe, made.out, made.results))
    assert (code, error) == (
        2,
        f"DataError: {made.out / 'safe.h5'} was made with episodes=64, the recipe now says "
        "episodes=65; move it away or give another folder with --out\n",
    )
    assert bytes_in(made.out) == before


def test_a_level_that_cannot_be_filled(
    made: Made, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels = {"safe": [0, 7.25], "best": [7.25, 8], "perfect": [8, 9]}
    recipe, out = changed(tmp_path / "recipe", levels=levels), tmp_path / "out"
    shutil.copytree(made.results, tmp_path / "results")
    code, _, error = make(capsys, monkeypatch, words(recipe, out, tmp_path / "results"))
    assert code == 2
    unfilled, unmixed = error.splitlines()
    assert unfilled.startswith(
        "DataError: level perfect (8-9) needs 4 checkpoints of 2 seeds; found none (seed: "
        "checkpoints); measured were seed 1: 8 checkpoints with means 7.0 to 7.5, seed 10: "
    )
    assert unfilled.endswith(
        "; change t_max or save_model_interval (more training, more checkpoints) or levels (other "
        f"bounds) in {recipe}"
    )
    assert unmixed == f"DataError: {out / 'mixed.h5'} needs every level; perfect is missing"
    assert set(bytes_in(out)) == {"safe.h5", "best.h5"}
