"""Controllers: what they see, what they choose, and that they remember nothing."""

from __future__ import annotations

import pytest
import torch
from batches import INFO, random_batch
from torch import Tensor
from torch.nn.functional import one_hot

from controllers.basic_controller import BasicMAC
from controllers.scripted_controller import ScriptedMAC
from envs.smax import SMAXEnv
from envs.two_step import TwoStepEnv
from utils.config import load_settings
from utils.errors import ConfigError


@pytest.fixture
def mac() -> BasicMAC:
    torch.manual_seed(0)
    return BasicMAC(INFO, load_settings("qmix", "two_step", {"rnn_hidden_dim": 8}))


def script(avail_actions: Tensor, epsilon: float = 0.0) -> list[list[int]]:
    settings = load_settings("script", "smax", {})
    mac = ScriptedMAC(SMAXEnv.env_info(settings.run.env_args), settings)
    b, n, _ = avail_actions.shape
    chance = torch.Generator().manual_seed(0)
    nothing = torch.full((b, n), -1)
    return mac.select_actions(
        torch.zeros(b, n, 1), avail_actions, nothing, None, epsilon, chance
    )[0].tolist()  # fmt: skip


def test_a_whole_sequence_equals_step_by_step(mac: BasicMAC) -> None:
    batch = random_batch()
    last_actions = batch.last_actions()
    whole, final = mac.forward(batch.obs, last_actions)
    hidden: Tensor | None = None
    for t in range(batch.obs.shape[1]):
        step, hidden = mac.forward(batch.obs[:, t : t + 1], last_actions[:, t : t + 1], hidden)
        torch.testing.assert_close(step[:, 0], whole[:, t])
    torch.testing.assert_close(hidden, final)


def test_acting_takes_the_best_of_the_training_outputs(mac: BasicMAC) -> None:
    batch = random_batch()
    outputs, _ = mac.forward(batch.obs, batch.last_actions())
    best = outputs.masked_fill(~batch.avail_actions, -torch.inf).argmax(-1)
    hidden: Tensor | None = None
    for t in range(batch.obs.shape[1]):
        actions, hidden = mac.select_actions(
            batch.obs[:, t], batch.avail_actions[:, t], batch.last_actions()[:, t], hidden
        )
        assert torch.equal(actions, best[:, t])


def test_inputs_are_obs_last_action_and_id(mac: BasicMAC) -> None:
    obs = torch.randn(1, 2, INFO.n_agents, INFO.obs_shape)
    last_actions = torch.tensor([[[-1, -1, -1], [0, 3, -1]]])
    actions = torch.zeros(1, 2, INFO.n_agents, INFO.n_actions)
    actions[0, 1, 0, 0] = actions[0, 1, 1, 3] = 1.0  # no last action: all zero
    ids = one_hot(torch.arange(3), 3).float().expand(1, 2, 3, 3)
    expected, _ = mac.agent(torch.cat([obs, actions, ids], dim=-1))
    assert torch.equal(mac.forward(obs, last_actions)[0], expected)


def test_switches_leave_out_last_action_and_id() -> None:
    off = {"obs_last_action": False, "obs_agent_id": False}
    mac = BasicMAC(INFO, load_settings("qmix", "two_step", off))
    obs = torch.randn(1, 1, 1, INFO.obs_shape).expand(1, 1, INFO.n_agents, -1)
    first, _ = mac.forward(obs, torch.tensor([[[-1, 0, 3]]]))
    assert torch.equal(first, mac.agent(obs)[0])
    torch.testing.assert_close(first[0, 0, 0], first[0, 0, 2])


@pytest.mark.parametrize("epsilon", [0.0, 0.5, 1.0])
def test_an_unavailable_action_is_never_taken(mac: BasicMAC, epsilon: float) -> None:
    chance = torch.Generator().manual_seed(0)
    for seed in range(20):
        batch = random_batch(seed=seed).episodes([0])
        obs, avail = batch.obs[0], batch.avail_actions[0]
        last_actions = batch.last_actions()[0]
        actions, _ = mac.select_actions(obs, avail, last_actions, None, epsilon, chance)
        assert avail.gather(-1, actions.unsqueeze(-1)).all()


@pytest.mark.parametrize("epsilon", [0.0, 0.5, 1.0])
def test_epsilon_is_the_share_of_random_actions(mac: BasicMAC, epsilon: float) -> None:
    obs = torch.randn(1, INFO.n_agents, INFO.obs_shape).expand(4000, -1, -1)
    avail = torch.tensor([True, True, False, True]).expand(4000, INFO.n_agents, 4)
    nothing = torch.full((4000, INFO.n_agents), -1)
    greedy, _ = mac.select_actions(obs, avail, nothing, None)
    chance = torch.Generator().manual_seed(0)
    actions, _ = mac.select_actions(obs, avail, nothing, None, epsilon, chance)
    share = one_hot(actions, 4).double().mean(0)
    expected = avail[0] * epsilon / 3 + one_hot(greedy[0], 4) * (1 - epsilon)
    torch.testing.assert_close(share, expected.double(), atol=0.03, rtol=0)


def test_nothing_is_kept_between_calls(mac: BasicMAC) -> None:
    batch, other = random_batch(seed=1), random_batch(seed=2)
    before = set(vars(mac))
    first = mac.forward(batch.obs, batch.last_actions())
    mac.forward(other.obs, other.last_actions(), first[1])
    mac.select_actions(other.obs[:, 0], other.avail_actions[:, 0], other.actions[:, 0], None)
    again = mac.forward(batch.obs, batch.last_actions())
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert set(vars(mac)) == before


def test_script_attacks_the_first_enemy_in_range_else_goes_east() -> None:
    walk, stop, none = [True] * 4, [True], [False, False, False]
    agents = [
        walk + stop + none,
        walk + stop + [False, True, True],
        walk + stop + [True, True, True],
        [False] * 4 + stop + none,
    ]
    east, dead = 1, 4
    assert script(torch.tensor([agents])) == [[east, 6, 5, dead]]


def test_script_with_noise_takes_available_actions_only() -> None:
    avail = torch.tensor([True, True, False, False, True, False, True, False]).expand(500, 3, 8)
    assert {a for row in script(avail, epsilon=1.0) for a in row} == {0, 1, 4, 6}


def test_script_refuses_a_game_without_battles() -> None:
    settings = load_settings("script", "two_step", {})
    with pytest.raises(ConfigError) as error:
        ScriptedMAC(TwoStepEnv.env_info({}), settings)
    assert str(error.value) == "mac=scripted_mac plays battle maps only, env=two_step is none"
