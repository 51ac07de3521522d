"""Random ragged episodes and small learners to try things on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from components.episode_batch import EpisodeBatch
from controllers import REGISTRY as mac_REGISTRY
from controllers.gaussian_controller import GaussianMAC
from envs.base import EnvInfo
from learners import REGISTRY as le_REGISTRY
from learners.base import Learner
from utils.config import available, load_settings

CPU = torch.device("cpu")
INFO = EnvInfo(n_agents=3, n_actions=4, obs_shape=5, state_shape=6, episode_limit=7)
LENGTHS = (7, 3, 1, 5)
FLOATS = ("obs", "state", "rewards")
CONTINUOUS_INFO = EnvInfo(3, 2, 5, 6, 7, action_low=(-2.0, 0.0), action_high=(2.0, 1.0))
CONTINUOUS = {a for a in available("algs") if a.startswith(("icq_softmax", "icq_vae", "bc_cont"))}
"""The algorithms for continuous actions."""
ENV_OF = {alg: "pendulum" if alg in CONTINUOUS else "two_step" for alg in available("algs")}
SETTINGS = {alg: load_settings(alg, env, {}) for alg, env in ENV_OF.items()}
LEARNT = [alg for alg, settings in SETTINGS.items() if settings.learner]
"""Every algorithm with something to learn."""
TARGETED = [alg for alg in LEARNT if "target_update_interval" in SETTINGS[alg].values]
"""Those with target networks."""
PER_BATCH = [a for a in LEARNT if SETTINGS[a].values.get("critic_step_per") != "time_step"]
"""Those that step once per batch, however many time steps it has."""
SAMPLED = {alg for alg in LEARNT if "n_samples" in SETTINGS[alg].values}
"""Those whose training draws numbers of its own, so that the place in the batch matters."""


def random_batch(
    lengths: tuple[int, ...] = LENGTHS,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    info: EnvInfo = INFO,
) -> EpisodeBatch:
    """Episodes of `lengths`, the 1st, 3rd, ... a true end, the others cut by a time limit."""
    chance = torch.Generator().manual_seed(seed)
    b, t, n = len(lengths), max(lengths), info.n_agents
    ends = torch.tensor(lengths)[:, None]
    time = torch.arange(t)
    mask, last = time < ends, time == ends - 1
    cut = (torch.arange(b) % 2 == 1)[:, None]
    avail = random_avail((b, t + 1, n, info.n_actions), chance)
    batch = EpisodeBatch(
        obs=torch.randn(b, t + 1, n, info.obs_shape, generator=chance, dtype=dtype),
        state=torch.randn(b, t + 1, info.state_shape, generator=chance, dtype=dtype),
        avail_actions=avail,
        actions=random_actions(avail, chance),
        rewards=torch.randn(b, t, generator=chance, dtype=dtype) * mask,
        terminated=last & ~cut,
        truncated=last & cut,
        mask=mask,
    )
    return _repeat_last_row(batch)


def with_garbage(batch: EpisodeBatch, seed: int) -> EpisodeBatch:
    """The same episodes with other numbers, all of them possible, behind their ends."""
    chance = torch.Generator().manual_seed(seed)
    real = torch.cat([torch.ones_like(batch.mask[:, :1]), batch.mask], dim=1)
    avail = random_avail(tuple(batch.avail_actions.shape), chance)
    garbage: dict[str, Tensor] = {"avail_actions": avail, "actions": random_actions(avail, chance)}
    for name in FLOATS:
        like = batch.tensors()[name]
        garbage[name] = 9 * torch.randn(like.shape, generator=chance, dtype=like.dtype)
    for name, value in garbage.items():
        keep = batch.mask if name == "rewards" else real
        keep = keep.view(*keep.shape, *[1] * (value.dim() - 2))
        garbage[name] = torch.where(keep, batch.tensors()[name], value)
    return replace(batch, **garbage)


def random_avail(shape: tuple[int, ...], chance: torch.Generator) -> Tensor:
    """Available actions, at least one in every row."""
    avail = torch.rand(shape, generator=chance) < 0.5
    sure = torch.randint(shape[-1], shape[:-1], generator=chance)
    return avail.scatter(-1, sure.unsqueeze(-1), True)


def random_actions(avail: Tensor, chance: torch.Generator) -> Tensor:
    """One available action in every row."""
    return torch.multinomial(avail.flatten(0, -2).float(), 1, generator=chance).view(
        avail.shape[:-1]
    )


def make_learner(
    alg: str,
    info: EnvInfo = INFO,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    **updates: Any,
) -> Learner:
    """A small learner with random networks; `updates` are keys of its YAML."""
    small: dict[str, Any] = {"rnn_hidden_dim": 8}
    if alg in CONTINUOUS:
        info, small = CONTINUOUS_INFO if info is INFO else info, {"hidden_dim": 8}
    if alg in SAMPLED:
        small |= {"behaviour_hidden_dim": 8, "behaviour_steps": 1, "n_samples": 5}
    settings = load_settings(alg, ENV_OF[alg], small | updates)
    torch.manual_seed(seed)
    mac = mac_REGISTRY[settings.run.mac](info, settings)
    learner = le_REGISTRY[settings.run.learner](mac, info, settings.learner, CPU)
    learner.networks.to(dtype)
    return learner


def train(learner: Learner, *batches: EpisodeBatch) -> list[dict[str, Tensor]]:
    """One step on each batch, its actions made continuous if the learner needs that."""
    continuous = isinstance(getattr(learner, "_mac", None), GaussianMAC)
    return [learner.train(as_continuous(b) if continuous else b) for b in batches]


def as_continuous(batch: EpisodeBatch) -> EpisodeBatch:
    """The same batch with actions within the bounds of CONTINUOUS_INFO for its discrete ones."""
    if batch.actions.is_floating_point():
        return batch
    share = (batch.actions / (INFO.n_actions - 1)).to(batch.obs.dtype)
    actions = torch.stack([4 * share - 2, batch.obs[..., 0].sigmoid()], dim=-1)
    return replace(batch, actions=actions, avail_actions=batch.avail_actions[..., :0])


def parameters(learner: Learner) -> dict[str, Tensor]:
    """A copy of every parameter, targets included."""
    return {k: v.clone() for k, v in learner.networks.state_dict().items()}


def same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    """The same names with the same bits."""
    return ours.keys() == theirs.keys() and all(torch.equal(v, theirs[k]) for k, v in ours.items())


def _repeat_last_row(batch: EpisodeBatch) -> EpisodeBatch:
    row = torch.minimum(torch.arange(batch.mask.shape[1] + 1), batch.lengths[:, None])
    episode = torch.arange(batch.batch_size)[:, None]
    names = ("obs", "state", "avail_actions", "actions")
    return replace(batch, **{name: batch.tensors()[name][episode, row] for name in names})
