"""SMAClite itself, where it is installed: numbers, ends, masks, chance, processes, mistakes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from episodes import ends, play, play_randomly, same

import dataset
import main
from envs.base import Observation
from envs.smaclite import SMACliteEnv, SMACliteGame
from utils.errors import ConfigError, NotInstalledError
from utils.paths import ROOT

MAPS = (
    "10m_vs_11m 27m_vs_30m 2c_vs_64zg 2s3z 2s_vs_1sc 3s5z 3s5z_vs_3s6z 3s_vs_5z MMM MMM2 "
    "bane_vs_bane corridor"
)


def args(map_name: str = "2s3z", time_limit: int = 0) -> dict[str, object]:
    return {"map_name": map_name, "time_limit": time_limit, "use_cpp_rvo2": False}


def skip_without_it() -> None:
    pytest.importorskip("smaclite.env", exc_type=ImportError)


def battle(game: SMACliteGame, seed: int, chance: int = 0) -> list[Observation]:
    """All that a battle at random shows."""
    rng, shown = np.random.default_rng(chance), [game.reset(seed)]
    while True:
        avail = shown[-1].avail_actions
        outcome = game.step((rng.random(avail.shape) * avail).argmax(-1))
        shown.append(outcome.observation)
        if outcome.terminated or outcome.truncated:
            return shown


def flat(shown: list[Observation]) -> bytes:
    return b"".join(array.tobytes() for observation in shown for array in observation)


@pytest.mark.parametrize(
    "source",
    ["raise ImportError('no')", "raise OSError('Could not load libspatialindex_c library')"],
)
def test_without_it_it_is_one_line(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "smaclite"
    (folder / "env").mkdir(parents=True)
    (folder / "__init__.py").write_text("from smaclite.env.maps import MapPreset\n")
    (folder / "env" / "maps.py").write_text("MapPreset = ()\n")
    (folder / "env" / "__init__.py").write_text(f"import smaclite.env.maps\n{source}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "smaclite"]:
        monkeypatch.delitem(sys.modules, name)
    for look in (SMACliteEnv.check_installed, SMACliteEnv.env_info):
        with pytest.raises(NotInstalledError) as error:
            look(args())
        reason = source.partition("'")[2].removesuffix("')")
        assert str(error.value) == (
            f"env=smaclite needs SMAClite ({reason}); install it with: pip install -c "
            "constraints.txt -e '.[smaclite]', then pip install --no-deps "
            "git+https://github.com/uoe-agents/smaclite.git@"
            "0d6abbea1334011984ae4704a0ef7a33c36057d6 "
            "(it asks for an Rtree that Python 3.11 has not)"
        )
    for name in [name for name in sys.modules if name.partition(".")[0] == "smaclite"]:
        del sys.modules[name]


def test_the_maps_are_those_of_its_yaml() -> None:
    skip_without_it()
    text = (ROOT / "src/config/envs/smaclite.yaml").read_text()
    assert " ".join(text.replace("#", "").split()).count(MAPS) == 1
    with pytest.raises(ConfigError) as error:
        SMACliteEnv.env_info(args("MMM3"))
    start, _, listed = str(error.value).partition("; there are: ")
    assert start == "env_args.map_name=MMM3 is not a map of SMAClite; did you mean MMM?"
    assert set(listed.split(", ")) == set(MAPS.split())


@pytest.mark.parametrize(
    ("map_name", "numbers"),
    [
        ("2s3z", "5 agents, 11 actions, obs 80, state 120, limit 120"),
        ("MMM", "10 agents, 16 actions, obs 160, state 290, limit 150"),
        ("2s_vs_1sc", "2 agents, 7 actions, obs 17, state 27, limit 300"),
    ],
)
def test_numbers(map_name: str, numbers: str, capsys: pytest.CaptureFixture[str]) -> None:
    skip_without_it()
    info = SMACliteEnv.env_info(args(map_name))
    assert info.numbers() == numbers
    assert info.action_names[:6] == ("no_op", "stop", "north", "south", "east", "west")
    assert info.action_names[6:] == tuple(f"attack_{i}" for i in range(info.n_actions - 6))
    assert capsys.readouterr().out == ""  # SMAClite would say which collision avoidance it uses


def test_the_medivac_can_heal_everyone() -> None:
    skip_without_it()
    game = SMACliteGame(args("MMM"), 0)
    healed = np.any([o.avail_actions[0, 6:] for s in range(4) for o in battle(game, s, s)], axis=0)
    assert healed.tolist() == [False, *[True] * 9]  # not itself; its own space lacks the last


def test_a_battle_depends_on_its_seed_alone() -> None:
    skip_without_it()
    game = SMACliteGame(args("bane_vs_bane"), 0)  # on 2s3z many seeds make the same battle
    first = flat(battle(game, 1))
    assert flat(battle(game, 2)) != first
    assert flat(battle(game, 1, chance=2)) != first
    assert flat(battle(game, 1)) == first == flat(battle(SMACliteGame(args("bane_vs_bane"), 5), 1))


def test_battles_in_processes() -> None:
    skip_without_it()
    env = SMACliteEnv(args(), 2)
    played = play_randomly(env, 125, seed=1)
    found = ends(played)
    assert {how for _, how in found} == {"end"}
    assert not played.battle_won.any()
    avail, rewards = played.observation.avail_actions, played.rewards
    for slot, (length, _) in enumerate(found):
        assert avail[length, slot, :, 0].all()  # all dead
        assert not avail[0, slot, :, 0].any()
        assert not avail[length, slot, :, 1:].any()
        dead = avail[: length + 1, slot, :, 0]
        assert (dead[1:] >= dead[:-1]).all()
        assert not played.observation.obs[: length + 1, slot][dead].any()
        assert not rewards[length:, slot].any()
    assert (rewards.sum(0) > 0).all()
    assert (rewards.sum(0) < 20).all()
    assert same(play_randomly(env, 125, seed=1), played)
    env.close()


def test_a_time_limit_is_truncated() -> None:
    skip_without_it()
    env = SMACliteEnv(args(time_limit=3), 1)
    assert ends(play(env, [[1] * 5] * 5)) == [(3, "limit")]
    env.close()


def test_a_battle_can_be_won() -> None:
    """Banelings burst, so that even chance wins now and then."""
    skip_without_it()
    game, won = SMACliteGame(args("bane_vs_bane"), 0), []
    for seed in range(8):
        rng, shown, total = np.random.default_rng(seed), game.reset(seed), 0.0
        while True:
            avail = shown.avail_actions
            outcome = game.step((rng.random(avail.shape) * avail).argmax(-1))
            assert not (outcome.battle_won and not outcome.terminated)
            shown, total = outcome.observation, total + outcome.reward
            if outcome.terminated or outcome.truncated:
                break
        won.append(outcome.battle_won)
        enemies = shown.state[24 * game.raw.ally_state_feat_size : -24 * game.raw.n_actions]
        assert enemies.any() != outcome.battle_won
        assert (total > 15) == outcome.battle_won
    assert set(won) == {True, False}


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    skip_without_it()
    file = tmp_path / "random.h5"
    record = ["record", "--env-config=smaclite", "--episodes=16", f"--out={tmp_path}"]
    assert dataset.main(record) == 0
    assert dataset.main(["inspect", str(file)]) == 0
    assert "env                      smaclite map_name=2s3z time_limit=0" in capsys.readouterr().out
    icq = ["--config=icq", "--env-config=smaclite", "with", "batch_size_run=2", "test_nepisode=2"]
    small = ["t_max=4", "batch_size=8", "test_interval=4", "save_model_interval=4"]
    train = [*small, f"dataset={file}", f"local_results_path={tmp_path / 'a'}"]
    assert main.main([*icq, *train]) == 0
    (model,) = (tmp_path / "a" / "models").iterdir()
    evaluate = ["evaluate=True", f"checkpoint_path={model}"]
    assert main.main([*icq, *evaluate, f"local_results_path={tmp_path / 'b'}"]) == 0
    for folder in "ab":
        (metrics,) = (tmp_path / folder / "metrics").iterdir()
        assert "4,test_return_mean" in metrics.read_text()
