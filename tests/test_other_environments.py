"""Other people's environments by the real commands: recorded, described, learnt from, evaluated."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from recordings import Capture

import dataset
import main
from data.read import RecordedEpisodes

TINY = [
    "t_max=20", "batch_size=8", "test_interval=20", "test_nepisode=8", "batch_size_run=4",
    "learner_log_interval=10", "log_interval=20", "save_model_interval=20", "rnn_hidden_dim=8",
]  # fmt: skip
TASKS = {
    "gymma": (
        "lbforaging",
        "gymma key=lbforaging:Foraging-5x5-2p-1f-v3 time_limit=50 reward_scalarisation=sum",
        "2 agents, 6 actions, obs 9, state 18, limit 50",
    ),
    "pettingzoo": (
        "mpe2",
        "pettingzoo key=mpe2.simple_spread_v3 time_limit=25 reward_scalarisation=sum",
        "3 agents, 5 actions, obs 18, state 54, limit 25",
    ),
}


def run(env: str, results: Path, *updates: str, alg: str = "icq") -> int:
    words = [f"--config={alg}", f"--env-config={env}", "with", *TINY]
    return main.main([*words, f"local_results_path={results}", *updates])


def metrics(results: Path) -> str:
    (file,) = results.glob("metrics/*.csv")
    return file.read_text()


@pytest.fixture(params=TASKS)
def env(request: pytest.FixtureRequest) -> str:
    package = TASKS[request.param][0]
    if find_spec(package) is None:
        pytest.skip(f"needs {package}")
    return request.param


@pytest.fixture
def file(env: str, tmp_path: Path) -> Path:
    """32 episodes of random play."""
    record = ["record", f"--env-config={env}", "--episodes=32", f"--out={tmp_path}"]
    assert dataset.main(record) == 0
    return tmp_path / "random.h5"


def test_from_recording_to_evaluation(
    env: str, file: Path, tmp_path: Path, capsys: Capture
) -> None:
    package, name, numbers = TASKS[env]
    data = RecordedEpisodes(file)
    lengths, truncated = data.episodes["length"], data.episodes["truncated"]
    assert data.info.numbers() == numbers
    assert (lengths[truncated] == data.info.episode_limit).all()
    assert not (data.episodes["terminated"] & truncated).any()
    assert set(truncated.tolist()) == ({True} if env == "pettingzoo" else {True, False})
    capsys.readouterr()
    assert dataset.main(["inspect", str(file)]) == 0
    card = capsys.readouterr().out
    assert f"env                      {name}\n" in card
    assert f"numbers                  {numbers}\n" in card
    assert f" {package}=" in card
    assert f"{package}=not installed" not in card
    assert dataset.main(["check", str(file)]) == 0

    assert run(env, tmp_path / "a", f"dataset={file}") == 0
    trained = metrics(tmp_path / "a")
    for line in ("0,test_return_mean,", "20,test_return_mean,", "20,critic_loss,"):
        assert f"\n{line}" in trained
    assert "nan" not in trained
    (model,) = (tmp_path / "a" / "models").iterdir()
    evaluate = ["evaluate=True", f"checkpoint_path={model}"]
    for folder in "bc":
        assert run(env, tmp_path / folder, *evaluate) == 0
    assert metrics(tmp_path / "b") == metrics(tmp_path / "c")
    assert "\n20,test_return_mean," in metrics(tmp_path / "b")


def test_data_of_another_time_limit_is_refused(
    env: str, file: Path, tmp_path: Path, capsys: Capture
) -> None:
    numbers = RecordedEpisodes(file).info.numbers()
    limit = numbers.rpartition(" ")[2]
    capsys.readouterr()
    assert run(env, tmp_path / "r", f"dataset={file}", "env_args.time_limit=7") == 2
    assert capsys.readouterr().err == (
        f"DataError: {file} was recorded on env={env} time_limit={limit} ({numbers}), the run is "
        f"on env={env} time_limit=7 ({numbers.removesuffix(limit)}7)\n"
    )
    assert not (tmp_path / "r").exists()


def test_it_is_played_live_with_arguments_of_its_own(tmp_path: Path) -> None:
    pytest.importorskip("mpe2")
    updates = ["env_args.kwargs={'N': 2}", "env_args.time_limit=5", "t_max=40"]
    assert run("pettingzoo", tmp_path, *updates, alg="qmix") == 0
    assert "\n40,test_ep_length_mean,5.0" in metrics(tmp_path)
    (model,) = (tmp_path / "models").iterdir()
    out = tmp_path / "again"
    evaluate = ["evaluate=True", f"checkpoint_path={model}"]  # the checkpoint tells its env_args
    assert run("pettingzoo", out, *evaluate, alg="qmix") == 0
    assert "test_ep_length_mean,5.0" in metrics(out)


@pytest.mark.parametrize(
    ("env", "update", "message"),
    [
        (
            "gymma", "env_args.key=nowhere_at_all:Task-v0",
            "NotInstalledError: env_args.key=nowhere_at_all:Task-v0: there is no module "
            "nowhere_at_all here; the extra gymma brings some (pip install -c constraints.txt -e "
            "'.[gymma]'), others are packages of their own\n",
        ),
        (
            "gymma", "env_args.key=CartPole-v1",
            "ConfigError: env_args.key=CartPole-v1 has no Tuple spaces: it is a task of one agent; "
            "use --env-config=d4rl\n",
        ),
        (
            "pettingzoo", "env_args.key=json",
            "ConfigError: env_args.key=json is none of PettingZoo's parallel tasks "
            "(parallel_env)\n",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_leaves_nothing(
    env: str, update: str, message: str, tmp_path: Path, capsys: Capture
) -> None:
    assert run(env, tmp_path / "r", update, alg="qmix") == 2
    assert tuple(capsys.readouterr()) == ("", message)
    assert not (tmp_path / "r").exists()
