"""icq_official.yaml against a slow transcription of the authors' program."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from math import exp
from typing import Any

import pytest
import torch
from batches import INFO, make_learner, parameters, random_batch, same, with_garbage
from scipy.stats import chisquare
from torch import Tensor

from components.episode_batch import EpisodeBatch
from utils.config import load_settings

F64 = torch.float64
N, A = INFO.n_agents, INFO.n_actions
Lengths = tuple[tuple[int, ...], ...]
RAGGED: Lengths = ((5, 7, 1, 7), (1, 4, 2), (3, 6, 6))
"""Of three batches; each 2nd episode is cut by a time limit, so none of its batch is longer."""
FULL: Lengths = ((5, 5, 5, 5), (4, 4, 4), (6, 6, 6))
METRICS = ("critic_loss", "actor_loss", "effective_samples")
SHAPES = ("mixer", "critic", "critic_sees_state")
"""Keys that decide which parameters there are."""
Part = dict[str, Tensor]
Parts = dict[str, Part]


def as_rows(batch: EpisodeBatch, b: int) -> Part:
    """One episode, all zero behind its last observation: no action is available there."""
    rows, length = {k: v[b].clone() for k, v in batch.tensors().items()}, int(batch.mask[b].sum())
    for name in ("obs", "state", "actions", "avail_actions"):
        rows[name][length + 1 :] = 0
    for name in ("rewards", "terminated", "mask"):
        rows[name][length:] = 0
    return {k: v if k == "actions" else v.to(F64) for k, v in rows.items()}


def one_hot(index: int, size: int) -> Tensor:
    return torch.tensor([float(j == index) for j in range(size)], dtype=F64)


def layer(p: Part, name: str, x: Tensor) -> Tensor:
    return p[f"{name}.weight"] @ x + p[f"{name}.bias"]


def q_values(critic: Part, e: Part, t: int, i: int) -> Tensor:
    """(A,): a dueling head without the advantages' mean."""
    x = torch.cat([e["obs"][t, i], one_hot(i, N), e["state"][t]])
    x = torch.relu(layer(critic, "fc1", x))
    x = torch.relu(layer(critic, "fc2", x))
    return layer(critic, "fc3", x) + layer(critic, "fc_v", x)


def shares(mixer: Part, state: Tensor) -> list[Tensor]:
    """k_1 ... k_N, whose sum is 1."""
    w_1 = layer(mixer, "hyper_w_1", state).abs().view(N, -1)
    w_final = layer(mixer, "hyper_w_final", state).abs()
    k = [(w_1[i] * w_final).sum() for i in range(N)]
    return [x / (k[0] + k[1] + k[2]) for x in k]


def q_total(critic: Part, mixer: Part, e: Part, t: int) -> Tensor:
    total, k = torch.zeros((), dtype=F64), shares(mixer, e["state"][t])
    for i in range(N):
        total = total + k[i] * q_values(critic, e, t, i)[e["actions"][t, i]]
    return total


def weights(values: list[float], alpha: float) -> list[float]:
    """One weight for every episode, 1 on average."""
    top = [exp((v - max(values)) / alpha) for v in values]
    return [len(values) * x / sum(top) for x in top]


def logits(agent: Part, e: Part, i: int, rows: int) -> list[Tensor]:
    """Agent i's outputs at rows 0, 1, ..., by a GRU written out."""
    hidden = torch.zeros(agent["rnn.weight_hh_l0"].shape[1], dtype=F64)
    out = []
    for t in range(rows):
        last = one_hot(int(e["actions"][t - 1, i]) if t else -1, A)
        x = torch.relu(layer(agent, "fc1", torch.cat([e["obs"][t, i], last, one_hot(i, N)])))
        r_x, z_x, n_x = (agent["rnn.weight_ih_l0"] @ x + agent["rnn.bias_ih_l0"]).chunk(3)
        r_h, z_h, n_h = (agent["rnn.weight_hh_l0"] @ hidden + agent["rnn.bias_hh_l0"]).chunk(3)
        r, z = torch.sigmoid(r_x + r_h), torch.sigmoid(z_x + z_h)
        hidden = (1 - z) * torch.tanh(n_x + r * n_h) + z * hidden
        out.append(layer(agent, "fc2", hidden))
    return out


def policies(agent: Part, e: Part, i: int, epsilon: float) -> list[Tensor]:
    """pi_i at rows 0 ... T-1: floor first, then what is available of it; 0 in padding."""
    out = []
    for t, x in enumerate(logits(agent, e, i, len(e["mask"]))):
        avail = e["avail_actions"][t, i]
        pi = ((1 - epsilon) * x.exp() / x.exp().sum() + epsilon / A) * avail
        out.append(pi / pi.sum() if avail.sum() > 0 else torch.zeros(A, dtype=F64))
    return out


@dataclass
class Official:
    """The program's networks, the squares its optimisers keep, and its counters."""

    parts: Parts
    target_update_interval: int = 600
    epsilon_anneal_time: int = 5000
    grad_norm_clip: float = 20.0
    squares: dict[tuple[str, str], Any] = field(default_factory=dict)
    norms: list[float] = field(default_factory=list)
    iteration: int = 0
    since_copy: int = 0

    def train(self, batch: EpisodeBatch) -> dict[str, float]:
        episodes = [as_rows(batch, b) for b in range(batch.batch_size)]
        metrics = {"critic_loss": self.critic_steps(episodes)} | self.policy_step(episodes)
        self.iteration += 1
        self.since_copy += len(episodes[0]["mask"])
        if self.since_copy >= self.target_update_interval:
            self.since_copy = 0
            for name in ("critic", "mixer"):
                online = self.parts[name]
                self.parts[f"target_{name}"] = {k: p.detach().clone() for k, p in online.items()}
        return metrics

    def returns(self, episodes: list[Part]) -> list[list[float]]:
        """Lambda returns of rho Q_tot, (B)(T)."""
        t_max, critic, mixer = len(episodes[0]["mask"]), "target_critic", "target_mixer"
        values: list[list[float]] = [[] for _ in episodes]
        for t in range(t_max + 1):
            q = [q_total(self.parts[critic], self.parts[mixer], e, t).item() for e in episodes]
            for b, rho in enumerate(weights(q, 1000.0)):
                values[b].append(rho * q[b])
        out = []
        for e, v in zip(episodes, values, strict=True):
            ret = [0.0] * t_max + [v[t_max] * (1 - e["terminated"].sum())]
            for t in reversed(range(t_max)):
                one_step = e["rewards"][t] + 0.25 * 0.99 * v[t + 1] * (1 - e["terminated"][t])
                ret[t] = 0.75 * 0.99 * ret[t + 1] + e["mask"][t] * one_step
            out.append(ret)
        return out

    def critic_steps(self, episodes: list[Part]) -> float:
        """One step for every time step -> the mean squared error, each before its own step."""
        ret, squared = self.returns(episodes), 0.0
        for t in range(len(episodes[0]["mask"])):
            loss = torch.zeros((), dtype=F64)
            for b, e in enumerate(episodes):
                q = q_total(self.parts["critic"], self.parts["mixer"], e, t)
                loss = loss + (e["mask"][t] * (q - ret[b][t])) ** 2
            squared += loss.item()
            loss = loss / sum(e["mask"][t] for e in episodes)
            self.descend(loss, ("critic", "mixer"), 1e-4)
        return squared / sum(sum(e["mask"]) for e in episodes)

    def policy_step(self, episodes: list[Part]) -> dict[str, float]:
        epsilon = max(0.05, 0.5 - 0.45 * self.iteration / self.epsilon_anneal_time)
        loss, used = torch.zeros((), dtype=F64), []
        for i in range(N):
            pis = [policies(self.parts["agent"], e, i, epsilon) for e in episodes]
            for t in range(len(episodes[0]["mask"])):
                advantages = []
                for e, pi in zip(episodes, pis, strict=True):
                    q = q_values(self.parts["critic"], e, t, i).detach()
                    advantages.append(float(q[e["actions"][t, i]] - (pi[t].detach() * q).sum()))
                for b, weight in enumerate(weights(advantages, 0.1)):
                    e = episodes[b]
                    if e["mask"][t]:
                        w = shares(self.parts["mixer"], e["state"][t])[i].item() * weight
                        loss = loss - w * pis[b][t][e["actions"][t, i]].log()
                        used.append(w)
        loss = loss / len(used)
        self.descend(loss, ("agent",), 5e-4)
        effective = sum(used) ** 2 / sum(w * w for w in used) / len(used)
        return {"actor_loss": loss.item(), "effective_samples": effective}

    def descend(self, loss: Tensor, names: tuple[str, ...], lr: float) -> None:
        """A step of RMSprop; `names` share one limit of the gradient's norm."""
        params = {(name, k): p for name in names for k, p in self.parts[name].items()}
        grads = torch.autograd.grad(loss, list(params.values()))
        self.norms.append(float(sum((g**2).sum() for g in grads)) ** 0.5)
        scale = min(1.0, self.grad_norm_clip / (self.norms[-1] + 1e-6))
        for (key, p), grad in zip(params.items(), grads, strict=True):
            g = scale * grad
            self.squares[key] = 0.99 * self.squares.get(key, 0.0) + 0.01 * g**2
            with torch.no_grad():
                p -= lr * g / (self.squares[key].sqrt() + 1e-5)


def start(seed: int, **keys: Any) -> Any:
    """A learner with weights far from zero and targets unlike their twins; equal shapes, equal."""
    small = {"critic_hidden_dim": 8, "mixing_embed_dim": 4}
    learner = make_learner("icq_official", seed=seed, dtype=F64, **small | keys)
    torch.manual_seed(seed)
    for value in learner.networks.parameters():
        torch.nn.init.normal_(value, std=0.4)
    return learner


def copy_of(learner: Any) -> Parts:
    return {
        name: {k: v.detach().clone().requires_grad_() for k, v in network.named_parameters()}
        for name, network in learner.networks.items()
    }


@cache
def batches(seed: int, lengths: Lengths) -> list[EpisodeBatch]:
    clean = [random_batch(each, 10 * seed + j, F64) for j, each in enumerate(lengths)]
    return [with_garbage(batch, seed) for batch in clean]


def in_columns(rows: list[Any]) -> Part:
    """Metrics of the three iterations."""
    return {k: torch.tensor([float(row[k]) for row in rows], dtype=F64) for k in METRICS}


def learnt(learner: Any, given: list[EpisodeBatch]) -> Part:
    """Metrics, and the parameters after the last iteration."""
    return in_columns([learner.train(batch) for batch in given]) | parameters(learner)


def transcribed(seed: int, lengths: Lengths, **keys: Any) -> tuple[Part, list[float]]:
    """The same of the transcription, and the gradients' norms."""
    program = Official(copy_of(start(seed)), **keys)
    metrics = in_columns([program.train(batch) for batch in batches(seed, lengths)])
    flat = {f"{n}.{k}": p.detach() for n, part in program.parts.items() for k, p in part.items()}
    return metrics | flat, program.norms


reference = cache(transcribed)


def difference(ours: Part, theirs: Part) -> float:
    """The largest |a - b| / max |b|, tensor by tensor; NaN if there is one."""
    assert ours.keys() == theirs.keys()
    each = [(ours[k] - v).abs().max() / v.abs().max() for k, v in theirs.items()]
    return float(torch.stack(each).max())


@pytest.mark.parametrize("lengths", [RAGGED, FULL])
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    "keys",
    [
        {}, {"target_update_interval": 11}, {"target_update_interval": 5},
        {"epsilon_anneal_time": 1}, {"grad_norm_clip": 0.05},
    ],
    ids=str,
)  # fmt: skip
def test_three_iterations_equal_the_official_program(
    keys: dict[str, Any], seed: int, lengths: Lengths
) -> None:
    ours = learnt(start(seed, **keys), batches(seed, lengths))
    theirs, _ = transcribed(seed, lengths, **keys)
    assert difference(ours, theirs) < 1e-10


def test_the_reference_cuts_some_gradients_and_weighs_its_samples() -> None:
    theirs, norms = reference(0, RAGGED)
    assert min(norms) < 20 < max(norms)
    assert ((theirs["effective_samples"] > 0.1) & (theirs["effective_samples"] < 0.9)).all()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("td_lambda", 0.8), ("gamma", 0.9), ("target", "q_lambda"), ("target_update_interval", 5),
        ("value_temperature", 1.0), ("value_temperature", 100.0), ("policy_temperature", 0.3),
        ("max_weight", 2.0), ("softmax_padding", False), ("softmax_over", "batch"),
        ("mixer_weight", "exponent"), ("joint_weights", True), ("forced_actions", False),
        ("epsilon_floor", False), ("epsilon_start", 0.4), ("epsilon_finish", 0.2),
        ("epsilon_anneal_time", 4000),
        ("critic_first", False), ("critic_step_per", "batch"), ("critic_steps", 2),
        ("optimiser", "adam"), ("lr", 0.001), ("critic_lr", 0.001), ("grad_norm_clip", 10),
        ("mixer", "linear"), ("mixer", "uniform"), ("critic", "mlp"), ("critic_sees_state", False),
    ],
)  # fmt: skip
def test_one_other_value_is_another_program(key: str, value: Any) -> None:
    """Equal ones differ by 1e-15; an epsilon that falls in 4000 steps, not 5000, by 4e-6."""
    changed = start(0, **{key: value})
    assert same(parameters(start(0)), parameters(changed)) == (key not in SHAPES)
    ours, (theirs, _) = learnt(changed, batches(0, RAGGED)), reference(0, RAGGED)
    metrics = [{k: part[k] for k in METRICS} for part in (ours, theirs)]
    assert difference(*metrics) > 1e-6
    if key not in SHAPES:
        networks = [{k: part[k] for k in parameters(changed)} for part in (ours, theirs)]
        assert difference(*networks) > 1e-7


@pytest.mark.parametrize("seed", range(2))
def test_garbage_in_padding_changes_nothing(seed: int) -> None:
    clean = [random_batch(lengths, j, F64) for j, lengths in enumerate(RAGGED)]
    garbage = [with_garbage(batch, seed) for batch in clean]
    assert not torch.equal(clean[0].obs, garbage[0].obs)
    assert same(learnt(start(0), clean), learnt(start(0), garbage))


@pytest.mark.parametrize("epsilon", [0.0, 0.05, 0.5])
def test_it_plays_samples_of_its_policy(epsilon: float) -> None:
    """(1 - epsilon) softmax + epsilon / |available|, both over the available actions."""
    config = load_settings("icq_official", "two_step", {}).run
    assert (config.action_selector, config.test_greedy) == ("multinomial", False)
    learner, e = start(0), as_rows(batches(0, RAGGED)[0], 0)
    may, draws = [[0, 1, 2, 3], [1, 3], [2]], 8000
    avail = torch.tensor([[a in row for a in range(A)] for row in may]).expand(draws, N, A)
    obs, last = e["obs"][0].expand(draws, N, -1), torch.full((draws, N), -1)
    chance = torch.Generator().manual_seed(1)
    actions, _ = learner._mac.select_actions(obs, avail, last, None, epsilon, chance)
    greedy, _ = learner._mac.select_actions(obs, avail, last, None)
    for i, row in enumerate(may):
        drawn = torch.bincount(actions[:, i], minlength=A)[row]
        assert int(drawn.sum()) == draws
        pi = logits(copy_of(learner)["agent"], e, i, 1)[0].detach()[row].softmax(0)
        assert (greedy[:, i] == row[int(pi.argmax())]).all()
        pi = (1 - epsilon) * pi + epsilon / len(row)
        assert len(row) == 1 or chisquare(drawn.numpy(), draws * pi.numpy()).pvalue > 0.001
