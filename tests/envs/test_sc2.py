"""StarCraft II's adapter over the stand-ins: promises, episodes, games that die or hang."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from starcraft import STAND_IN, Fault, battles, command, games, install, settings

from components.episode_batch import EpisodeBatch
from controllers.basic_controller import BasicMAC
from controllers.scripted_controller import ScriptedMAC
from envs.base import EnvInfo
from envs.sc2 import SC2Env
from runners.rollout import evaluate, rollout
from utils.config import load_settings
from utils.errors import ConfigError, GameError, NotInstalledError
from utils.paths import ROOT

CPU = torch.device("cpu")
WAYS = ("./run.sh docker", "docker/install_sc2.sh", "--env-config=smax", "dataset=FILE")


def play(env: SC2Env, seed: int = 0) -> tuple[EpisodeBatch, np.ndarray]:
    """One round of random play."""
    torch.manual_seed(0)
    mac = BasicMAC(env.info, settings())
    return rollout(env, mac, seed, CPU, 1.0, torch.Generator().manual_seed(seed))


def test_numbers_are_smacs(sc2: Path) -> None:
    info = SC2Env.env_info(settings(map_name="3s_vs_3z").run.env_args)
    assert info.numbers() == "3 agents, 9 actions, obs 36, state 54, limit 150"
    assert info.action_names[:7] == (
        "no_op", "stop", "north", "south", "east", "west", "attack_0",
    )  # fmt: skip
    bare = SC2Env.env_info(settings(map_name="3s_vs_3z", state_last_action=False).run.env_args)
    assert bare.state_shape == 27
    assert not games(sc2)


def test_the_promises_are_kept(sc2: Path) -> None:
    with battles(3) as env:
        shown, rng = env.reset(1), np.random.default_rng(0)
        over = np.zeros(3, dtype=bool)
        for _ in range(env.info.episode_limit + 2):
            assert [x.shape for x in shown] == [(3, 3, 30), (3, 48), (3, 3, 9)]
            assert [x.dtype for x in shown] == [np.float32, np.float32, bool]
            chance = rng.random(shown.avail_actions.shape) * shown.avail_actions
            step = env.step(chance.argmax(-1))
            for i in np.flatnonzero(over):  # idles
                assert all(np.array_equal(a[i], b[i]) for a, b in zip(step[0], shown, strict=True))
                assert not step.terminated[i] | step.truncated[i]
                assert step.rewards[i] == 0
            over |= step.terminated | step.truncated
            shown = step.observation
        assert over.all()
        assert len(games(sc2)) == 3
        env.reset(2)
        assert len(games(sc2)) == 3  # the same ones
    assert not games(sc2)


@pytest.mark.parametrize("continuing", [False, True])
def test_a_time_limit_is_truncated_whatever_smac_calls_it(sc2: Path, continuing: bool) -> None:
    with battles(1, continuing_episode=continuing) as env:
        shown = env.reset(1)
        for t in range(1, env.info.episode_limit + 1):
            stop = np.where(shown.avail_actions[..., 1], 1, 0)
            north = np.where(shown.avail_actions[..., 2], 2, stop)
            step = env.step(north if t < 9 else stop)  # out of reach
            shown = step.observation
        assert (step.terminated[0], step.truncated[0]) == (False, True)
        assert not step.battle_won[0]


def test_an_end_is_terminated_and_won_or_not(sc2: Path) -> None:
    with battles(6) as env:
        script = load_settings("script", "sc2", {"env_args": {"map_name": "3m"}})
        batch, won = rollout(env, ScriptedMAC(env.info, script), 3, CPU)
        assert batch.terminated.any(1).all()
        assert not batch.truncated.any()
        assert set(won.tolist()) == {True, False}
        returns = batch.returns.numpy()
        assert returns[won].min() > returns[~won].max()
        taken = batch.avail_actions.gather(-1, batch.actions.unsqueeze(-1))
        assert taken.all()
        dead = batch.avail_actions[..., 0]
        assert dead.any()
        assert (batch.actions[dead] == 0).all()


@pytest.mark.parametrize("kind", ["die", "hang"])
def test_a_game_that_breaks_off_takes_only_its_own_episode(
    kind: str, sc2: Path, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    with battles(4) as whole:
        expected, _ = play(whole, seed=5)
    fault(kind, 20)
    with battles(4, game_timeout=3) as env:
        batch, won = play(env, seed=5)
        assert batch.batch_size == len(won) == 3
        assert batch.terminated.sum() + batch.truncated.sum() == 3
        kept = [
            i for i in range(4)
            if any(torch.equal(expected.rewards[i, :k], batch.rewards[j, :k])
                   for j in range(3) if (k := int(batch.lengths[j])) == int(expected.lengths[i]))
        ]  # fmt: skip
        assert len(kept) == 3  # to the bit what they are without the accident
        assert len(games(sc2)) == 3
        again, _ = play(env, seed=6)
        assert again.batch_size == 4
        assert len(games(sc2)) == 4
    assert not games(sc2)
    reason = "ConnectionError: the game died" if kind == "die" else "no answer for 3 s"
    assert f"broke off ({reason}): its episode is discarded" in caplog.text


def test_killed_from_outside(sc2: Path) -> None:
    with battles(2) as env:
        env.reset(1)
        worker = env._workers[1]._process
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        step = env.step(np.ones((2, 3), dtype=int))
        assert step.lost.tolist() == [False, True]
        assert len(games(sc2)) == 1
        os.kill(games(sc2)[0], signal.SIGKILL)
        step = env.step(np.ones((2, 3), dtype=int))
        assert step.lost.tolist() == [True, False]
        batch, _ = play(env)
        assert batch.batch_size == 2


def test_a_round_in_which_all_broke_off_begins_again(sc2: Path, fault: Fault) -> None:
    fault("die", 20)
    with battles(1) as env:
        batch, _ = play(env)
        assert batch.batch_size == 1
        assert batch.terminated.any() | batch.truncated.any()


def test_evaluation_counts_whole_episodes_only(sc2: Path, fault: Fault) -> None:
    fault("die", 20)
    with battles(2) as env:
        mac = BasicMAC(env.info, settings())
        found = evaluate(env, mac, 4, np.random.default_rng(0), CPU)
        assert len(found.returns) == 5  # a round of one, two rounds of two


def test_a_game_that_always_dies_is_given_up(sc2: Path, fault: Fault) -> None:
    fault("die", 3, always=True)
    with (
        battles(2, game_restarts=2) as env,
        pytest.raises(GameError, match="off, 3 in a row"),
    ):
        play(env)


def test_a_map_that_smac_has_not_is_one_line(sc2: Path) -> None:
    with pytest.raises(ConfigError) as error:
        settings(map_name="3s_vs_3s")
    assert str(error.value).startswith(
        "env_args.map_name=3s_vs_3s is not a map of SMAC; did you mean 3s_vs_3z?; there are: 3m, "
    )


def test_smacv2_beside_it_is_left_alone(sc2: Path) -> None:
    assert (STAND_IN / "smacv2").is_dir()
    with battles(1) as env:
        play(env)
    assert "smacv2" not in sys.modules


def test_versions_name_the_build(sc2: Path) -> None:
    args = settings().run.env_args
    assert SC2Env.versions(args)["sc2_build"] == "Base75689"
    install(sc2, build=80188)
    assert SC2Env.versions(args)["sc2_build"] == "Base80188"
    assert SC2Env.versions(args | {"game_version": "4.10"})["sc2_build"] == "Base75689"
    (sc2 / "Versions/Base90136").mkdir()  # which pysc2 would take, and find no game in
    assert SC2Env.versions(args)["sc2_build"] == "not installed"
    with pytest.raises(NotInstalledError, match=r"has no Versions/Base90136/SC2_x64\)"):
        SC2Env.check_installed(args)
    SC2Env.check_installed(args | {"game_version": "4.10.0"})
    for unknown in ("4.13", 4.1):
        with pytest.raises(ConfigError, match=f"game_version={unknown} is not known to pysc2"):
            SC2Env.check_installed(args | {"game_version": unknown})


@pytest.mark.parametrize(
    ("arg", "message"),
    [
        ({"difficulty": "B"}, "env_args.difficulty=B must be one of 1 2 3 4 5 6 7 8 9 A"),
        ({"difficulty": ""}, "env_args.difficulty= must be one of 1 2 3 4 5 6 7 8 9 A"),
        ({"replay_prefix": "a/b"}, "env_args.replay_prefix=a/b must be the beginning of a file's "
         "name; see replay_dir"),
        ({"seed": "abc"}, "env_args.seed=abc must be 0 or more, or null"),
        ({"step_mul": 0}, "env_args.step_mul=0 must be 1 or more"),
        ({"reward_scale_rate": 0}, "env_args.reward_scale_rate=0 must be more than 0"),
        ({"game_timeout": -4}, "env_args.game_timeout=-4 must be more than 0 seconds"),
        ({"game_restarts": -1}, "env_args.game_restarts=-1 must be 0 or more"),
    ],
)  # fmt: skip
def test_what_smac_would_find_too_late(arg: dict[str, Any], message: str, sc2: Path) -> None:
    with pytest.raises(ConfigError) as error:
        settings(**arg)
    assert str(error.value) == message


def test_a_reset_within_an_episode_keeps_the_game(sc2: Path) -> None:
    with battles(1) as env:
        env.reset(1)
        env.step(np.ones((1, 3), dtype=int))
        before = games(sc2)
        env.reset(2)
        assert games(sc2) == before
        play(env)


def test_a_games_process_imports_no_configuration() -> None:
    """What a worker imports; every game has one."""
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r})\n"
        "import envs.sc2\n"
        "sys.stdout.write(' '.join({'pydantic', 'yaml', 'torch', 'h5py'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("path", [None, "/nowhere/StarCraftII"])
def test_without_the_game_it_is_one_line_at_once(path: str | None, tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "SC2PATH"}
    environment |= {} if path is None else {"SC2PATH": path}
    words = ["--config=icq", "--env-config=sc2", "with", f"local_results_path={tmp_path / 'r'}"]
    times = []
    while not times or (min(times) >= 2 and len(times) < 5):  # others work on this machine, too
        begun = time.monotonic()
        result = subprocess.run(
            command(*words), env=environment, capture_output=True, text=True, check=False
        )
        times.append(time.monotonic() - begun)
    assert min(times) < 2
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("NotInstalledError: env=sc2: SMAC is not installed (")
    assert (f"SC2PATH={path} has no" if path else "SC2PATH is not set, so ") in result.stderr
    assert all(way in result.stderr for way in WAYS)
    assert not (tmp_path / "r").exists()


def test_another_projects_smac_is_told_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "smac").mkdir()
    (tmp_path / "smac" / "__init__.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(NotInstalledError, match="another project's, SMAC3"):
        SC2Env.check_installed(settings().run.env_args)


def test_a_map_that_is_not_installed_is_named(sc2: Path) -> None:
    SC2Env.check_installed(settings().run.env_args)
    with pytest.raises(NotInstalledError, match="has no map Maps/SMAC_Maps/MMM"):
        SC2Env.check_installed(settings(map_name="MMM").run.env_args)


def test_info_is_asked_of_smac_once(sc2: Path) -> None:
    args = settings().run.env_args
    assert isinstance(SC2Env.env_info(args), EnvInfo)
    assert SC2Env.env_info(args) is SC2Env.env_info(dict(reversed(args.items())))
