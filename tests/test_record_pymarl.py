"""Recording checkpoints of stock PyMARL and EPyMARL: the same actions, levels, and mistakes."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pymarl_checkpoints import (
    StockAgent,
    StockAgents,
    agent_of,
    sacred_config,
    save,
    stock_run,
    stock_runs,
    stock_values,
)
from recordings import Capture, refuse
from starcraft import games

import dataset
from components.episode_batch import EpisodeBatch
from controllers.basic_controller import BasicMAC
from data.pymarl_origin import origin_of_config, origin_of_flags
from data.pymarl_policy import load_pymarl_policy, read_network
from data.read import RecordedEpisodes
from data.record import Recorder

O, A, N = 3, 2, 2  # noqa: E741 - of two_step
TWO_STEP = "--env-config=two_step"


def record(*words: str) -> None:
    assert dataset.main(["record", *words]) == 0


@pytest.mark.parametrize("kind", ["rnn", "ff", "rnn_ns", "rnn_ns_ff"])
def test_it_plays_as_pymarl_does(kind: str, tmp_path: Path) -> None:
    agent = agent_of(kind, 2 + 2 + 3, 2, 3)
    folder = save(agent, tmp_path / "run" / "7")
    policy = load_pymarl_policy(read_network(folder), origin_of_flags("mmdp", "", {}, {}), "run")
    for epsilon in (0.0, 0.3):
        with closing(Recorder(policy.config, epsilon, 1)) as recorder:
            recorder.record([policy], 8, tmp_path / "m.h5", "m")
        batch = RecordedEpisodes(tmp_path / "m.h5").read(np.arange(8))
        assert batch.lengths.tolist() == [100] * 8
        assert isinstance(policy.mac, BasicMAC)
        expected, found = compared(agent, policy.mac, batch)
        greedy = expected.argmax(-1) == batch.actions
        assert greedy.all() if epsilon == 0 else 0.5 < greedy.float().mean() < 1
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
    swapped, _ = compared(agent, policy.mac, batch, ("obs", "id", "action"))
    assert (found - swapped).abs().max() > 0.1
    assert (swapped.argmax(-1) != expected.argmax(-1)).any()


def compared(
    agent: StockAgent | StockAgents, mac: BasicMAC, batch: EpisodeBatch, *order: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """PyMARL's values of recorded episodes, and ours."""
    a = batch.avail_actions.shape[-1]
    last = torch.cat([torch.full_like(batch.actions[:, :1], -1), batch.actions[:, :-1]], dim=1)
    with torch.no_grad():
        return stock_values(agent, batch.obs, batch.actions, a, *order), mac.forward(
            batch.obs, last
        )[0]


def test_starcraft_as_a_config_says(sc2: Path, tmp_path: Path) -> None:
    o, a, n = 30, 9, 3
    agent = agent_of("rnn", o + a, a, n)
    folder = save(agent, tmp_path / "run" / "7")
    env_args = {"map_name": "3m", "state_last_action": False, "seed": 0, "replay_dir": "there"}
    config = sacred_config(
        tmp_path / "3" / "config.json", env="sc2", env_args=env_args, obs_agent_id=False
    )
    policy = load_pymarl_policy(read_network(folder), origin_of_config(config), 11)
    theirs = policy.config.env_args
    assert (theirs["map_name"], theirs["state_last_action"]) == ("3m", False)
    assert (theirs["seed"], theirs["replay_dir"]) == (None, "")
    one_game = policy.config.model_copy(update={"batch_size_run": 1})
    with closing(Recorder(one_game, 0.0, 1)) as recorder:
        recorder.record([policy], 1, tmp_path / "3m.h5", "qmix")
    assert not games(sc2)
    data = RecordedEpisodes(tmp_path / "3m.h5")
    assert data.metadata.made_with["simulator"]["sc2_build"] == "Base75689"
    assert data.metadata.policies[0]["algorithm"] == "qmix"
    batch = data.read(np.arange(1))
    assert isinstance(policy.mac, BasicMAC)
    expected, found = compared(agent, policy.mac, batch, ("obs", "action"))
    torch.testing.assert_close(found, expected, atol=2e-6, rtol=1e-6)
    greedy = expected.masked_fill(~batch.avail_actions, -torch.inf).argmax(-1)
    assert (greedy == batch.actions).all()
    assert len(batch.actions.unique()) > 2


def test_levels_of_stock_runs(tmp_path: Path, capsys: Capture) -> None:
    two_runs = stock_runs(tmp_path)
    out = f"--out={tmp_path / 'out'}"
    record(*two_runs, TWO_STEP, "--levels=low=-1:9", "--episodes=60", out)
    data = RecordedEpisodes(tmp_path / "out" / "low.h5")
    names = [Path(run).name for run in two_runs]
    assert [p["seed"] for p in data.metadata.policies] == [name for name in names for _ in range(3)]
    assert np.bincount(data.episodes["policy"]).tolist() == [10] * 6
    assert {p["algorithm"] for p in data.metadata.policies} == {"pymarl"}
    for facts in data.metadata.policies:
        assert facts["checkpoint"] == f"{facts['seed']}/{facts['t_env']}"
        assert facts["measured_episodes"] == 256
        assert 0 <= facts["return_mean"] <= 8
    assert data.metadata.made_with["epsilon"] == 0.05
    assert dataset.main(["check", str(data.path)]) == 0
    assert dataset.main(["inspect", str(data.path)]) == 0
    code, line = refuse(capsys, "record", two_runs[0], TWO_STEP, "--levels=low=-1:9", out)
    assert code == 2
    assert f"needs 4 checkpoints of 2 seeds; found {{'{names[0]}': 3}} (seed: checkpoints)" in line


def test_every_checkpoint_in_one_file(runs: list[str], tmp_path: Path) -> None:
    two_runs = stock_runs(tmp_path)
    out = f"--out={tmp_path / 'out'}"
    record(two_runs[0], f"{two_runs[0]}/9", TWO_STEP, "--quality=all-3", "--episodes=6", out)
    meta = RecordedEpisodes(tmp_path / "out" / "all-3.h5").metadata
    assert [p["t_env"] for p in meta.policies] == [9, 100, 2000]
    assert meta.quality == "all-3"
    record(f"{two_runs[1]}/2000", f"{runs[0]}/64", TWO_STEP, "--quality=both", "--episodes=6", out)
    first, second = RecordedEpisodes(tmp_path / "out" / "both.h5").metadata.policies
    assert (first["algorithm"], first["seed"]) == ("pymarl", Path(two_runs[1]).name)
    assert (second["algorithm"], second["seed"], second["t_env"]) == ("qmix", 1, 64)
    record(runs[1], "--quality=ours", "--episodes=8", out)
    ours = RecordedEpisodes(tmp_path / "out" / "ours.h5").metadata.policies
    assert {p["seed"] for p in ours} == {2}
    assert all("return_mean" in p for p in ours)


def test_configs_give_names_seeds_and_inputs(tmp_path: Path) -> None:
    two_runs = stock_runs(tmp_path)
    mixed = stock_run(tmp_path / "other", "coma", 3, inputs=O + A)
    configs = [
        sacred_config(tmp_path / "s" / "1" / "config.json", seed=0),
        sacred_config(
            tmp_path / "s" / "2" / "config.json", seed=7, name="coma", obs_agent_id=False,
            agent_output_type="pi_logits",
        ),
    ]  # fmt: skip
    words = [f"--pymarl-config={configs[0].parent}", f"--pymarl-config={configs[1]}"]
    out = f"--out={tmp_path / 'out'}"
    record(two_runs[0], str(mixed), *words, "--quality=q", "--episodes=6", out)
    found = RecordedEpisodes(tmp_path / "out" / "q.h5").metadata.policies
    assert [(p["algorithm"], p["seed"]) for p in found] == [("qmix", 0)] * 3 + [("coma", 7)] * 3
    record(*two_runs, words[0], "--quality=q", "--episodes=6", out)  # one for both: whose seed?
    found = RecordedEpisodes(tmp_path / "out" / "q.h5").metadata.policies
    assert {p["seed"] for p in found} == {Path(run).name for run in two_runs}


def test_a_policy_s_outputs_are_sampled(tmp_path: Path) -> None:
    network = read_network(save(agent_of("rnn", O + A + N, A, N), tmp_path / "run" / "7"))
    path = sacred_config(tmp_path / "config.json", agent_output_type="pi_logits")
    policy = load_pymarl_policy(network, origin_of_config(path), "run")
    with closing(Recorder(policy.config, 0.0, 1)) as recorder:
        recorder.record([policy], 640, tmp_path / "p.h5", "p")
    batch = RecordedEpisodes(tmp_path / "p.h5").read(np.arange(640))
    assert isinstance(policy.mac, BasicMAC)
    logits = policy.mac.forward(batch.obs[:1, :1], torch.full((1, 1, N), -1))[0]
    expected = logits.softmax(-1)[0, 0, :, 1]
    torch.testing.assert_close(batch.actions[:, 0].float().mean(0), expected, atol=0.06, rtol=0)
