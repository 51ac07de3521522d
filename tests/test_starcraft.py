"""StarCraft II by the command line, over the stand-ins: recorded, learnt from, with and without."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import pytest
import torch
from planting import restamp
from recordings import Capture, refuse
from starcraft import Fault, games, install, machine

import dataset
import main
from controllers.basic_controller import BasicMAC
from data.read import RecordedEpisodes
from data.record import BehaviourPolicy, Recorder
from utils.config import load_settings
from utils.paths import ROOT

TINY = ["t_max=6", "batch_size=4", "test_interval=3", "test_nepisode=2", "batch_size_run=2"]
TINY += ["save_model_interval=3", "log_interval=3", "learner_log_interval=3"]


@pytest.fixture(scope="module")
def random_play(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random play of 3m."""
    folder = tmp_path_factory.mktemp("recorded")
    words = ["record", "--env-config=sc2", "--key=3m", "--episodes=8", f"--out={folder}"]
    with pytest.MonkeyPatch.context() as monkeypatch, machine(folder, monkeypatch) as sc2:
        assert dataset.main(words) == 0
        assert not games(sc2)
    return folder / "random.h5"


@pytest.fixture
def recorded(sc2: Path, random_play: Path, tmp_path: Path) -> Path:
    """That file, on a machine with the game; the test may change it."""
    return Path(shutil.copy(random_play, tmp_path))


def run(alg: str, results: Path, *updates: str) -> int:
    words = [f"--config={alg}", "--env-config=sc2", "--id=run", "with", *TINY]
    return main.main([*words, f"local_results_path={results}", *updates])


def test_a_recording_is_like_any_other_and_says_what_played(
    recorded: Path, capsys: Capture
) -> None:
    data = RecordedEpisodes(recorded)
    assert data.metadata.env_args["map_name"] == "3m"
    assert data.metadata.env_args.keys() >= {"difficulty", "step_mul", "reward_scale_rate"}
    assert data.metadata.made_with["simulator"]["sc2_build"] == "Base75689"
    assert len(data) == 8
    assert dataset.main(["check", str(recorded)]) == 0
    assert dataset.main(["inspect", str(recorded)]) == 0
    assert "sc2_build=Base75689" in capsys.readouterr().out


def test_it_is_learnt_from_and_evaluated_with_the_game(
    recorded: Path, sc2: Path, tmp_path: Path
) -> None:
    assert run("icq", tmp_path / "r", f"dataset={recorded}") == 0
    assert not games(sc2)
    metrics = (tmp_path / "r/metrics/run.csv").read_text()
    assert metrics.count("test_battle_won_mean") == 3
    assert metrics.count("test_dead_allies_mean") == 3
    info = json.loads((tmp_path / "r/sacred/run/info.json").read_text())
    assert info["software"]["simulator"]["sc2_build"] == "Base75689"
    assert info["data"]["made_with"]["simulator"]["sc2_build"] == "Base75689"
    config = json.loads((tmp_path / "r/sacred/run/config.json").read_text())
    assert config["env_args"]["map_name"] == "3m"  # the data's, not sc2.yaml's
    assert config["env_args"]["obs_all_health"] is True


class Learnt(NamedTuple):
    """What a run said on stdout, and its results folder."""

    told: str
    results: Path


@pytest.fixture(scope="module")
def learnt(random_play: Path, tmp_path_factory: pytest.TempPathFactory) -> Learnt:
    """What was learnt on a machine that has neither SMAC nor the game."""
    results = tmp_path_factory.mktemp("learnt") / "r"
    words = ["--config=icq", "--env-config=sc2", "--id=there", "with", *TINY]
    words += [f"dataset={random_play}", f"local_results_path={results}"]
    environment = {k: v for k, v in os.environ.items() if k not in ("SC2PATH", "PYTHONPATH")}
    program = subprocess.run(
        [sys.executable, str(ROOT / "src" / "main.py"), *words],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert program.returncode == 0, program.stderr
    return Learnt(program.stdout, results)


def test_it_is_learnt_from_without_the_game(learnt: Learnt) -> None:
    (line,) = [line for line in learnt.told.splitlines() if "Not evaluated" in line]
    assert "Not evaluated: env=sc2: SMAC is not installed (" in line
    assert "--env-config=smax" in line
    assert (learnt.results / "models/there/6/agent.th").is_file()
    metrics = (learnt.results / "metrics/there.csv").read_text()
    assert "critic_loss" in metrics
    assert "test_" not in metrics


def test_what_was_learnt_without_the_game_is_evaluated_with_it(
    learnt: Learnt, sc2: Path, tmp_path: Path, capsys: Capture
) -> None:
    evaluate = ["evaluate=True", f"checkpoint_path={learnt.results / 'models/there'}"]
    assert run("icq", tmp_path / "r", "save_replay=True", *evaluate) == 0
    assert "test_return_mean" in (tmp_path / "r/metrics/run.csv").read_text()
    shown = [line for line in capsys.readouterr().out.splitlines() if "Replay: " in line]
    replays = [Path(line.partition("Replay: ")[2]) for line in shown]
    assert len(replays) == 2  # one of each game
    for path in replays:
        assert path.is_relative_to(tmp_path / "r/replays/run")
        assert json.loads(path.read_text())["steps"] > 0


def test_what_the_data_changes_is_said(recorded: Path, tmp_path: Path, capsys: Capture) -> None:
    assert run("bc", tmp_path / "r", f"dataset={recorded}") == 0
    assert f"As {recorded} says: env_args.map_name=3m\n" in capsys.readouterr().out


def test_replays_of_nothing_are_refused(recorded: Path, tmp_path: Path, capsys: Capture) -> None:
    updates = [f"dataset={recorded}", "save_replay=True", "test_nepisode=0"]
    capsys.readouterr()
    assert run("bc", tmp_path / "r", *updates) == 2
    assert capsys.readouterr().err == (
        "ConfigError: save_replay=True: nothing is played with test_nepisode=0\n"
    )


def test_a_file_from_before_an_argument_existed(
    recorded: Path, tmp_path: Path, capsys: Capture
) -> None:
    with h5py.File(recorded, "r+") as file:
        env_args = json.loads(file.attrs["env_args"])
        del env_args["reward_sparse"]
        file.attrs["env_args"] = json.dumps(env_args)
    restamp(recorded)
    assert run("bc", tmp_path / "r", f"dataset={recorded}") == 0
    capsys.readouterr()
    other = "env_args.reward_sparse=True"
    assert run("bc", tmp_path / "s", f"dataset={recorded}", other) == 2
    assert "reward_sparse=False (" in capsys.readouterr().err


def test_a_file_with_an_argument_of_another_type(
    recorded: Path, tmp_path: Path, capsys: Capture
) -> None:
    with h5py.File(recorded, "r+") as file:
        file.attrs["env_args"] = json.dumps(json.loads(file.attrs["env_args"]) | {"step_mul": "x"})
    capsys.readouterr()
    assert run("bc", tmp_path / "r", f"dataset={recorded}") == 2
    assert capsys.readouterr().err == (
        f"ConfigError: env_args.step_mul=x ({recorded}): a value like 8 (int) is needed\n"
    )


def test_smac_that_cannot_be_imported(
    sc2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    (sc2 / "Maps/SMAC_Maps/3s_vs_3z.SC2Map").touch()
    (tmp_path / "broken/smac/env/starcraft2").mkdir(parents=True)
    (tmp_path / "broken/smac/__init__.py").write_text("raise TypeError('Descriptors cannot be')")
    monkeypatch.syspath_prepend(str(tmp_path / "broken"))
    assert run("qmix", tmp_path / "r") == 2
    error = capsys.readouterr().err
    assert error.startswith("NotInstalledError: env=sc2: SMAC cannot be imported (Descriptors cann")
    assert error.count("\n") == 1


def test_the_state_is_the_datas(sc2: Path, tmp_path: Path, capsys: Capture) -> None:
    updates: dict[str, Any] = {"env_args": {"map_name": "3m", "state_last_action": False}}
    settings = load_settings("qmix", "sc2", updates)
    recorder = Recorder(settings.run, 1.0, 1)
    torch.manual_seed(0)
    policy = BehaviourPolicy(BasicMAC(recorder.info, settings), settings.run, {"seed": 1})
    path = tmp_path / "bare.h5"
    recorder.record([policy], 8, path, "random")
    recorder.close()
    assert run("bc", tmp_path / "r", f"dataset={path}") == 0
    config = json.loads((tmp_path / "r/sacred/run/config.json").read_text())
    assert config["env_args"]["state_last_action"] is False
    capsys.readouterr()
    for word, said in (
        ("env_args.state_last_action=True", "state_last_action=False (3 agents, 9 actions, obs 30, "
         "state 21, limit 60), the run is on env=sc2 state_last_action=True (3 agents"),
        ("env_args.map_name=2s3z", "map_name=3m (3 agents, 9 actions, obs 30, state 21, limit 60), "
         "the run is on env=sc2 map_name=2s3z (5 agents"),
    ):  # fmt: skip
        assert run("bc", tmp_path / "s", f"dataset={path}", word) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1


def test_what_changes_nothing_of_the_game_is_free(recorded: Path, tmp_path: Path) -> None:
    free = ["env_args.seed=7", "env_args.game_timeout=60", "env_args.replay_prefix=x"]
    assert run("bc", tmp_path / "r", f"dataset={recorded}", *free) == 0


def test_another_build_is_said(recorded: Path, sc2: Path, tmp_path: Path, capsys: Capture) -> None:
    install(sc2, build=80188)
    assert run("bc", tmp_path / "r", f"dataset={recorded}") == 0
    assert (
        f"{recorded} was recorded with sc2_build Base75689, here is Base80188: evaluations may not "
        "be comparable"
    ) in capsys.readouterr().out


def test_games_that_always_die_end_a_run_with_one_line_and_the_way_to_resume(
    sc2: Path, fault: Fault, recorded: Path, tmp_path: Path, capsys: Capture
) -> None:
    fault("die", 130, always=True)
    updates = ["env_args.game_restarts=0", "t_max=100", "save_model_interval=1"]
    capsys.readouterr()
    assert run("bc", tmp_path / "r", f"dataset={recorded}", *updates) == 2
    error = capsys.readouterr().err.splitlines()
    resume, line = error[-2:]
    assert resume == f"Resume with checkpoint_path={tmp_path / 'r/models/run'}"
    assert line.startswith("GameError: game ")
    assert "broke off, 1 in a row without finishing an episode, at last: Connection" in line
    assert list((tmp_path / "r/models/run").glob("*/agent.th"))
    assert not games(sc2)


def test_live_learning_is_resumed(sc2: Path, tmp_path: Path) -> None:
    words = ["env_args.map_name=3m", "t_max=200", "save_model_interval=50", "test_interval=200"]
    assert run("qmix", tmp_path / "r", *words) == 0
    resume = [f"checkpoint_path={tmp_path / 'r/models/run'}", "t_max=400", "env_args.seed=3"]
    assert run("qmix", tmp_path / "s", *words, *resume) == 0


@pytest.mark.parametrize(
    ("alg", "env", "word", "said"),
    [
        ("bc", "two_step", "save_replay=True", "save_replay=True: env=two_step has no replays"),
        ("qmix", "sc2", "env_args.heuristic_ai=True", "env_args.heuristic_ai=True: SMAC's script "),
        ("qmix", "sc2", "env_args.difficulty=7", "env_args.difficulty=7 (the command line): a "
         "value like 7 (str) is needed, written env_args.difficulty='\"7\"'"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(
    alg: str, env: str, word: str, said: str, capsys: Capture, sc2: Path, tmp_path: Path
) -> None:
    words = [
        f"--config={alg}",
        f"--env-config={env}",
        "with",
        f"local_results_path={tmp_path / 'r'}",
    ]
    assert main.main([*words, word]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"ConfigError: {said}")
    assert error.count("\n") == 1
    assert not (tmp_path / "r").exists()


def test_recording_without_the_game_is_one_line(
    monkeypatch: pytest.MonkeyPatch, sc2: Path, capsys: Capture
) -> None:
    monkeypatch.setenv("SC2PATH", "/nowhere")
    code, line = refuse(capsys, "record", "--env-config=sc2", "--key=3m")
    assert code == 2
    assert line.startswith(
        "NotInstalledError: env=sc2: StarCraft II is not there (SC2PATH=/nowhere has no "
    )
