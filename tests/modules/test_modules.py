"""Networks: what a mixer may do to the agents' values, and that clever layouts change nothing."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import linear, one_hot, relu

from modules.agents.rnn_agent import RNNAgent
from modules.critics.dueling_critic import DuelingCritic
from modules.critics.mlp_critic import MLPCritic
from modules.mixers import REGISTRY as mixer_REGISTRY
from modules.mixers.linear import LinearMixer
from modules.mixers.normalised import NormalisedMixer
from modules.mixers.uniform import UniformMixer
from modules.mixers.vdn import VDNMixer

N, S = 3, 6


@pytest.mark.parametrize("name", list(mixer_REGISTRY))
def test_mixers_are_monotone_in_every_agent(name: str) -> None:
    torch.manual_seed(0)
    mixer = mixer_REGISTRY[name](N, S, 8, 16)
    qs = (10 * torch.randn(50, 4, N)).requires_grad_()
    total = mixer(qs, 10 * torch.randn(50, 4, S))
    assert total.shape == (50, 4)
    (gradient,) = torch.autograd.grad(total.sum(), qs)
    assert (gradient >= 0).all()
    assert (gradient > 0).any((0, 1)).all()


@pytest.mark.parametrize("name", ["qmix", "linear", "normalised"])
def test_the_state_decides_the_weights(name: str) -> None:
    torch.manual_seed(0)
    mixer = mixer_REGISTRY[name](N, S, 8, 16)
    qs = torch.zeros(2, N, requires_grad=True)
    (gradient,) = torch.autograd.grad(mixer(qs, torch.randn(2, S)).sum(), qs)
    assert not torch.allclose(gradient[0], gradient[1])


def test_linear_mixer_is_affine_with_its_weights() -> None:
    torch.manual_seed(0)
    mixer = LinearMixer(N, S, 8, 16).double()
    state = torch.randn(5, S, dtype=torch.float64)
    bias = mixer(torch.zeros(5, N, dtype=torch.float64), state)
    for _ in range(3):
        qs = 100 * torch.randn(5, N, dtype=torch.float64)
        expected = sum(mixer.weights(state)[:, i] * qs[:, i] for i in range(N)) + bias
        torch.testing.assert_close(mixer(qs, state), expected)
    assert bias.abs().min() > 0
    assert (mixer.weights(state) >= 0).all()


def test_normalised_weights_sum_to_one_and_have_no_bias() -> None:
    torch.manual_seed(0)
    mixer = NormalisedMixer(N, S, 8, 16).double()
    state, qs = torch.randn(5, S, dtype=torch.float64), torch.randn(5, N, dtype=torch.float64)
    weights = mixer.weights(state)
    torch.testing.assert_close(weights.sum(-1), torch.ones(5, dtype=torch.float64))
    w1 = (state @ mixer.hyper_w_1.weight.T + mixer.hyper_w_1.bias).abs().view(5, N, 8)
    wf = (state @ mixer.hyper_w_final.weight.T + mixer.hyper_w_final.bias).abs()
    by_hand = torch.einsum("bne,be->bn", w1, wf)
    torch.testing.assert_close(weights, by_hand / by_hand.sum(-1, keepdim=True))
    torch.testing.assert_close(mixer(qs, state), (weights * qs).sum(-1))


def test_uniform_weights_are_one_and_the_bias_is_learnt() -> None:
    torch.manual_seed(0)
    mixer = UniformMixer(N, S, 8, 16)
    state, qs = torch.randn(5, 2, S), torch.randn(5, 2, N)
    assert (mixer.weights(state) == 1).all()
    bias = mixer(torch.zeros(5, 2, N), state)
    torch.testing.assert_close(mixer(qs, state), qs.sum(-1) + bias)
    assert {name.split(".")[0] for name, _ in mixer.named_parameters()} == {"hyper_b"}


def test_dueling_adds_one_value_to_all_actions() -> None:
    torch.manual_seed(0)
    critic = DuelingCritic(5, N, 4, 16, S)
    state, obs = torch.randn(2, 7, S), torch.randn(2, 7, N, 5)
    plain = MLPCritic(5, N, 4, 16, S)
    plain.load_state_dict({k: v for k, v in critic.state_dict().items() if "fc_v" not in k})
    value = critic(state, obs) - plain(state, obs)
    torch.testing.assert_close(value, value[..., :1].expand_as(value))
    assert value.std() > 0


def test_vdn_is_the_sum() -> None:
    mixer = VDNMixer(N, S, 8, 16)
    assert mixer(torch.tensor([[1.0, 2.0, 4.0]]), torch.randn(1, S)).tolist() == [7.0]
    assert list(mixer.parameters()) == []


@pytest.mark.parametrize("sees_state", [False, True])
def test_critic_equals_the_plain_network_on_the_concatenation(sees_state: bool) -> None:
    torch.manual_seed(0)
    critic = MLPCritic(5, N, 4, 16, S * sees_state).double()
    state, obs = torch.randn(2, 7, S).double(), torch.randn(2, 7, N, 5).double()
    ids = one_hot(torch.arange(N), N).double().expand(2, 7, N, N)
    inputs = torch.cat([obs, ids] + [state.unsqueeze(2).expand(2, 7, N, S)] * sees_state, dim=-1)
    x = relu(linear(inputs, critic.fc1.weight, critic.fc1.bias))
    torch.testing.assert_close(critic(state, obs), critic.fc3(relu(critic.fc2(x))))


def test_agents_and_episodes_do_not_leak_into_each_other() -> None:
    torch.manual_seed(0)
    agent = RNNAgent(5, 8, 4)
    inputs, hidden = torch.randn(2, 6, N, 5), torch.randn(1, 2 * N, 8)
    outputs, last = agent(inputs, hidden)
    assert outputs.shape == (2, 6, N, 4)
    for b in range(2):
        for i in range(N):
            row = b * N + i
            alone, alone_last = agent(inputs[b : b + 1, :, i : i + 1], hidden[:, row : row + 1])
            torch.testing.assert_close(outputs[b, :, i], alone[0, :, 0])
            torch.testing.assert_close(last[:, row], alone_last[:, 0])
