"""The command line as users type it: every algorithm, evaluation, resuming, mistakes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from batches import CONTINUOUS, LEARNT
from killing import assert_resuming_is_exact
from programs import Programs

import dataset
import main
from utils.checkpoint import find_checkpoint
from utils.paths import ROOT

TINY = [
    "t_max=60", "batch_size=8", "test_interval=20", "test_nepisode=8", "batch_size_run=4",
    "learner_log_interval=10", "log_interval=30", "save_model_interval=20", "rnn_hidden_dim=8",
]  # fmt: skip
LEARNING = [alg for alg in LEARNT if alg not in CONTINUOUS]


def run_main(alg: str, results: Path, *updates: str, env: str = "two_step") -> int:
    """One run of the program in this process -> exit code."""
    words = [f"--config={alg}", f"--env-config={env}", "with", *TINY]
    return main.main([*words, f"local_results_path={results}", *updates])


def only(folder: Path, pattern: str) -> Path:
    """The one path that matches."""
    (found,) = folder.glob(pattern)
    return found


@pytest.mark.parametrize("alg", LEARNING)
def test_every_algorithm_runs_and_leaves_its_records(
    alg: str, tmp_path: Path, two_step_file: Path
) -> None:
    assert run_main(alg, tmp_path, f"dataset={two_step_file}") == 0
    record = only(tmp_path, "sacred/*/run.json")
    assert json.loads(record.read_text())["status"] == "COMPLETED"
    info = json.loads(record.with_name("info.json").read_text())
    assert len(info["test_return_mean"]) == len(info["test_return_mean_T"]) >= 3
    assert "test_return_mean" in json.loads(record.with_name("metrics.json").read_text())
    metrics = only(tmp_path, "metrics/*.csv").read_text()
    assert "test_battle_won_mean" in metrics
    assert "nan" not in metrics
    checkpoint = max(only(tmp_path, "models/*").iterdir(), key=lambda p: int(p.name))
    files = {path.name for path in checkpoint.iterdir()}
    assert {"agent.th", "trainer_state.th", "metrics.csv"} <= files
    assert any(name.endswith("opt.th") for name in files)


def test_same_seed_same_metrics_other_seed_other_metrics(
    tmp_path: Path, two_step_file: Path
) -> None:
    data = f"dataset={two_step_file}"
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert run_main("icq", tmp_path / folder, data, f"seed={seed}") == 0
    a, b, c = (only(tmp_path / f, "metrics/*.csv").read_bytes() for f in "abc")
    assert a == b != c


@pytest.mark.parametrize("alg", ["icq", "icq_official", "qmix"])
def test_killed_and_resumed_equals_never_stopped(
    alg: str, programs: Programs, tmp_path: Path, two_step_file: Path
) -> None:
    updates = [f"dataset={two_step_file}", "t_max=600", "save_buffer=True"]
    updates += ["save_model_interval=100", "test_interval=200"]

    def words(results: Path, *more: str) -> list[str]:
        settings = [*TINY, *updates, f"local_results_path={results}", *more]
        return [f"--config={alg}", "--env-config=two_step", "with", *settings]

    assert_resuming_is_exact(programs, words, tmp_path, t_max=600)


@pytest.mark.parametrize("alg", ["icq", "bcq"])
def test_a_checkpoint_is_evaluated_without_data(
    alg: str, tmp_path: Path, two_step_file: Path
) -> None:
    assert run_main(alg, tmp_path / "train", f"dataset={two_step_file}") == 0
    run = only(tmp_path / "train", "models/*")
    evaluate = ["evaluate=True", f"checkpoint_path={run}", "test_nepisode=8"]
    assert run_main(alg, tmp_path / "eval", "dataset=/nowhere", *evaluate) == 0
    lines = only(tmp_path / "eval", "metrics/*.csv").read_text().splitlines()
    trained = only(tmp_path / "train", "metrics/*.csv").read_text().splitlines()
    assert lines[1] == [line for line in trained if "test_return_mean" in line][-1]


def test_tensorboard_and_sacreds_flags(tmp_path: Path, two_step_file: Path) -> None:
    words = ["--config=bc", "--env-config=two_step", "-c", "a comment", "--id=mine", "with", *TINY]
    words += [f"dataset={two_step_file}", f"local_results_path={tmp_path}", "use_tensorboard=True"]
    assert main.main(words) == 0
    record = json.loads((tmp_path / "sacred/mine/run.json").read_text())
    assert record["meta"]["comment"] == "a comment"
    assert list((tmp_path / "tb_logs/mine").glob("events*"))


def test_sacreds_flags_behind_with(tmp_path: Path, two_step_file: Path) -> None:
    assert run_main("bc", tmp_path, f"dataset={two_step_file}", "-c", "hello", "--id=mine") == 0
    record = json.loads((tmp_path / "sacred/mine/run.json").read_text())
    assert record["meta"]["comment"] == "hello"
    assert run_main("bc", tmp_path, f"dataset={two_step_file}", "-iother") == 0
    assert (tmp_path / "sacred/other/run.json").is_file()
    assert run_main("bc", tmp_path / "u", f"dataset={two_step_file}", "-u") == 0
    assert not (tmp_path / "u" / "sacred").exists()


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("foo", "foo is not a command; there are print_config, "),
        ("gamma=0.5", "gamma=0.5: write `with` before the first key=value"),
        ("--nonsense", "--nonsense: not understood; see --help"),
        ("help", "help is not a command; there are print_config, "),
    ],
)
def test_a_stray_word_is_one_line(
    word: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["--config=bc", "--env-config=two_step", word]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"ConfigError: {message}")
    assert shown.count("\n") == 1


def test_print_config_shows_the_merged_values(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["print_config", "--config=icq", "--env-config=smax", "with", "gamma=0.5"]
    assert main.main([*words, f"local_results_path={tmp_path}"]) == 0
    shown = capsys.readouterr().out
    assert "gamma = 0.5" in shown
    assert "3s_vs_3z" in shown


def test_the_script_is_evaluated(tmp_path: Path) -> None:
    pytest.importorskip("jaxmarl")
    words = ["--config=script", "--env-config=smax", "with", "test_nepisode=64"]
    assert main.main([*words, f"local_results_path={tmp_path}"]) == 0
    (mean,) = [
        float(line.split(",")[2])
        for line in only(tmp_path, "metrics/*.csv").read_text().splitlines()
        if "return_mean" in line
    ]
    assert 10 < mean < 20


def test_resuming_with_something_else_is_refused(
    tmp_path: Path, two_step_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main("icq", tmp_path / "a", f"dataset={two_step_file}") == 0
    run = only(tmp_path / "a", "models/*")
    other = tmp_path / "other"
    argv = ["record", "--env-config=two_step", "--episodes=50", "--seed=9", f"--out={other}"]
    assert dataset.main(argv) == 0
    capsys.readouterr()
    resume = f"checkpoint_path={run}"
    assert run_main("icq", tmp_path / "b", f"dataset={other / 'random.h5'}", resume) == 2
    assert "was trained on other data (sha256" in capsys.readouterr().err
    data = f"dataset={two_step_file}"
    for alg, update, key in (
        ("icq", "critic_lr=0.5", "critic_lr=0.001, this run has critic_lr=0.5"),
        ("icq", "seed=7", "seed=1, this run has seed=7"),
        ("bc", "seed=1", "name=icq, this run has name=bc"),
    ):
        assert run_main(alg, tmp_path / "b", data, resume, update) == 2
        expected = f"CheckpointError: {run}/60 was made with {key}; use the same value\n"
        assert capsys.readouterr().err == expected


def test_a_damaged_checkpoint_is_one_line(
    tmp_path: Path, two_step_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = f"dataset={two_step_file}"
    assert run_main("icq", tmp_path / "a", data) == 0
    run = only(tmp_path / "a", "models/*")
    capsys.readouterr()
    (run / "60" / "critic_opt.th").unlink()
    assert run_main("icq", tmp_path / "b", data, f"checkpoint_path={run}") == 2
    assert capsys.readouterr().err == f"CheckpointError: {run}/60 lacks critic_opt.th\n"
    (run / "60" / "agent.th").write_bytes(b"x" * 100)
    assert run_main("icq", tmp_path / "b", data, f"checkpoint_path={run}") == 2
    line = capsys.readouterr().err
    assert line.startswith(f"CheckpointError: {run}/60/agent.th cannot be read: ")
    assert line.count("\n") == 1


def test_nearest_checkpoint_is_taken(tmp_path: Path, two_step_file: Path) -> None:
    assert run_main("bc", tmp_path / "a", f"dataset={two_step_file}") == 0
    run = only(tmp_path / "a", "models/*")
    assert find_checkpoint(run, 0) == run / "60"
    assert find_checkpoint(run, 35) == run / "40"
    assert find_checkpoint(run / "20", 0) == run / "20"


MISTAKES = {
    "no checkpoint": (
        ["checkpoint_path=/nowhere"],
        "CheckpointError: checkpoint_path=/nowhere: no checkpoint there; it must be the folder of "
        "a run, results/models/<run>",
    ),
    "missing data": (
        ["dataset=/nowhere.h5"],
        "DataError: /nowhere.h5 is missing; make it with src/dataset.py, or name another file",
    ),
    "an unwritable place": (
        ["local_results_path=/dev/null/x"],
        "NotADirectoryError: /dev/null/x: Not a directory",
    ),
    "batch too large": (
        ["batch_size=1000"],
        "DataError: {data} has 200 episodes, fewer than batch_size=1000",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(
    mistake: str, tmp_path: Path, two_step_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    updates, message = MISTAKES[mistake]
    code = 1 if mistake == "an unwritable place" else 2
    assert run_main("icq", tmp_path / "r", f"dataset={two_step_file}", *updates) == code
    assert capsys.readouterr().err == message.format(data=two_step_file) + "\n"
    assert not (tmp_path / "r").exists()


def test_a_checkpoint_of_another_network_is_refused(
    tmp_path: Path, two_step_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = f"dataset={two_step_file}"
    assert run_main("bc", tmp_path / "a", data) == 0
    run = only(tmp_path / "a", "models/*")
    capsys.readouterr()
    words = [data, f"checkpoint_path={run}", "rnn_hidden_dim=16", "evaluate=True"]
    assert run_main("bc", tmp_path / "b", *words) == 2
    assert capsys.readouterr().err == (
        f"CheckpointError: {run}/60/agent.th belongs to another network: fc1.bias is (8,) there, "
        "(16,) here; use the --config, map, obs_* and sizes of the run that made it\n"
    )


def test_a_gpu_that_is_not_there(
    tmp_path: Path, two_step_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert run_main("bc", tmp_path / "r", f"dataset={two_step_file}", "device=cuda") == 2
    assert capsys.readouterr().err == (
        "ConfigError: device=cuda, but PyTorch finds no CUDA device here; use device=auto\n"
    )


@pytest.mark.parametrize("alg", ["script", "qmix"])
def test_a_missing_extra_is_one_line_and_leaves_nothing(alg: str, tmp_path: Path) -> None:
    (tmp_path / "jaxmarl.py").write_text("raise ImportError('not installed')\n")
    command = [sys.executable, str(ROOT / "src/main.py"), f"--config={alg}", "--env-config=smax"]
    result = subprocess.run(
        [*command, "with", f"local_results_path={tmp_path / 'r'}"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 2
    assert result.stderr == (
        "MissingExtraError: env=smax needs packages that are not installed here; "
        "install them with: pip install -c constraints.txt -e '.[smax]'\n"
    )
    assert not (tmp_path / "r").exists()


def test_data_is_learnt_from_without_the_environment(tmp_path: Path) -> None:
    (tmp_path / "jaxmarl.py").write_text("raise ImportError('not installed')\n")
    words = ["--config=icq", "--env-config=smax", "with", *TINY, "dataset_quality=poor", "t_max=4"]
    result = subprocess.run(
        [sys.executable, str(ROOT / "src/main.py"), *words, f"local_results_path={tmp_path / 'r'}"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "Not evaluated: env=smax needs packages that are not installed here" in result.stdout
    assert list((tmp_path / "r").glob("models/*/4/agent.th"))


def test_icq_trains_and_evaluates_on_smax(tmp_path: Path) -> None:
    pytest.importorskip("jaxmarl")
    updates = ["t_max=20", "test_nepisode=64", "batch_size_run=64", "dataset_quality=poor"]
    assert run_main("icq", tmp_path, *updates, env="smax") == 0
    assert "test_return_mean" in only(tmp_path, "metrics/*.csv").read_text()


def test_a_start_waits_for_nothing_that_it_does_not_need() -> None:
    """Sacred would import pandas; the data's libraries are for those who learn from a file."""
    words = ["print_config", "--config=icq", "--env-config=sc2"]
    command = [sys.executable, "-X", "importtime", str(ROOT / "src/main.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "sacred" in imported
    assert imported.isdisjoint({"pandas.core.api", "h5py", "torch"})
