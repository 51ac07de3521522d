"""Continuous control through the real commands: record, train, resume, evaluate, mistakes."""

from __future__ import annotations

import csv
from pathlib import Path

import h5py
import numpy as np
import pytest
from batches import CONTINUOUS, SAMPLED
from killing import assert_resuming_is_exact
from programs import Programs
from recordings import Capture

import dataset
import main
from data.read import RecordedEpisodes
from utils.paths import ROOT

FOLDER = ROOT / "offline_data" / "gymnasium" / "Pendulum-v1"
TINY = [
    "t_max=40", "batch_size=16", "test_interval=20", "test_nepisode=2", "batch_size_run=2",
    "learner_log_interval=10", "log_interval=30", "save_model_interval=10", "hidden_dim=8",
]  # fmt: skip
SMALL_MODEL = ["behaviour_steps=10", "behaviour_hidden_dim=8", "n_samples=5"]


def words_of(alg: str, results: Path, *updates: str, env: str = "pendulum") -> list[str]:
    """What stands behind main.py for a tiny run."""
    small = SMALL_MODEL if alg in SAMPLED else []
    settings = [*TINY, *small, f"local_results_path={results}", *updates]
    return [f"--config={alg}", f"--env-config={env}", "with", *settings]


def metrics_of(results: Path) -> dict[str, list[float]]:
    """Stat -> values of the one run in a folder."""
    (path,) = results.glob("metrics/*.csv")
    stats: dict[str, list[float]] = {}
    with path.open(newline="") as file:
        for line in csv.DictReader(file):
            stats.setdefault(line["stat"], []).append(float(line["value"]))
    return stats


def write_d4rl(path: Path, rows: int = 600) -> Path:
    """A file of D4RL's layout for HalfCheetah: episodes of 100 steps, the third a true end."""
    rng = np.random.default_rng(0)
    ends = np.arange(rows) % 100 == 99
    with h5py.File(path, "w") as file:
        file["observations"] = rng.normal(size=(rows, 17)).astype(np.float32)
        file["actions"] = rng.uniform(-1, 1, (rows, 6)).astype(np.float32)
        file["rewards"] = rng.normal(size=rows).astype(np.float32)
        file["terminals"] = ends & (np.arange(rows) == 299)
        file["timeouts"] = ends & (np.arange(rows) != 299)
    return path


@pytest.mark.parametrize("alg", sorted(CONTINUOUS))
def test_every_algorithm_runs_on_pendulum(alg: str, tmp_path: Path) -> None:
    assert main.main(words_of(alg, tmp_path)) == 0
    stats = metrics_of(tmp_path)
    assert len(stats["test_return_mean"]) == 3
    assert all(-2000 < value < 0 for value in stats["test_return_mean"])
    assert "test_normalised_score_mean" not in stats  # D4RL has no reference for Pendulum
    assert all(np.isfinite(values).all() for values in stats.values())


@pytest.mark.parametrize("alg", ["icq_softmax", "icq_vae"])
def test_a_file_of_d4rls_layout_is_trained_on_and_scored(alg: str, tmp_path: Path) -> None:
    file = write_d4rl(tmp_path / "halfcheetah.hdf5")
    task = [f"dataset={file}", "env_args.key=HalfCheetah-v5"]
    assert main.main(words_of(alg, tmp_path, *task, env="d4rl")) == 0
    stats = metrics_of(tmp_path)
    for score, value in zip(
        stats["test_normalised_score_mean"], stats["test_return_mean"], strict=True
    ):
        assert score == pytest.approx(100 * (value + 280.178953) / (12135.0 + 280.178953))


def test_same_seed_same_metrics_other_seed_other_metrics(tmp_path: Path) -> None:
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert main.main(words_of("icq_vae", tmp_path / folder, f"seed={seed}")) == 0
    a, b, c = (next((tmp_path / f).glob("metrics/*.csv")).read_bytes() for f in "abc")
    assert a == b != c


@pytest.mark.parametrize("alg", ["icq_softmax", "icq_vae"])
def test_killed_and_resumed_equals_never_stopped(
    alg: str, programs: Programs, tmp_path: Path
) -> None:
    updates = ["t_max=500", "save_model_interval=50", "test_interval=250"]

    def words(results: Path, *more: str) -> list[str]:
        return words_of(alg, results, *updates, *more)

    assert_resuming_is_exact(programs, words, tmp_path, t_max=500)


def test_a_checkpoint_is_evaluated_greedily_or_by_samples(tmp_path: Path) -> None:
    assert main.main(words_of("icq_softmax", tmp_path / "train")) == 0
    (run,) = (tmp_path / "train").glob("models/*")
    evaluate = ["evaluate=True", f"checkpoint_path={run}", "dataset=/nowhere"]
    for folder, more in (("greedy", []), ("sampled", ["test_greedy=False"])):
        assert main.main(words_of("icq_softmax", tmp_path / folder, *evaluate, *more)) == 0
    greedy, sampled = (metrics_of(tmp_path / f)["test_return_mean"] for f in ("greedy", "sampled"))
    assert greedy != sampled


def test_icq_learns_more_than_the_data_shows(tmp_path: Path) -> None:
    """Pendulum in half a minute; the best return is about -150."""
    updates = ["t_max=3500", "batch_size=64", "test_interval=500", "test_nepisode=32", "lr=0.003",
               "critic_lr=0.003", "batch_size_run=32", "hidden_dim=128", "save_model=False",
               "log_interval=3500"]  # fmt: skip
    assert main.main(words_of("icq_softmax", tmp_path, *updates)) == 0
    data = RecordedEpisodes(FOLDER / "full-replay.h5").episodes["return"].mean()
    assert np.mean(metrics_of(tmp_path)["test_return_mean"][-3:]) > data + 50


def test_sb3_is_trained_and_recorded_at_d4rls_levels(tmp_path: Path, capsys: Capture) -> None:
    record = ["record", "--env-config=pendulum", "--sb3=SAC", "--steps=600", "--save-every=200",
              "--episodes=3", f"--out={tmp_path}", f"--results={tmp_path}"]  # fmt: skip
    assert dataset.main(record) == 0
    levels = ["medium", "expert", "medium-expert", "medium-replay", "full-replay"]
    assert capsys.readouterr().out == "".join(f"wrote {tmp_path / level}.h5\n" for level in levels)
    data = {level: RecordedEpisodes(tmp_path / f"{level}.h5") for level in levels}
    assert dataset.main(["check", *(str(tmp_path / f"{level}.h5") for level in levels)]) == 0
    assert [len(data[level]) for level in levels[:3]] == [3, 3, 6]
    assert len(data["full-replay"]) == 3
    medium = data["medium"].metadata.policies[0]["t_env"]
    assert len(data["medium-replay"]) == medium // 200
    assert data["expert"].metadata.policies[0]["t_env"] == 600
    starts = [data[level].read(np.arange(3)).obs[:, 0] for level in ("medium", "expert")]
    assert not np.array_equal(*starts)
    replay, first = data["full-replay"].read(np.arange(3)), data["full-replay"].steps["obs"]
    assert replay.truncated[:, -1].all()
    assert not np.array_equal(first[200], first[201])  # each begins with an observation of its own
    before = {level: data[level].sha256 for level in levels}
    assert dataset.main(record) == 0  # the training is kept, the files are the same
    assert {v: RecordedEpisodes(tmp_path / f"{v}.h5").sha256 for v in levels} == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config=icq_softmax", "--env-config=two_step"],
         "icq_softmax is for continuous actions, two_step has discrete ones; use --config=icq or "
         "bc"),
        (["--config=icq_softmax", "--env-config=d4rl", "with", "env_args.key=CartPole-v1"],
         "icq_softmax is for continuous actions, gymnasium CartPole-v1 has discrete ones; use "
         "--config=icq or bc"),
        (["--config=icq", "--env-config=pendulum", "with", "batch_of=episodes"],
         "icq is for discrete actions, gymnasium Pendulum-v1 has continuous ones; use "
         "--config=icq_softmax or bc_continuous"),
        (["--config=icq", "--env-config=two_step", "with", "batch_of=transitions"],
         "batch_of=transitions is for learners without memory, icq needs whole episodes; use "
         "batch_of=episodes"),
        (["--config=icq_vae", "--env-config=pendulum", "with", "t_max=1000"],
         "behaviour_steps=1000 leaves nothing of t_max=1000 for the policy"),
        (["--config=icq_softmax", "--env-config=pendulum", "with", "runner=parallel"],
         "icq_softmax learns from recorded data; use runner=offline"),
        (["--config=icq_softmax", "--env-config=pendulum", "with", "mac=basic_mac"],
         "mac=basic_mac and learner=icq_continuous_learner do not fit"),
        (["--config=icq_softmax", "--env-config=pendulum", "with", "agent=rnn"],
         "mac=gaussian_mac and agent=rnn do not fit"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line(words: list[str], message: str, capsys: Capture) -> None:
    assert main.main(words) == 2
    out, error = capsys.readouterr()
    assert (out, error) == ("", f"{error.split(':')[0]}: {message}\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sb3=PPO"], "ConfigError: --sb3=PPO is not known; there are SAC, TD3"),
        (["--sb3=SAC", "--levels=good"],
         "ConfigError: --levels: good is not a level; there are medium, expert, medium-expert, "
         "medium-replay, full-replay"),
        (["--sb3=SAC", "--steps=0"], "ConfigError: --steps=0 is out of range"),
        (["--sb3=SAC", "--steps=100", "--save-every=33"],
         "ConfigError: --steps=100 must be --save-every=33 two or more times"),
        (["--sb3=SAC", "--steps=500", "--save-every=500"],
         "ConfigError: --steps=500 must be --save-every=500 two or more times"),
        (["--sb3=SAC", "--steps=500", "--save-every=250"],
         "ConfigError: --steps=500 is less than the 1000 steps of an episode"),
        (["--sb3=SAC", "--save-every=0"], "ConfigError: --save-every=0 is out of range"),
        (["--steps=500"], "ConfigError: --steps=500 goes with --sb3"),
        (["--sb3=SAC", "--key=CartPole-v1"],
         "ConfigError: --sb3=SAC learns continuous actions; CartPole-v1 has discrete ones"),
    ],
)  # fmt: skip
def test_a_mistake_in_recording_is_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: Capture
) -> None:
    base = ["record", "--env-config=d4rl", f"--out={tmp_path}"]
    assert dataset.main([*base, *words]) == 2
    assert capsys.readouterr().err == f"{message}\n"
    assert not list(tmp_path.iterdir())
