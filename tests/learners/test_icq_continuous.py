"""ICQ for continuous actions: equations by hand, a step by a transcription, what is learnt."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from batches import CONTINUOUS_INFO, INFO, as_continuous, make_learner, parameters, random_batch

from components.episode_batch import EpisodeBatch
from learners.icq_continuous_learner import one_step_targets
from learners.icq_vae_learner import behaviour_weights
from modules.behaviour.vae import ConditionalVAE
from modules.mlp import MLP
from utils.rl_utils import effective_share, implicit_weights

F64, CASES = torch.float64, pytest.mark.parametrize
KEYS = "n_critics", "relative_temperature", "max_value_weight", "value_weight_scale"
ALL = [dict(zip(KEYS, v, strict=True)) for v in product([1, 2], [True, False], [None, 1], [1, 0.5])]
VALUES, VAE = ("advantage", "q", "td_error"), ("icq_vae", {"n_samples": 40})  # in two pieces
ICQ = CASES("alg", ["icq_softmax", "icq_vae"])
MIDDLE, HALF = np.array([0.0, 0.5]), np.array([2.0, 0.5])  # of the bounds in CONTINUOUS_INFO


def test_weights_targets_and_log_prob_by_hand() -> None:
    two, six = torch.tensor([[1.0, 3.0]], dtype=F64).log(), torch.tensor(6.0, dtype=F64).log()
    mask, half = torch.ones(1, 2, dtype=torch.bool), torch.tensor([[0.5, 1.5]], dtype=F64)
    torch.testing.assert_close(implicit_weights(two, mask, 1.0), half)
    torch.testing.assert_close(implicit_weights(4 * two, mask, 2.0, ceiling=3.0), half)
    assert effective_share(half, mask).item() == pytest.approx(0.8)  # 2^2 / 2.5 of 2
    assert behaviour_weights(six, two[0], 1.0).item() == pytest.approx(6 / 2)  # (1 + 3) / 2
    assert behaviour_weights(six, two[0], 0.5).item() == pytest.approx(36 / 5)  # (1 + 9) / 2
    assert behaviour_weights(six, two[0], 1.0, ceiling=2.5).item() == pytest.approx(2.5)
    rewards, values, rho = torch.tensor([[1, 2, 3], [10, 20, torch.nan], [0.5, 2, 3]])
    assert one_step_targets(rewards, values, rho, rho < 2.5, 0.5).tolist() == [3.5, 22, 3]
    agent = ready("bc_continuous", 1)._mac.agent
    agent.log_std.data = torch.tensor([[math.log(2), 0.0]])
    log_pi = agent.log_prob(torch.tensor([[0.5, -0.5]]), torch.tensor([[2.5, 0.5]]))
    assert log_pi.item() == pytest.approx(-1 - math.log(2) - math.log(2 * math.pi))
    agent.log_std.data = torch.tensor([[-9.0, 9.0]])
    assert agent.std.tolist() == [[pytest.approx(math.exp(-5)), pytest.approx(math.exp(2))]]


def test_the_behaviour_models_loss_by_hand() -> None:
    model: Any = ConditionalVAE(1, 1, 1, 1)
    for value in model.parameters():
        value.data.zero_()
    model.encoder.last.bias.data = torch.tensor([1.0, 2.0, 0.0, math.log(0.5)])  # mean, log std
    model.decoder.first.weight.data = torch.tensor([[0.0, 1.0, 1.0]])  # sums the latent: .5 + 0
    model.decoder.hidden[0].weight.data = model.decoder.last.weight.data = torch.ones(1, 1)
    loss = model.loss(torch.ones(1, 1), torch.tensor([[0.1]]), torch.tensor([[-0.5, -4.0]]))
    divergence = ((1 + 1 - 1 - 0) + (4 + 0.25 - 1 + 2 * math.log(2))) / 2 / 2
    assert loss.item() == pytest.approx((math.tanh(0.5) - 0.1) ** 2 + 0.5 * divergence)


@CASES("shape_of_q", ["linear", "quadratic"])
def test_either_z_converges_to_the_exact_one(shape_of_q: str) -> None:
    """Behaviour N(m, s^2): E[exp(c a / alpha)] and E[exp(-c a^2 / alpha)] are known."""
    m, s, alpha, c, seeds = 0.3, 0.5, 0.8, 1.2, 16
    wide, q = 1 + 2 * c / alpha * s**2, lambda a: -c * a**2
    exact_z = math.exp(-c / alpha * m**2 / wide) / math.sqrt(wide)
    if shape_of_q == "linear":
        exact_z, q = math.exp(c * m / alpha + (c * s / alpha) ** 2 / 2), lambda a: c * a
    chance, found = torch.Generator().manual_seed(0), []
    recorded = q(torch.linspace(-1, 1, seeds, dtype=F64))
    for n in (100, 1_000, 10_000, 100_000):
        samples = q(m + s * torch.randn(n, 1, seeds, generator=chance, dtype=F64))
        by_batch = implicit_weights(samples, torch.ones_like(samples).bool(), alpha)
        by_model = behaviour_weights(recorded, samples, alpha)
        ones = by_batch / (samples / alpha).exp(), by_model / (recorded / alpha).exp()
        found.append([float((one * exact_z - 1).abs().mean()) for one in ones])
    for errors in zip(*found, strict=True):
        assert list(errors) == sorted(errors, reverse=True)
        assert errors[-1] < 0.01 < 0.02 < errors[0]


class Slow:
    """Algorithm 1's step in numpy, on a learner's networks and a batch's real transitions alone."""

    def __init__(self, learner: Any, batch: EpisodeBatch) -> None:
        self.c, self.n = learner._config, batch.obs.shape[2]
        self.p = {k: v.numpy() for k, v in parameters(learner).items()}
        x = {k: v.numpy() for k, v in batch.tensors().items()}
        x["actions"], real = (x["actions"] - MIDDLE) / HALF, x["mask"]
        self.now = [x[k][:, :-1][real] for k in ("obs", "actions", "state")]
        self.then = [x[k][:, 1:][real] for k in ("obs", "actions", "state")]
        self.rewards, self.goes_on = x["rewards"][real], ~x["terminated"][real]
        self.ids, self.sampled = [np.eye(self.n)] * (self.n > 1), []
        if learner.generator is not None:
            chance = learner.generator.clone_state()
            shape = (self.c.n_samples, *batch.mask.shape, self.n, 4)
            for obs in (self.then[0], self.now[0]):  # first for the critic, then for the policy
                z = torch.randn(shape, generator=chance, dtype=F64).numpy()[:, real].clip(-0.5, 0.5)
                self.sampled.append(self.tanh("behaviour.decoder.", obs, z))

    def net(self, name: str, *inputs: np.ndarray) -> np.ndarray:
        shape = np.broadcast_shapes(*(x.shape[:-1] for x in inputs))
        x = np.concatenate([np.broadcast_to(x, (*shape, x.shape[-1])) for x in inputs], axis=-1)
        layers = [k for k in self.p if k.startswith(name) and k.endswith("weight")]
        for k in layers:
            x = x @ self.p[k].T + self.p[k.replace("weight", "bias")]
            x = np.maximum(x, -math.inf if k == layers[-1] else 0)
        return x

    def tanh(self, name: str, *inputs: np.ndarray) -> np.ndarray:
        return np.tanh(self.net(name, *inputs, *self.ids))

    def q(self, of: str, obs: np.ndarray, actions: np.ndarray) -> np.ndarray:
        names = [f"{of}critic.critics.{k}." for k in range(self.c.n_critics)]
        return np.array([self.net(name, obs, actions, *self.ids)[..., 0] for name in names])

    def w(self, of: str, state: np.ndarray) -> Any:
        return 1.0 if self.n == 1 else np.abs(self.net(f"{of}mixer.hyper_w.", state))

    def q_tot(self, of: str, obs: np.ndarray, actions: np.ndarray, state: np.ndarray) -> Any:
        bias = 0.0 if self.n == 1 else self.net(f"{of}mixer.hyper_b.", state)[..., 0]
        return (self.w(of, state) * self.q(of, obs, actions)).sum(-1) + bias

    def rho(self, v: np.ndarray, base: Any, draws: Any, alpha: float, ceiling: float) -> Any:
        """exp(v / alpha) / Z, Z over the first axis of draws; only eq. 56 cuts before Z."""
        alpha *= np.abs(v - base).mean() if self.c.relative_temperature else 1.0
        top, below = np.exp(v / alpha), np.exp(draws / alpha)
        if self.sampled:
            return np.minimum(top / below.mean(0), ceiling)
        return np.minimum(top, ceiling) / np.minimum(below, ceiling).mean(0)

    def targets(self) -> np.ndarray:
        c, (obs, actions, state), go = self.c, self.then, self.goes_on
        values = self.q_tot("target_", obs, actions, state).min(0)
        v = draws = values[go]
        if self.sampled:
            draws = self.q_tot("target_", obs, self.sampled[0], state).min(0)[:, go]
        rho = self.rho(v, draws.mean(0), draws, c.value_temperature, math.inf)
        rho, ceiling = rho * c.value_weight_scale, c.max_value_weight or math.inf
        assert ceiling == math.inf or rho.min() < ceiling < rho.max(), "nothing to cut"
        values[go] *= np.minimum(rho, ceiling)
        return self.rewards + c.gamma * values * go

    def policy_rho(self) -> np.ndarray:
        obs, actions, state = self.now
        q, w = self.q("", obs, actions).min(0), self.w("", state)
        v = draws = w * q
        if self.sampled:
            draws = w * self.q("", obs, self.sampled[1]).min(0)
        elif self.c.policy_weight_of == "td_error":
            then, now = (self.q_tot("", *x).min(0) for x in (self.then, self.now))
            error = self.rewards + self.c.gamma * then * self.goes_on - now
            v = draws = error[:, None] + 0 * q
        elif self.c.policy_weight_of == "advantage":
            v = draws = w * (q - self.q("", obs, self.tanh("agent.", obs)).min(0))
        base = draws.mean(0) * bool(self.sampled)
        return self.rho(v, base, draws, self.c.policy_temperature, self.c.max_weight)

    def losses(self, rho: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
        (obs, actions, _), std = self.now, np.exp(self.p["agent.log_std"])
        z = (actions - self.tanh("agent.", obs)) / std
        log_pi = -(z**2 / 2 + np.log(std * math.sqrt(2 * math.pi))).sum(-1)
        return -(rho * log_pi).mean(), ((targets - self.q_tot("", *self.now)) ** 2).sum(0).mean()


def ready(alg: str, n_agents: int = 3, **keys: Any) -> Any:
    """A learner whose targets are unlike their twins, its behaviour model's steps behind it."""
    learner = make_learner(alg, replace(CONTINUOUS_INFO, n_agents=n_agents), dtype=F64, **keys)
    for value in learner.networks.parameters():
        torch.nn.init.normal_(value, std=0.4)
    learner.steps = 1
    return learner


def batch_of(seed: int = 0, n_agents: int = 3) -> EpisodeBatch:
    return as_continuous(random_batch(seed=seed, dtype=F64, info=replace(INFO, n_agents=n_agents)))


@CASES("n_agents", [1, 3])
@CASES("keys", ALL, ids=lambda keys: "-".join(map(str, keys.values())))
@CASES(("alg", "key"), [("icq_softmax", {"policy_weight_of": of}) for of in VALUES] + [VAE])
def test_a_step_equals_the_transcription(
    alg: str, key: dict[str, Any], keys: dict[str, Any], n_agents: int
) -> None:
    """Two steps: every metric, and the slope of both losses in a random direction."""
    alpha = 0.4 if keys["relative_temperature"] else 0.15
    keys = keys | {"policy_temperature": 0.6, "value_temperature": alpha, "max_weight": 1.2}
    learner = ready(alg, n_agents, gamma=0.9, **keys, **key)
    for opt in learner.optimisers.values():
        opt.step = torch.optim.SGD(opt.param_groups[0]["params"], 1e-5).step
    for seed in range(2):
        slow = Slow(learner, batch := batch_of(seed, n_agents))
        found, targets = learner.train(batch), slow.targets()
        rho = slow.policy_rho()
        names = "actor_loss", "critic_loss", "target_mean", "q_taken_mean", "effective_samples"
        share, q = rho.sum() ** 2 / (rho**2).sum() / rho.size, slow.q_tot("", *slow.now)[0]
        expected = *slow.losses(rho, targets), targets.mean(), q.mean(), share
        assert [found[name].item() for name in names] == pytest.approx(expected, rel=1e-9)
        before, after, ends = slow.p, Slow(learner, batch).p, []
        way = {k: np.random.default_rng(0).normal(size=v.shape) for k, v in before.items()}
        slope = sum(((before[k] - after[k]) * way[k]).sum() for k in way if k[:6] != "target")
        for size in (1e-6, -1e-6):
            slow.p = {k: v + size * way[k] for k, v in before.items()}
            ends.append(sum(slow.losses(rho, targets)))
        assert slope / 1e-5 == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5)


@ICQ
def test_nothing_follows_a_true_end_but_a_time_limit_bootstraps(alg: str) -> None:
    batch, first = batch_of(), ready(alg).train(batch_of())
    for episode, length in enumerate(batch.lengths.tolist()):
        rows = {name: batch.tensors()[name].clone() for name in ("obs", "state", "actions")}
        for x in rows.values():
            x[episode, length:] *= 0.5
        found = ready(alg).train(replace(batch, **rows))
        assert (found == first) == batch.terminated[episode].any()
        assert (found["target_mean"] == first["target_mean"]) == (found == first)
        assert found["q_taken_mean"] == first["q_taken_mean"]


@ICQ
@CASES("mixer", ["linear", "uniform", "vdn"])
def test_every_target_goes_tau_towards_its_network(alg: str, mixer: str) -> None:
    learner = ready(alg, tau=0.3, mixer=mixer)
    for seed in range(3):
        before, _, after = parameters(learner), learner.train(batch_of(seed)), parameters(learner)
        for name in [name for name in before if name.startswith("target_")]:
            way = after[name.removeprefix("target_")] - before[name]
            torch.testing.assert_close(after[name], before[name] + 0.3 * way, atol=1e-6, rtol=0)
            assert not torch.equal(after[name], before[name])


def test_the_behaviour_model_learns_first_and_never_again() -> None:
    learner, batch = ready("icq_vae", behaviour_steps=3), batch_of()  # of which one is behind it
    noise = torch.randn(4, 7, 3, 4, generator=learner.generator.clone_state(), dtype=F64)
    unit = (batch.actions[:, :-1] - torch.tensor(MIDDLE)) / torch.tensor(HALF)
    loss = learner._model.loss(batch.obs[:, :-1], unit, noise)[batch.mask].mean().item()
    for step in range(5):
        before, found, after = parameters(learner), learner.train(batch), parameters(learner)
        changed = {k.split(".")[0] for k in before if not torch.equal(before[k], after[k])}
        assert changed == ({"behaviour"} if step < 2 else {*learner.networks} - {"behaviour"})
        assert step > 0 or found["behaviour_loss"].item() == pytest.approx(loss, rel=1e-9)


@CASES("size", [0.0, 1.0, 1e6])
def test_the_behaviour_models_actions_stay_within_the_bounds(size: float) -> None:
    obs, noise = size * torch.randn(4, 3, 5), 9 * torch.randn(7, 4, 3, 4)
    actions = ConditionalVAE(5, 3, 2, 8).sample(obs, noise)
    assert (actions.abs() <= 1).all()


@CASES(("low", "high"), [(-2.0, 2.0), (0.0, 1.0), (1.61, 3.53)])
def test_the_policys_actions_stay_within_the_bounds(low: float, high: float) -> None:
    info = replace(CONTINUOUS_INFO, action_low=(low,) * 2, action_high=(high,) * 2)
    learner: Any = make_learner("bc_continuous", info)
    learner._mac.agent.log_std.data.fill_(2.0)
    obs, none = 1e6 * torch.randn(500, 3, 5), torch.empty(0)
    for chance in (None, torch.Generator().manual_seed(0)):
        actions, _ = learner._mac.select_actions(obs, none, none, None, generator=chance)
        assert torch.tensor(low) <= actions.min() < actions.max() <= torch.tensor(high)


@CASES("alg", ["bc_continuous", "icq_softmax", "icq_vae"])
def test_bc_learns_the_recorded_gaussian_and_icq_tilts_it(alg: str) -> None:
    """Of rewards sum_i a_i: N(m, s^2) exp(a / alpha) / Z has the mean m + s^2 / alpha."""
    icq, alpha, chance = alg != "bc_continuous", 0.3, torch.Generator().manual_seed(0)
    mean, std = torch.linspace(-0.4, 0.4, 6).view(3, 2), torch.linspace(0.3, 0.15, 6).view(3, 2)
    unit = mean + std * torch.randn(500, 3, 2, generator=chance)
    batch = as_continuous(random_batch((1,) * 500))
    batch = replace(
        batch, obs=torch.ones_like(batch.obs), terminated=batch.mask, truncated=~batch.mask,
        actions=torch.stack([unit * torch.tensor([2, 0.5]) + torch.tensor([0, 0.5])] * 2, dim=1),
        rewards=unit[..., 0].sum(1, keepdim=True),
    )  # fmt: skip
    keys: dict[str, Any] = {
        "mixer": "uniform", "critic_lr": 0.01, "policy_weight_of": "q", "max_weight": None,
        "relative_temperature": False, "policy_temperature": alpha,
    }  # fmt: skip
    learner: Any = make_learner(alg, hidden_dim=16, lr=0.01, **(keys if icq else {}))
    for _ in range(400):
        learner.train(batch)
    weights = (unit[..., :1] * icq / alpha).softmax(0)
    tilted = (weights * unit).sum(0)
    expected = tilted, (weights * (unit - tilted) ** 2).sum(0).sqrt()
    assert not icq or (tilted - unit.mean(0))[:, 0].min() > 0.07  # which BC would miss
    found = learner._mac.agent(torch.ones(3, 5)), learner._mac.agent.std
    torch.testing.assert_close(found, expected, atol=0.03, rtol=0)


@CASES("shapes", [((7, 1), (2,), (4, 7, 2)), ((4, 7, 2),) * 3])
def test_parts_equal_the_concatenated_input(shapes: Any) -> None:
    mlp, whole = MLP([3, 2, 4], 6, 3, 5), MLP([9], 6, 3, 5)
    whole.load_state_dict(mlp.state_dict())
    inputs = [torch.randn(*shape, n) for shape, n in zip(shapes, (3, 2, 4), strict=True)]
    together = torch.cat([x.expand(4, 7, 2, -1) for x in inputs], dim=-1)
    torch.testing.assert_close(mlp(*inputs), whole(together))
