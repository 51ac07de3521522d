"""Grids of runs and the table made from them, on real tiny runs of the two-step game."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import report
import sweep
from utils.config import load_settings
from utils.paths import ROOT
from utils.records import Run, labels

TINY = ["t_max=20", "batch_size=8", "test_interval=5", "test_nepisode=8", "batch_size_run=4"]


def sweep_words(results: Path, data: Path) -> list[str]:
    """Two algorithms, two seeds."""
    words = ["--config=bc,icq", "--env-config=two_step", "--jobs=2", "with", *TINY, "seed=1,2"]
    return [*words, f"dataset={data}", f"local_results_path={results}"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, two_step_file: Path) -> Path:
    """A results folder that a sweep filled."""
    folder = tmp_path_factory.mktemp("sweep")
    assert sweep.main(sweep_words(folder, two_step_file)) == 0
    return folder


def test_a_sweep_runs_every_combination_once(
    results: Path, two_step_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(list(results.glob("sacred/*/run.json"))) == 4
    assert sweep.main(sweep_words(results, two_step_file)) == 0
    assert capsys.readouterr().out == ""
    assert len(list(results.glob("sacred/*/run.json"))) == 4


def completed(folder: Path, config: dict[str, Any]) -> None:
    """A record of a run with that configuration."""
    record = folder / "sacred" / str(len(list(folder.glob("sacred/*"))))
    record.mkdir(parents=True)
    (record / "run.json").write_text('{"status": "COMPLETED"}')
    (record / "config.json").write_text(json.dumps(config))


def left(folder: Path, alg: str, env: str, *words: str) -> int:
    """How many of a sweep's runs are still to be done."""
    flags = {"--config": alg, "--env-config": env}
    keys = [*words, f"local_results_path={folder}"]
    return len(sweep.pending(sweep._combinations(flags, keys)))


@pytest.mark.parametrize("name", ["icq", "mine"])
def test_a_run_from_before_a_key_has_the_yamls_value_of_it(tmp_path: Path, name: str) -> None:
    updates = {"name": name, "env_args": {"map_name": "MMM2"}}
    old = load_settings("icq", "sc2", updates).values
    for key in ("optimiser", "save_replay", "critic_lr"):
        del old[key]
    del old["env_args"]["difficulty"]
    completed(tmp_path, old)
    words = ("icq", "sc2", f"name={name}", "env_args.map_name=MMM2")
    assert left(tmp_path, *words) == 0
    assert left(tmp_path, *words, "optimiser=adam,rmsprop") == 1
    assert left(tmp_path, *words, "critic_lr=0.5") == 1
    assert left(tmp_path, *words, 'env_args.difficulty="3"') == 1


def test_what_changes_nothing_of_what_is_learnt_makes_no_other_run(tmp_path: Path) -> None:
    completed(tmp_path, load_settings("icq", "sc2", {"checkpoint_path": "earlier"}).values)
    free = ["device=cpu", "threads=2", "log_interval=7", "env_args.window_size_x=100", "label=a,b"]
    assert left(tmp_path, "icq", "sc2", *free) == 0
    for key in ("t_max=7", "dataset=other.h5", "seed=2", "env_args.step_mul=4"):
        assert left(tmp_path, "icq", "sc2", key) == 1


def test_looks_at_several_checkpoints_are_several_runs(tmp_path: Path, runs: list[str]) -> None:
    look = ["evaluate=True", "test_nepisode=8", "load_step=64,128", f"checkpoint_path={runs[0]}"]
    first = {"evaluate": True, "test_nepisode": 8, "load_step": 64, "checkpoint_path": runs[0]}
    completed(tmp_path, load_settings("qmix", "two_step", first | {"rnn_hidden_dim": 8}).values)
    assert left(tmp_path, "qmix", "two_step", "rnn_hidden_dim=8", *look) == 1


def test_values_are_split_at_commas_outside_of_brackets_and_quotes() -> None:
    assert sweep._split("1,2,") == ["1", "2", ""]
    assert sweep._split("{'N':2,'r':[1,(2,3)]},{}") == ["{'N':2,'r':[1,(2,3)]}", "{}"]
    assert sweep._split("""'a,"b',"c,[d",e""") == ["""'a,"b'""", '"c,[d"', "e"]


@pytest.mark.parametrize("behind", [False, True])
def test_a_flags_value_may_be_what_an_update_is(
    tmp_path: Path, two_step_file: Path, behind: bool
) -> None:
    flags, keys = ["-c", "seed=1", "--name=with", "-f"], ["seed=1", *TINY, "t_max=1"]
    words = ["with", *keys, f"dataset={two_step_file}", f"local_results_path={tmp_path}"]
    given = [*words, *flags] if behind else [*flags, *words]
    assert sweep.main(["--config=bc", "--env-config=two_step", *given]) == 0
    (record,) = tmp_path.glob("sacred/*/run.json")
    run = json.loads(record.read_text())
    assert run["meta"]["comment"] == "seed=1"
    assert run["experiment"]["name"] == "with"
    assert run["meta"]["options"]["--force"] is True


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_to_a_sweep_ends_its_runs_too(
    tmp_path: Path, two_step_file: Path, number: int, code: int
) -> None:
    words = ["--config=bc", "--env-config=two_step", "--jobs=2", "with", *TINY, "seed=1,2,3"]
    words += ["t_max=100000000", "test_interval=1000000", f"local_results_path={tmp_path}"]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "src/sweep.py"), *words, f"dataset={two_step_file}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("metrics/*.csv"))) < 2:
        assert time.monotonic() < deadline, "the runs do not begin"
        time.sleep(0.05)
    begin = time.monotonic()
    process.send_signal(number)
    _, shown = process.communicate(timeout=60)
    assert time.monotonic() - begin < 15
    assert process.returncode == code
    assert shown.splitlines()[-1] in ("Terminated.", "Interrupted.")
    records = [json.loads(path.read_text()) for path in tmp_path.glob("sacred/*/run.json")]
    assert [record["status"] for record in records] == ["INTERRUPTED"] * 2
    ours = subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, check=False)
    assert ours.returncode == 1, "something is still running"


def test_a_sweep_without_keys_makes_commands_without_with() -> None:
    flags = {"--config": "bc,icq", "--env-config": "two_step"}
    commands = [command for command, _ in sweep._combinations(flags, [])]
    assert commands == [[f"--config={alg}", "--env-config=two_step"] for alg in ("bc", "icq")]


def test_a_sweep_refuses_a_bad_value_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--config=bc", "--env-config=two_step", "with", "lr=0.1,fast"]
    assert sweep.main([*words, f"local_results_path={tmp_path / 'r'}"]) == 2
    message = "ConfigError: lr=fast (the command line): input should be a valid number\n"
    assert capsys.readouterr().err == message
    assert not (tmp_path / "r").exists()


def test_a_failing_run_is_named_and_the_others_go_on(
    tmp_path: Path, two_step_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--config=bc", "--env-config=two_step", "with", *TINY]
    words += [f"dataset={two_step_file},/nowhere.h5", f"local_results_path={tmp_path}"]
    assert sweep.main(words) == 1
    out = capsys.readouterr().out
    assert "FAILED (2)" in out
    assert "/nowhere.h5 is missing" in out
    assert len(list(tmp_path.glob("sacred/*/run.json"))) == 1


def test_the_table_is_the_mean_of_the_last_five_evaluations(
    results: Path, two_step_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, picture = tmp_path / "table.csv", tmp_path / "curves.png"
    words = [str(results), "--csv", str(out), "--picture", str(picture)]
    assert report.main(words) == 0
    from_runs = capsys.readouterr().out
    with out.open() as file:
        rows = {(row["algorithm"], row["seed"]): row for row in csv.DictReader(file)}
    assert set(rows) == {("data", "0"), ("bc", "1"), ("bc", "2"), ("icq", "1"), ("icq", "2")}
    for run in report.read_runs(results):
        values = [value for _, value in run.stats["test_return_mean"]]
        row = rows[run.config["name"], str(run.config["seed"])]
        assert float(row["return_mean"]) == pytest.approx(np.mean(values[-5:]), abs=1e-4)
        assert int(row["episodes"]) == 5 * 8
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert report.main([str(out)]) == 0
    assert capsys.readouterr().out == from_runs


def test_folders_are_read_as_one_and_a_run_counts_once(results: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "copy")
    once = report.collect(report.read_runs(results))
    assert report.collect(report.read_runs(results, tmp_path / "copy")) == once


def test_a_csv_adds_methods_to_a_folder_but_not_seeds(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = report.collect(report.read_runs(results))
    others, out = tmp_path / "others.csv", tmp_path / "out.csv"
    new = [replace(row, algorithm="cql") for row in rows if row.algorithm == "bc"]
    report.write_csv([row for row in rows if row.algorithm == "data"] + new, others)
    assert report.main([str(others), str(results), "--csv", str(out)]) == 0
    assert "CQL-MA" in capsys.readouterr().out
    assert len(report.read_csv(out)) == len(rows) + len(new)
    assert report.main([str(out), str(results)]) == 2
    assert f"{out} has bc on two_step" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text.splitlines()[0] + "\n",
        lambda text: text.replace(",8.0,", ",nan,"),
        lambda text: text.replace("return_mean", "mean"),
        lambda text: text + text.splitlines()[-1] + ",1\n",
    ],
)
def test_a_csv_that_is_no_table_is_one_line(
    change: Callable[[str], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "table.csv"
    report.write_csv([report.Row("e", "m", "q", "icq", 1, 1, 5, 8.0, 0.5, 0.0)], path)
    path.write_text(change(path.read_text()))
    assert report.main([str(path)]) == 2
    assert (
        capsys.readouterr().err == f"DataError: {path} is not a table made with report.py --csv\n"
    )


def test_runs_with_other_keys_are_not_taken_for_other_seeds(
    two_step_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--config=bc", "--env-config=two_step", "with", *TINY, "lr=0.01,0.0005"]
    assert sweep.main([*words, f"dataset={two_step_file}", f"local_results_path={tmp_path}"]) == 0
    capsys.readouterr()
    assert report.main([str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    assert lines[0] == f"| method | two_step {two_step_file.stem} |"
    assert any(line.startswith("| bc lr=0.01 | ") for line in lines)
    assert any(line.startswith("| BC-MA | ") for line in lines)  # 0.0005 is the YAML's


def test_a_run_from_before_a_key_is_not_taken_for_another_value_of_it() -> None:
    new = load_settings("icq", "two_step", {"optimiser": "rmsprop"}).values
    old = load_settings("icq", "two_step", {}).values
    del old["optimiser"]
    assert labels([Run(old, {}), Run(new, {})]) == ["icq", "icq optimiser=rmsprop"]


def test_several_data_sets_are_lines_and_methods_columns() -> None:
    def row(map_name: str, quality: str, algorithm: str, seed: int, mean: float) -> report.Row:
        return report.Row("e", map_name, quality, algorithm, seed, 1, 5, mean, 0.5, 0.25)

    rows = [row("a", "poor", "icq", seed, 10.0) for seed in (1, 2)]
    rows += [row("a", "", "script", 1, 7.0), row("b", "poor", "bc", 1, 3.0)]
    assert report.table(rows) == (
        "| data set | script | BC-MA | ICQ-MA |\n| --- | ---: | ---: | ---: |\n"
        "| e a poor | 7.00 ± 0.98, 25% |  | 10.00 ± 0.69, 25% |\n"
        "| e b poor |  | 3.00 ± 0.98, 25%, 1 seed |  |"
    )
    assert ": 2 seeds unless a cell says otherwise" in report.legend(rows)


def test_the_interval_holds_seeds_and_episodes() -> None:
    def row(seed: int, mean: float, error: float) -> report.Row:
        return report.Row("e", "m", "q", "icq", seed, 1, 5, mean, error, 0.0)

    mean, low, high = report.interval([row(1, 10.0, 0.5)])
    assert (mean, low, high) == pytest.approx((10.0, 10 - 1.96 * 0.5, 10 + 1.96 * 0.5), abs=0.03)
    mean, low, high = report.interval([row(1, 8.0, 0.0), row(2, 10.0, 0.0), row(3, 12.0, 0.0)])
    assert mean == 10.0
    half = 4.303 * 2 / 3**0.5  # Student's t with two degrees of freedom
    assert (low, high) == pytest.approx((10 - half, 10 + half), rel=0.02)
    _, low, high = report.interval([row(1, 10.0, 3.0), row(2, 10.0, 4.0)])
    assert high - low == pytest.approx(2 * 1.96 * 2.5), "the runs' own errors are the floor"


def test_an_empty_folder_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main([str(tmp_path)]) == 2
    expected = f"DataError: {tmp_path} has no completed run with an evaluation\n"
    assert capsys.readouterr().err == expected


def test_a_run_of_a_gymnasium_task_is_named_by_its_own_changes() -> None:
    usual = load_settings("icq_softmax", "pendulum", {}).values
    changed = load_settings("icq_softmax", "pendulum", {"lr": 0.01}).values
    hopper = {"env_args": {"key": "Hopper-v5"}}
    other = load_settings("icq_softmax", "d4rl", hopper | {"tau": 0.5}).values
    plain = load_settings("icq_softmax", "d4rl", hopper).values
    cartpole = {"env_args": {"key": "CartPole-v1"}, "batch_of": "episodes"}
    discrete = load_settings("icq", "d4rl", cartpole).values
    runs = [Run(config, {}) for config in (usual, changed, other, plain, discrete)]
    names = ["icq_softmax", "icq_softmax lr=0.01", "icq_softmax tau=0.5", "icq_softmax", "icq"]
    assert labels(runs) == names


def test_many_methods_on_few_data_sets_are_lines() -> None:
    rows = [report.Row("e", "m", "q", f"a{i}", 1, 1, 5, float(i), 0.5, 0.0) for i in range(5)]
    rows += [replace(row, map_name="n") for row in rows]
    assert report.table(rows).splitlines()[0] == "| method | e m q | e n q |"
    assert report.table(rows).splitlines()[2] == "| a0 | 0.00 ± 0.98 | 0.00 ± 0.98 |"
