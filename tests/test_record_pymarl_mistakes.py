"""What `record` answers when a checkpoint of PyMARL, or what is told of it, does not fit."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from pymarl_checkpoints import agent_of, sacred_config, save, stock_run, stock_runs
from recordings import Capture, refuse
from torch import nn

import dataset
from data.pymarl_policy import read_network

TWO_STEP = "--env-config=two_step"


def test_a_width_that_two_pairs_of_inputs_have(tmp_path: Path, capsys: Capture) -> None:
    run, out = stock_run(tmp_path / "models", "run", 0, inputs=5), f"--out={tmp_path / 'out'}"
    words = ["record", str(run), TWO_STEP, "--quality=q", "--episodes=3", out]
    numbers = (
        f"CheckpointError: {run}/9/agent.th takes 5 numbers of an agent; in two_step it sees 3, "
        "obs_last_action adds 2, obs_agent_id 2"
    )
    assert refuse(capsys, *words) == (
        2,
        f"{numbers}, so that more than one fits; say which it was trained with: "
        "`with obs_last_action=True obs_agent_id=False`, or "
        "--pymarl-config=results/sacred/ID/config.json",
    )
    where = "name the environment, map and env_args that it was trained with"
    both = ["with", "obs_last_action=True", "obs_agent_id=True"]
    assert refuse(capsys, *words, *both) == (
        2,
        f"{numbers} (the command line: obs_last_action=True obs_agent_id=True), and nothing fits; "
        f"{where}",
    )
    assert refuse(capsys, *words, "with", "obs_agent_id=3")[1] == (
        "ConfigError: obs_agent_id=3: True or False is needed"
    )
    assert dataset.main([*words, "with", "obs_agent_id=True"]) == 0


def test_a_network_that_does_not_fit_the_environment(tmp_path: Path, capsys: Capture) -> None:
    fit = ["--quality=q", "--episodes=3", f"--out={tmp_path / 'out'}"]
    where = "name the environment and map that it was trained on"
    for name, agent, said in (
        ("wide", agent_of("rnn", 9, 2, 2), "takes 9 numbers of an agent; in two_step it sees 3, "
         "obs_last_action adds 2, obs_agent_id 2, and nothing fits; name the environment, map and "
         "env_args that it was trained with"),
        ("actions", agent_of("rnn", 7, 4, 2), "chooses among 4 actions, two_step has 2; " + where),
        ("agents", agent_of("rnn_ns", 7, 2, 3), "has networks of 3 agents, two_step has 2 agents; "
         + where),
    ):  # fmt: skip
        folder = save(agent, tmp_path / name / "1")
        assert refuse(capsys, "record", str(folder), TWO_STEP, *fit) == (
            2,
            f"CheckpointError: {folder}/agent.th {said}",
        )
    assert not (tmp_path / "out").exists()


def test_an_agent_that_cannot_be_read(tmp_path: Path, capsys: Capture) -> None:
    path = save(agent_of("rnn", 7, 2, 2), tmp_path / "run" / "1") / "agent.th"
    state = torch.load(path, weights_only=True)
    other = "is another network than PyMARL's"
    kinds = f"{other} agent=rnn or EPyMARL's rnn and rnn_ns (fc1, rnn, fc2): it has"

    def said() -> str:
        words = [TWO_STEP, "--quality=q", "--episodes=3", f"--out={tmp_path / 'out'}"]
        code, line = refuse(capsys, "record", str(tmp_path / "run"), *words)
        assert code == 2
        return line.removeprefix(f"CheckpointError: {path} ")

    torch.save(agent_of("rnn", 7, 2, 2), path)
    assert said().startswith("is a pickled object, which may run any code, not a network's weights")
    torch.save({f"agents.1.{name}": tensor for name, tensor in state.items()}, path)
    assert said().startswith(f"{kinds} agents.1.fc1.bias, agents.1.fc1.weight, ")
    torch.save(nn.Sequential(nn.Linear(7, 2)).state_dict(), path)
    assert said() == f"{kinds} 0.bias, 0.weight"
    torch.save({**state, "layer_norm.weight": torch.ones(2)}, path)
    assert said().endswith("layer_norm.weight, rnn.bias_hh, rnn.bias_ih, rnn.weight_hh, ... (9)")
    torch.save(state | {"fc2.bias": torch.ones(5)}, path)
    assert said() == f"{other}: fc2.bias is (5,), beside its fc1.weight and fc2.weight it would " \
        "be (2,)"  # fmt: skip
    torch.save([1], path)
    assert said() == "holds no network's state"
    path.write_text("hello")
    assert said().startswith("cannot be read: ")
    path.unlink()
    assert said().startswith(f"CheckpointError: {path.parent} has neither trainer_state.th, which ")


def test_old_files_of_torch_are_read(tmp_path: Path) -> None:
    agent = agent_of("rnn", 7, 2, 2)
    path = save(agent, tmp_path / "run" / "1") / "agent.th"
    torch.save(agent.state_dict(), path, _use_new_zipfile_serialization=False)
    assert torch.equal(read_network(path.parent).state["fc1.weight"], agent.fc1.weight)


def test_a_checkpoint_of_ours_without_its_state(
    runs: list[str], tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "run" / "64").mkdir(parents=True)
    shutil.copy(f"{runs[0]}/64/agent.th", tmp_path / "run" / "64")
    assert refuse(capsys, "record", str(tmp_path / "run"), f"--out={tmp_path / 'out'}") == (
        2,
        f"CheckpointError: {tmp_path}/run/64/agent.th was learnt by this project, but "
        f"{tmp_path}/run/64 lacks trainer_state.th: copy the whole folder",
    )


def test_what_is_told_of_a_run_must_be_enough(
    runs: list[str], tmp_path: Path, capsys: Capture
) -> None:
    two_runs = stock_runs(tmp_path)
    run, out = two_runs[0], f"--out={tmp_path / 'out'}"
    config = f"--pymarl-config={sacred_config(tmp_path / 'config.json')}"
    for words, expected in (
        ([run], f"{run} is PyMARL's, whose checkpoints do not name their environment; give "
         "--pymarl-config=results/sacred/ID/config.json, or --env-config=NAME, --key=MAP and "
         "`with env_args.KEY=VALUE ...`"),
        ([runs[0], TWO_STEP], "--env-config and --pymarl-config are for checkpoints of PyMARL; "
         "the environment that these runs were made in is recorded"),
        ([run, config, TWO_STEP], "--pymarl-config goes with checkpoints of PyMARL and no "
         "--env-config"),
        ([run, config, config], "--pymarl-config is given 2 times for 1 runs of PyMARL; give one "
         "for all of them, or one for each in their order"),
        ([run, "--env-config=pendulum"], "gymnasium Pendulum-v1 has continuous actions, the agents "
         "of PyMARL choose among some"),
        ([run, TWO_STEP, "--quality=q", "--episodes=2"], "--episodes=2 are fewer than the 3 "
         "checkpoints; give more, or take every Nth checkpoint with --every=N"),
        ([run, TWO_STEP, "--quality=q", "--levels=poor"], "--quality=q goes with runs and without "
         "--levels"),
        ([run, TWO_STEP, "--quality=q", "--policies=5"], "--quality=q takes every checkpoint; "
         "--policies goes with --levels"),
        ([run, TWO_STEP, "--quality=good"], "--quality=good must be a name of letters, digits, _ "
         "and -, and none of poor, medium, good, random, which have a meaning"),
        ([run, TWO_STEP, "with", "gamma=1"], "record ... with gamma=1: only env_args.KEY=VALUE and "
         "obs_agent_id=True or False and obs_last_action=True or False can be given"),
    ):  # fmt: skip
        assert refuse(capsys, "record", out, *words) == (2, f"ConfigError: {expected}")
    assert not (tmp_path / "out").exists()


def test_a_config_that_is_not_understood(tmp_path: Path, capsys: Capture) -> None:
    two_runs = stock_runs(tmp_path)
    path = tmp_path / "config.json"
    words = ["record", two_runs[0], f"--pymarl-config={path}", f"--out={tmp_path / 'out'}"]
    assert refuse(capsys, *words)[1] == f"ConfigError: --pymarl-config={path} is missing"
    path.write_text("{")
    assert refuse(capsys, *words)[1].startswith(f"ConfigError: --pymarl-config={path} is not JSON")
    path.write_text("[]")
    assert refuse(capsys, *words)[1].startswith(
        f"ConfigError: --pymarl-config={path} is not a run's: it lacks env and env_args"
    )
    for values, said in (
        ({"env": "sc2v2"}, "env=sc2v2 is not known here; known are "),
        ({"agent": "rnn_feat"}, "agent=rnn_feat is not known here; known are rnn, rnn_ns, n_rnn"),
        ({"env": {}}, "env={} is not known here; known are "),
        ({"agent": ["rnn"]}, "agent=['rnn'] is not known here; known are rnn, rnn_ns, n_rnn"),
        ({"agent_output_type": "x"}, "agent_output_type=x is not known here; known are q, pi_"),
        ({"agent_output_type": []}, "agent_output_type=[] is not known here; known are q, pi_"),
    ):
        sacred_config(path, **values)
        assert refuse(capsys, *words)[1].startswith(f"ConfigError: {path}: {said}")
    sacred_config(path, env="mmdp", env_args={"n_agents": 2, "seed": 1, "wrapper": None, "x": 1})
    assert refuse(capsys, *words)[1] == (
        f"ConfigError: env_args.x ({path}) is not known; leave out --pymarl-config and name the "
        "environment by --env-config"
    )
    sacred_config(path, obs_agent_id=False)
    assert (
        f"({path}: obs_last_action=True obs_agent_id=False), and nothing fits"
        in (refuse(capsys, *words)[1])
    )
