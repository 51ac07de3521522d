"""The study of the multi-agent MDP: its data, its truths, and in short what it shows."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

import mmdp_study
from data.check import check_episodes
from data.read import RecordedEpisodes
from envs.mmdp import S2, MMDPEnv
from mmdp_study import CPU, EPISODES, REWARDED, Behaviour, recorded_value
from runners.rollout import rollout


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short study of one and five agents, in the folder of a still shorter one of more seeds."""
    out = tmp_path_factory.mktemp("mmdp")
    first = ["--agents=1", "--seeds=2", "--t_max=20", "--jobs=2"]
    assert mmdp_study.main([*first, f"--out={out}"]) == 0
    assert mmdp_study.main([*SHORT, f"--out={out}"]) == 0
    return out


SHORT = ["--agents=1,5", "--seeds=1", "--t_max=400", "--jobs=2"]


def last(study: Path, algorithm: str, n_agents: int) -> dict[str, float]:
    """The row of the last checkpoint."""
    with (study / "mmdp.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if r["algorithm"] == algorithm]
    of_run = [r for r in rows if int(r["n_agents"]) == n_agents]
    latest = max(of_run, key=lambda r: int(r["t_env"]))
    return {k: float(latest[k]) for k in ("t_env", "estimate", "recorded", "amplification")}


@pytest.mark.parametrize("n", [1, 3, 15])
def test_every_data_set_has_as_many_rewarded_episodes(n: int, tmp_path: Path) -> None:
    mmdp_study.record(n, 1, tmp_path / "a.h5")
    data = RecordedEpisodes(tmp_path / "a.h5")
    check_episodes(data)
    assert len(data) == EPISODES
    assert (data.episodes["return"] > 0).sum() == REWARDED
    assert data.metadata.env_args == {"n_agents": n}
    mmdp_study.record(n, 1, tmp_path / "b.h5")
    assert RecordedEpisodes(tmp_path / "b.h5").sha256 == data.sha256


def test_the_recorded_policys_value_by_hand() -> None:
    """A quarter all A(1), half stay: V = .25 + .99 * .5 V."""
    actions = np.array([[1, 1], [0, 1], [1, 0], [0, 0]])
    stays = np.array([True, True, False, False])
    assert recorded_value(actions, stays) == pytest.approx(1 + 0.99 * 0.25 / (1 - 0.99 * 0.5))


@pytest.mark.parametrize("n", [1, 3, 5])
def test_the_recorded_policys_value_is_what_it_brings(n: int) -> None:
    """Monte Carlo: after an all-A(1) step in s2, the discounted rewards that follow."""
    batch, _ = rollout(MMDPEnv({"n_agents": n}, 20_000), Behaviour(n, 0), 0, CPU)
    in_s2 = batch.state[..., S2] == 1
    here, stays = in_s2[:, :-1], in_s2[:, 1:]
    value = recorded_value(batch.actions[:, :-1][here].numpy(), stays[here].numpy())
    first = batch.rewards[:, 0] == 1
    discounts = mmdp_study.GAMMA ** torch.arange(batch.rewards.shape[1])
    returns = (batch.rewards[first] * discounts).sum(1)
    margin = 4 * float(returns.std()) / len(returns) ** 0.5
    assert abs(float(returns.mean()) - value) < margin < 0.1


def test_bcq_of_five_agents_leaves_what_can_be_true_and_icq_does_not(study: Path) -> None:
    """Of one agent it is bounded: the best policy is worth 100."""
    for n in (1, 5):
        icq = last(study, "icq", n)
        assert icq["t_env"] == 400
        assert abs(icq["estimate"] - icq["recorded"]) < 0.7
    assert last(study, "bcq", 5)["estimate"] > 1.5 * mmdp_study.BEST
    assert last(study, "bcq", 1)["estimate"] < mmdp_study.BEST


def test_amplification_by_hand() -> None:
    """One agent: A(1) always stays, A(2) never. Several: a line through a step extrapolates."""
    alone = np.array([[1], [0], [0], [1], [0]])
    assert mmdp_study.amplification(alone, alone[:, 0] == 1) == pytest.approx(mmdp_study.GAMMA)
    rows = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]])
    x = np.column_stack([np.ones(7), rows])
    y = 0.99 * (rows.sum(1) >= 2)
    by_hand = float(np.linalg.solve(x.T @ x, x.T @ y).sum())
    assert mmdp_study.amplification(rows, rows.sum(1) >= 2) == pytest.approx(by_hand)
    assert by_hand > 1.1


def test_a_longer_study_in_the_same_folder_is_not_mixed_with_the_first(study: Path) -> None:
    with (study / "mmdp.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {int(r["t_env"]) for r in rows} == set(range(20, 401, 20))
    kinds = {(r["algorithm"], r["n_agents"], r["t_env"]) for r in rows if r["seed"] == "1"}
    assert len(kinds) == len(rows) == 2 * 2 * 20


def test_it_writes_a_figure_and_does_nothing_twice(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (study / "mmdp.png").read_bytes().startswith(b"\x89PNG")
    runs = len(list(study.glob("sacred/*/run.json")))
    assert mmdp_study.main([*SHORT, f"--out={study}"]) == 0
    assert len(list(study.glob("sacred/*/run.json"))) == runs == 4 + 4
    assert capsys.readouterr().out.splitlines()[3].startswith("| 5 | 1.")


@pytest.mark.parametrize(
    "word", ["--agents=2", "--agents=x", "--agents=³", "--seeds=0", "--t_max=0"]
)
def test_a_mistake_is_one_line(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert mmdp_study.main([word]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"ConfigError: {word} must be ")
    assert message.count("\n") == 1
