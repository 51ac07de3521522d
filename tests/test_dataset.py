"""The data command: record, inspect, check; provenance, determinism, and mistakes in one line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from recordings import Capture, record_poor, record_random, refuse

import dataset
from data.card import QUANTILES
from data.read import RecordedEpisodes
from data.record import MEASURED_EPISODES, Recorder, load_policy
from utils.config import available
from utils.paths import ROOT

PAYOFF = {1: np.array([[7, 7], [7, 7]]), 2: np.array([[0, 1], [1, 8]])}


def test_random_play_obeys_the_game(two_step_file: Path) -> None:
    data = RecordedEpisodes(two_step_file)
    batch = data.read(np.arange(len(data)))
    assert len(data) == 200
    assert batch.lengths.tolist() == [2] * 200
    assert batch.terminated.tolist() == [[False, True]] * 200
    assert not batch.truncated.any()
    actions = batch.actions.numpy()
    payoff = [PAYOFF[1 + a[0, 0]][a[1, 0], a[1, 1]] for a in actions]
    assert batch.rewards.tolist() == [[0, p] for p in payoff]
    assert data.episodes["battle_won"].tolist() == [p == 8 for p in payoff]
    assert actions[:, 0].mean() == pytest.approx(0.5, abs=0.1)
    assert data.metadata.policies == [{"algorithm": "random", "seed": 1}]
    assert (data.metadata.quality, data.metadata.made_with["epsilon"]) == ("random", 1.0)


def test_the_card_counts_what_is_in_the_file(two_step_file: Path, capsys: Capture) -> None:
    assert dataset.main(["inspect", str(two_step_file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    with h5py.File(two_step_file) as file:
        returns, won = file["episodes/return"][()], file["episodes/battle_won"][()]
        ones = file["steps/actions"][()].reshape(200, 3, 2)[:, :2].mean()  # row T is not played
        sha256, commit = file.attrs["sha256"], json.loads(file.attrs["made_with"])["commit"]
    marks = " / ".join(f"{mark:.1f}" for mark in np.quantile(returns, QUANTILES))
    picture = two_step_file.with_suffix(".png")
    for line in (
        f"file                     {two_step_file}",
        "numbers                  2 agents, 2 actions, obs 3, state 3, limit 2",
        "quality                  random",
        "episodes                 200",
        "transitions              400",
        f"return, mean ± std       {returns.mean():.2f} ± {returns.std():.2f}",
        f"return, 0/25/50/75/100%  {marks}",
        "length, mean ± std       2.00 ± 0.00",
        f"won                      {won.mean():.1%}",
        "truncated (time limit)   0.0%",
        f"actions                  0 {1 - ones:.1%}  1 {ones:.1%}",
        f"policy 0                 200 episodes, mean {returns.mean():.2f}: "
        "algorithm=random seed=1",
        "licence                  CC0-1.0",
        f"sha256                   {sha256} (content)",
        f"picture: {picture}",
    ):
        assert line in lines
    assert any(line.startswith("made with ") and f"commit={commit}" in line for line in lines)
    assert picture.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_the_picture_goes_where_it_is_told(two_step_file: Path, tmp_path: Path) -> None:
    picture = tmp_path / "card.png"
    assert dataset.main(["inspect", str(two_step_file), f"--picture={picture}"]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_check_says_that_files_are_sound(
    two_step_file: Path, tmp_path: Path, capsys: Capture
) -> None:
    record_random(tmp_path, "--episodes=7")
    capsys.readouterr()
    other = tmp_path / "random.h5"
    assert dataset.main(["check", str(two_step_file), str(other)]) == 0
    assert capsys.readouterr().out == (
        f"{two_step_file}: 200 episodes, sound, not in the manifest\n"
        f"{other}: 7 episodes, sound, not in the manifest\n"
    )


def test_checkpoints_are_recorded_evenly_with_their_provenance(
    runs: list[str], tmp_path: Path
) -> None:
    data = record_poor(runs, tmp_path)
    meta = data.metadata
    assert (meta.env, meta.env_args, meta.quality) == ("two_step", {}, "poor")
    assert len(meta.policies) >= 4
    assert {facts["seed"] for facts in meta.policies} == {1, 2}
    counts = np.bincount(data.episodes["policy"], minlength=len(meta.policies))
    assert counts.tolist() == [80 // len(meta.policies)] * len(meta.policies)
    for facts in meta.policies:
        run, t_env = facts["checkpoint"].split("/")
        assert (run, int(t_env)) == (f"qmix_{facts['seed']}", facts["t_env"])
        assert facts["algorithm"] == "qmix"
        assert facts["measured_episodes"] == MEASURED_EPISODES == 256
        assert 0 <= facts["return_mean"] < 10
        assert facts["return_se"] >= 0
        assert 0 <= facts["battle_won_mean"] <= 1
    checkpoints = [facts["checkpoint"] for facts in meta.policies]
    assert len(set(checkpoints)) == len(checkpoints)
    made = meta.made_with
    assert (made["epsilon"], made["seed"], made["batch_size_run"]) == (0.05, 1, 16)
    assert made["packages"].keys() >= {"torch", "numpy", "h5py", "jax", "jaxmarl"}
    assert made["packages"]["numpy"] == np.__version__
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", made["commit"])


def test_a_measured_return_can_be_measured_again(runs: list[str], tmp_path: Path) -> None:
    facts = record_poor(runs, tmp_path).metadata.policies[-1]
    policy = load_policy(Path(runs[0]).parent / facts["checkpoint"])
    stats = Recorder(policy.config, epsilon=0.05, seed=1).measure(policy).statistics()
    assert stats["return_mean"] == facts["return_mean"]
    assert stats["return_se"] == facts["return_se"]


def test_the_same_command_makes_the_same_content(runs: list[str], tmp_path: Path) -> None:
    first = record_poor(runs, tmp_path / "a").sha256
    assert record_poor(runs, tmp_path / "b").sha256 == first
    assert record_poor(runs, tmp_path / "c", "--compress").sha256 == first
    assert record_poor(runs, tmp_path / "d", "--seed=2").sha256 != first
    random = record_random(tmp_path / "a", "--episodes=70").sha256
    assert record_random(tmp_path / "b", "--episodes=70").sha256 == random
    assert record_random(tmp_path / "c", "--episodes=70", "--seed=2").sha256 != random


def test_recorded_in_half_precision(tmp_path: Path) -> None:
    whole = record_random(tmp_path / "a", "--episodes=20")
    half = record_random(tmp_path / "b", "--episodes=20", "--float16")
    for name in ("obs", "state"):
        assert half.steps[name].dtype == np.float16
        assert np.array_equal(half.steps[name][:], whole.steps[name][:].astype(np.float16))
    assert np.array_equal(half.steps["actions"][:], whole.steps["actions"][:])


def test_a_level_by_its_returns(runs: list[str], tmp_path: Path, capsys: Capture) -> None:
    argv = ["record", *runs, "--levels=low=-5:8", "--episodes=80", f"--out={tmp_path}"]
    assert dataset.main(argv) == 0
    data = RecordedEpisodes(tmp_path / "low.h5")
    assert data.metadata.quality == "low"
    assert len(data.metadata.policies) >= 4
    assert all(policy["return_mean"] <= 8 for policy in data.metadata.policies)


def test_random_play_of_other_arguments(tmp_path: Path, capsys: Capture) -> None:
    argv = ["record", "--env-config=mmdp", "--episodes=3", f"--out={tmp_path}"]
    assert dataset.main([*argv, "with", "env_args.n_agents=5"]) == 0
    assert RecordedEpisodes(tmp_path / "random.h5").metadata.env_args == {"n_agents": 5}
    code, line = refuse(capsys, *argv, "with", "env_args.agents=5")
    assert code == 2
    assert "env_args.agents (the command line) is not known; did you mean n_agents?" in line


def test_a_level_that_cannot_be_made(runs: list[str], tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    more = "give more runs, or runs with more checkpoints (save_model_interval)"
    for level, numbers in (("medium", "10-15"), ("good", "15-20")):
        assert refuse(capsys, "record", *runs, f"--levels={level}", f"--out={out}") == (
            2,
            f"DataError: level {level} ({numbers}) needs 4 checkpoints of 2 seeds; "
            f"found none (seed: checkpoints); {more}",
        )
    n = len([p for p in Path(runs[0]).iterdir() if p.name.isdigit()])
    assert refuse(capsys, "record", runs[0], "--levels=poor", f"--out={out}") == (
        2,
        "DataError: level poor (0-10) needs 4 checkpoints of 2 seeds; "
        f"found {{1: {n}}} (seed: checkpoints); {more}",
    )
    assert refuse(capsys, "record", *runs, f"--out={out}")[0] == 2, "poor alone is not written"
    assert not out.exists()


def test_mistakes_are_one_line_with_the_error_s_exit_code(tmp_path: Path, capsys: Capture) -> None:
    envs = ", ".join(available("envs"))
    missing, out = tmp_path / "no.h5", f"--out={tmp_path / 'out'}"
    is_missing = "is missing; make it with src/dataset.py, or name another file"
    for argv, expected in (
        (["inspect", str(missing)], (2, f"DataError: {missing} {is_missing}")),
        (["check", str(missing)], (2, f"DataError: {missing} {is_missing}")),
        (["record", out],
         (2, f"ConfigError: --env-config=NAME is missing; there are: {envs}")),
        (["record", "--env-config=two_stp", out],
         (2, "ConfigError: --env-config=two_stp: there is no src/config/envs/two_stp.yaml; "
          f"did you mean two_step?; there are: {envs}")),
        (["record", str(tmp_path), out],
         (2, f"CheckpointError: {tmp_path}: no checkpoints there; "
          "give folders of results/models")),
        (["record", str(tmp_path), "--levels=best", out],
         (2, "ConfigError: --levels: best is not a level; there are poor, medium, good, and "
          "NAME=LOW:HIGH")),
        (["record", str(tmp_path), "--levels=a=3:1", out],
         (2, "ConfigError: --levels: a=3:1 is not NAME=LOW:HIGH, say medium=0.3:0.6")),
        (["record", str(tmp_path), out, "with", "env_args.x=1"],
         (2, "ConfigError: `with` goes with --env-config: random play, or PyMARL's checkpoints")),
        (["record", str(tmp_path), "--levels=a=1:3,b=2:4", out],
         (2, "ConfigError: --levels: a and b overlap")),
        (["record", str(tmp_path), "--levels=poor=1:3", out],
         (2, "ConfigError: --levels: poor=1:3 is not NAME=LOW:HIGH, say medium=0.3:0.6")),
        (["record", "--env-config=mmdp", "with", "env_args.n_agents=5"],
         (2, "ConfigError: `with` makes other data than usual: say where it goes with "
          "--out=FOLDER")),
        (["record", "--env-config=mmdp", out, "with", "env_args=3"],
         (2, "ConfigError: env_args=3: write env_args.KEY=VALUE")),
        (["record", "--env-config=mmdp", out, "with", "gamma=1"],
         (2, "ConfigError: record ... with gamma=1: only env_args.KEY=VALUE can be given")),
        (["check", str(tmp_path), "with", "x=1"],
         (2, "ConfigError: check ... with x=1: only env_args.KEY=VALUE can be given")),
        (["merge", str(tmp_path), f"--out={tmp_path}", "with", "x=1"],
         (2, "ConfigError: with x=1: merge takes no `with`")),
    ):  # fmt: skip
        assert refuse(capsys, *argv) == expected
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("word", ["--episodes=0", "--episodes=-3", "--epsilon=2", "--out={file}"])
def test_a_value_that_cannot_be_recorded_is_refused(
    tmp_path: Path, capsys: Capture, word: str
) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    argv = ["record", "--env-config=two_step", "--episodes=3", f"--out={tmp_path / 'out'}"]
    code, line = refuse(capsys, *argv, word.format(file=file))
    assert code in (2, 3)
    assert line.startswith(("ConfigError: ", "DataError: "))
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_picture_that_cannot_be_saved_is_one_line(
    two_step_file: Path, tmp_path: Path, capsys: Capture
) -> None:
    picture = tmp_path / "nowhere" / "card.png"
    code, line = refuse(capsys, "inspect", str(two_step_file), f"--picture={picture}")
    assert code > 0
    assert str(picture) in line


def test_a_file_that_is_not_the_manifest_s(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.manifest.FOLDER", tmp_path)
    monkeypatch.setattr("data.manifest.MANIFEST", tmp_path / "manifest.yaml")
    path = tmp_path / "two_step" / "random.h5"
    record_random(path.parent, "--episodes=5")
    assert dataset.main(["manifest"]) == 0
    capsys.readouterr()
    assert dataset.main(["check", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: 5 episodes, sound, as in the manifest\n"
    record_random(path.parent, "--episodes=6")
    code, line = refuse(capsys, "check", str(path))
    assert code == 2
    assert line.startswith(f"DataError: {path} is not the file of the manifest (sha256 ")
    assert line.endswith("...): copy it again, or run src/dataset.py manifest if you made it anew")


def test_a_killed_recording_leaves_only_what_says_so(tmp_path: Path, capsys: Capture) -> None:
    path, partial = tmp_path / "random.h5", tmp_path / "random.h5.incomplete"
    words = ["record", "--env-config=two_step", "--episodes=100000000", f"--out={tmp_path}"]
    process = subprocess.Popen([sys.executable, str(ROOT / "src" / "dataset.py"), *words])
    deadline = time.monotonic() + 60
    try:
        while not (partial.is_file() and partial.stat().st_size > 100_000):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    assert [p.name for p in tmp_path.iterdir()] == [partial.name]
    with h5py.File(partial) as file:
        episodes = len(file["episodes/length"])
    assert episodes > 0
    assert refuse(capsys, "check", str(path)) == (
        2,
        f"DataError: {path} is not there, only {partial}: its recording was interrupted",
    )
    assert refuse(capsys, "check", str(partial)) == (
        2,
        f"DataError: {partial} is incomplete: its recording was interrupted after {episodes} "
        "episodes; record it again",
    )
