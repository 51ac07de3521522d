"""SMAX: its numbers against JaxMARL's, and real battles on one map."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch

from controllers.scripted_controller import ScriptedMAC
from envs.smax import EPISODE_LIMIT, MAPS, SMAXEnv, _import_jaxmarl, state_scale
from utils.config import load_settings
from utils.errors import ConfigError

needs_jaxmarl = pytest.mark.skipif(find_spec("jaxmarl") is None, reason="needs the extra smax")
SETTINGS = load_settings("script", "smax", {}).run
INFO = SMAXEnv.env_info(SETTINGS.env_args)
SLOTS, NORTH, STOP = 64, 0, 4
Battle = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def env() -> SMAXEnv:
    assert SETTINGS.env_args["map_name"] == "3s_vs_3z"
    return SMAXEnv(SETTINGS.env_args, SLOTS)


def scripted(avail: np.ndarray) -> np.ndarray:
    mac, mask = ScriptedMAC(INFO, SETTINGS), torch.tensor(avail)
    nothing = torch.full(mask.shape[:2], -1)
    return mac.select_actions(torch.zeros(0), mask, nothing, None)[0].numpy()


def northward(avail: np.ndarray) -> np.ndarray:
    return np.where(avail[..., NORTH], NORTH, STOP)


def play(env: SMAXEnv, policy: Any, seed: int, steps: int = EPISODE_LIMIT + 4) -> Battle:
    """All that one battle per slot shows, and some idle steps: arrays (steps (+1), E, ...)."""
    observation = env.reset(seed)
    shown, brought = [observation], []
    for _ in range(steps):
        observation, *rest, _, _ = env.step(policy(observation.avail_actions))
        shown.append(observation)
        brought.append(rest)
    names = ("obs", "state", "avail", "rewards", "terminated", "truncated", "won")
    columns = [np.stack(c) for part in (shown, brought) for c in zip(*part, strict=True)]
    battle = dict(zip(names, columns, strict=True))
    return battle | {"ends": battle["terminated"] | battle["truncated"]}


@pytest.fixture(scope="module")
def scripted_battle(env: SMAXEnv) -> Battle:
    return play(env, scripted, seed=3)


@pytest.fixture(scope="module")
def fled_battle(env: SMAXEnv) -> Battle:
    return play(env, northward, seed=3)


def test_an_unknown_map_is_one_line() -> None:
    with pytest.raises(ConfigError) as error:
        SMAXEnv.env_info({"map_name": "2s3x"})
    message = "env_args.map_name=2s3x is not a SMAX map; did you mean 2s3z?; there are: "
    message += ", ".join(MAPS)
    assert str(error.value) == message


@needs_jaxmarl
@pytest.mark.parametrize("map_name", list(MAPS))
def test_numbers_by_arithmetic_are_jaxmarls(map_name: str) -> None:
    smax = _import_jaxmarl()
    import jax.numpy as jnp

    allies, enemies = MAPS[map_name]
    types = jnp.array(allies + enemies, dtype=jnp.uint8)
    scenario = smax.smax_env.Scenario(types, len(allies), len(enemies), False, False)
    game = smax.HeuristicEnemySMAX(scenario=scenario)
    info = SMAXEnv.env_info({"map_name": map_name})
    assert info.n_agents == len(game.agents)
    for agent in game.agents:
        assert info.n_actions == game.action_space(agent).n
        assert (info.obs_shape,) == game.observation_space(agent).shape
    assert info.state_shape == game.state_size
    assert state_scale(len(allies) + len(enemies)).shape == (info.state_shape,)
    assert len(info.action_names) == info.n_actions
    assert info.episode_limit == game.max_steps + 1


@needs_jaxmarl
def test_map_names_are_the_units_that_jaxmarl_means() -> None:
    scenarios = _import_jaxmarl().smax_env.MAP_NAME_TO_SCENARIO
    for map_name in MAPS.keys() & scenarios.keys():
        theirs = scenarios[map_name]
        allies, enemies = MAPS[map_name]
        assert tuple(np.asarray(theirs.unit_types).tolist()) == allies + enemies, map_name
        assert (theirs.num_allies, theirs.num_enemies) == (len(allies), len(enemies)), map_name
    assert len(MAPS.keys() & scenarios.keys()) >= 8


@needs_jaxmarl
def test_shapes_and_types_are_as_told(env: SMAXEnv, scripted_battle: Battle) -> None:
    for shown in (env.reset(0), env.step(np.full((SLOTS, 3), STOP)).observation):
        assert shown.obs.shape == (SLOTS, INFO.n_agents, INFO.obs_shape)
        assert shown.state.shape == (SLOTS, INFO.state_shape)
        assert shown.avail_actions.shape == (SLOTS, INFO.n_agents, INFO.n_actions)
        assert [x.dtype for x in shown] == [np.float32, np.float32, bool]
    kinds = {name: scripted_battle[name].dtype for name in ("rewards", "terminated", "won")}
    assert kinds == {"rewards": np.float32, "terminated": bool, "won": bool}


@needs_jaxmarl
def test_same_seed_same_battles(env: SMAXEnv, scripted_battle: Battle) -> None:
    again = play(SMAXEnv(SETTINGS.env_args, SLOTS), scripted, seed=3)
    for name, value in scripted_battle.items():
        assert np.array_equal(again[name], value), name
    other, slots = env.reset(4).state, scripted_battle["state"][0]
    assert not np.array_equal(other, slots)
    assert len(np.unique(slots, axis=0)) == SLOTS


@needs_jaxmarl
def test_numbers_are_of_the_size_that_networks_like(
    scripted_battle: Battle, fled_battle: Battle
) -> None:
    assert np.abs(scripted_battle["obs"]).max() <= 1.0
    for battle in (scripted_battle, fled_battle):
        assert np.abs(battle["obs"]).max() <= 1.05  # units are pushed a little over the border
        assert battle["state"].min() >= 0.0
        assert battle["state"].max() <= 1.2


@needs_jaxmarl
def test_rewards_make_20_for_a_win_and_less_otherwise(scripted_battle: Battle) -> None:
    won = (scripted_battle["ends"] & scripted_battle["won"]).any(0)
    returns = scripted_battle["rewards"].sum(0)
    assert scripted_battle["rewards"].min() >= 0.0
    assert scripted_battle["rewards"].max() <= 20.0
    assert 0.2 < won.mean() < 0.8
    assert returns[won] == pytest.approx(20.0, abs=1e-3)
    assert (returns[~won] <= 10.0 + 1e-3).all()
    assert returns[~won].min() > 0.0


@needs_jaxmarl
def test_every_battle_ends_once(scripted_battle: Battle, fled_battle: Battle) -> None:
    for battle in (scripted_battle, fled_battle):
        assert (battle["ends"].sum(0) == 1).all()
        assert not (battle["terminated"] & battle["truncated"]).any()
        assert battle["ends"].argmax(0).max() < EPISODE_LIMIT
    assert scripted_battle["terminated"].any(0).all()


@needs_jaxmarl
def test_a_time_out_is_truncated_not_terminated(fled_battle: Battle) -> None:
    timed_out = fled_battle["truncated"].any(0)
    assert timed_out.mean() > 0.5
    assert (fled_battle["ends"][:, timed_out].argmax(0) == EPISODE_LIMIT - 1).all()
    assert not fled_battle["terminated"][:, timed_out].any()
    assert not (fled_battle["won"] & fled_battle["ends"])[:, timed_out].any()


@needs_jaxmarl
def test_ended_battles_idle(scripted_battle: Battle, fled_battle: Battle) -> None:
    for battle in (scripted_battle, fled_battle):
        for slot, last in enumerate(battle["ends"].argmax(0)):
            for name in ("obs", "state", "avail"):
                behind = battle[name][last + 1 :, slot]
                assert len(behind) > 1
                assert (behind == behind[0]).all(), name
            for name in ("rewards", "ends"):
                assert not battle[name][last + 1 :, slot].any(), name


@needs_jaxmarl
def test_the_last_observation_is_of_the_end_not_of_a_new_battle(scripted_battle: Battle) -> None:
    """In the final row of a won battle no enemy lives: the enemies' health in the state is 0."""
    won = (scripted_battle["ends"] & scripted_battle["won"]).any(0)
    health = scripted_battle["state"][-1][:, :60].reshape(SLOTS, 6, 10)[..., 0]
    assert (health[won, 3:] == 0).all()
    assert (health[won, :3] > 0).any(-1).all()
    assert (health[~won, :3] == 0).all()


@needs_jaxmarl
def test_the_dead_can_only_stop_and_the_living_can_move(scripted_battle: Battle) -> None:
    dead = (scripted_battle["obs"] == 0).all(-1)
    avail = scripted_battle["avail"]
    assert dead.any()
    assert not dead.all()
    assert (avail[dead] == (np.arange(INFO.n_actions) == STOP)).all()
    assert avail[~dead][:, : STOP + 1].all()
    assert avail[~dead][:, STOP + 1 :].any()
