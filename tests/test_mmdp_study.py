"""The study of the multi-agent MDP: its data, its truths, and in short what it shows."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

import mmdp_study
from data.check import check_episodes
from data.read import RecordedEpisodes
from envs.mmdp import MMDPEnv
from mmdp_study import CPU, EPISODES, REWARDED, Behaviour, Estimate, recorded_value
from runners.rollout import rollout


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short study of one and five agents."""
    out = tmp_path_factory.mktemp("mmdp")
    assert mmdp_study.main([*SHORT, f"--out={out}"]) == 0
    return out


SHORT = ["--agents=1,5", "--seeds=1", "--t_max=400", "--jobs=2"]


def estimates(study: Path) -> list[Estimate]:
    with (study / "mmdp.csv").open() as file:
        rows = list(csv.DictReader(file))
    kinds = (int, str, int, int, float, float, float, float)
    return [Estimate(*(kind(v) for kind, v in zip(kinds, r.values(), strict=True))) for r in rows]


def error(study: Path, algorithm: str, n_agents: int) -> float:
    """Of the last checkpoint."""
    of_run = [e for e in estimates(study) if (e.algorithm, e.n_agents) == (algorithm, n_agents)]
    return max(of_run, key=lambda e: e.t_env).error


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


@pytest.mark.parametrize("n", [1, 3, 5])
def test_the_recorded_policys_value_is_what_it_brings(n: int) -> None:
    """Monte Carlo: after an all-A(1) step in s2, the discounted rewards that follow."""
    batch, _ = rollout(MMDPEnv({"n_agents": n}, 20_000), Behaviour(n, 0), 0, CPU)
    first = batch.rewards[:, 0] == 1
    discounts = mmdp_study.GAMMA ** torch.arange(batch.rewards.shape[1])
    returns = (batch.rewards[first] * discounts).sum(1)
    margin = 4 * float(returns.std()) / len(returns) ** 0.5
    assert abs(float(returns.mean()) - recorded_value(n)) < margin < 0.1


def test_bcq_of_five_agents_leaves_what_can_be_true_and_icq_does_not(study: Path) -> None:
    assert error(study, "bcq", 5) > 20
    for algorithm, n in (("icq", 5), ("icq", 1), ("bcq", 1)):
        assert error(study, algorithm, n) < 1


def test_amplification_by_hand(tmp_path: Path) -> None:
    """One agent: A(1) always stays, A(2) never. Several: a line through a step extrapolates."""
    factors = []
    for n in (1, 5):
        mmdp_study.record(n, 1, tmp_path / f"{n}.h5")
        factors.append(mmdp_study.amplification(tmp_path / f"{n}.h5"))
    assert factors[0] == pytest.approx(mmdp_study.GAMMA)
    assert factors[1] > 1.05


def test_it_writes_a_figure_and_does_nothing_twice(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (study / "mmdp.png").read_bytes().startswith(b"\x89PNG")
    runs = len(list(study.glob("sacred/*/run.json")))
    assert mmdp_study.main([*SHORT, f"--out={study}"]) == 0
    assert len(list(study.glob("sacred/*/run.json"))) == runs == 4
    assert f"| 5 | {recorded_value(5):.2f}, 100 |" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["--agents=2", "--agents=x", "--seeds=0", "--t_max=0"])
def test_a_mistake_is_one_line(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert mmdp_study.main([word]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"ConfigError: {word} must be ")
    assert message.count("\n") == 1
