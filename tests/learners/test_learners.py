"""What every learner must do, whatever it learns: one tester for all algorithms."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from batches import (
    CONTINUOUS,
    INFO,
    LEARNT,
    PER_BATCH,
    SAMPLED,
    TARGETED,
    make_learner,
    parameters,
    random_batch,
    same,
    train,
    with_garbage,
)
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from components.episode_batch import EpisodeBatch
from learners.base import Learner

F64 = torch.float64
BATCHES = [random_batch(seed=seed) for seed in range(5)]
aten = torch.ops.aten
WAITS = {aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten.equal, aten.is_nonzero}
INDEXING = {aten.index, aten.index_put, aten.index_put_}


class NoWait(TorchDispatchMode):
    """Refuses every operation whose result the host would have to wait for.

    Adam counts its steps in tensors that always live on the CPU; reading those waits for nothing.
    """

    def __init__(self, learner: Learner) -> None:
        super().__init__()
        self._learner = learner

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        packet = func.overloadpacket
        by_mask = packet in INDEXING and any(_is_bool(index) for index in args[1])
        if by_mask or (packet in WAITS and not self._counts_steps(args[0])):
            raise AssertionError(f"{func} makes the host wait")
        return func(*args, **(kwargs or {}))

    def _counts_steps(self, value: Tensor) -> bool:
        states = [s for o in self._learner.optimisers.values() for s in o.state.values()]
        return any(value.data_ptr() == s["step"].data_ptr() for s in states if "step" in s)


def _is_bool(index: Tensor | None) -> bool:
    return index is not None and index.dtype == torch.bool


def saved(learner: Learner) -> dict[str, Any]:
    """The state as it comes back from a file."""
    file = io.BytesIO()
    torch.save(learner.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("alg", LEARNT)
def test_training_changes_every_learnt_network_and_only_those(alg: str) -> None:
    never = {"target_update_interval": 1000} if alg in TARGETED else {}
    learner = make_learner(alg, **never)
    before = parameters(learner)
    train(learner, *BATCHES)
    after = parameters(learner)
    changed = {k.split(".")[0] for k in before if not torch.equal(before[k], after[k])}
    owners = {k.split(".")[0] for k in before}
    follow = alg in CONTINUOUS  # their targets follow at every step
    assert changed == {name for name in owners if follow or not name.startswith("target_")}
    assert learner.steps == len(BATCHES)


@pytest.mark.parametrize("alg", LEARNT)
def test_garbage_in_padding_changes_no_bit(alg: str) -> None:
    clean, dirty = make_learner(alg), make_learner(alg)
    batches = BATCHES[:3]
    theirs = [with_garbage(batch, seed) for seed, batch in enumerate(batches, 10)]
    assert not torch.equal(theirs[0].obs, batches[0].obs)
    for ours, other in zip(train(clean, *batches), train(dirty, *theirs), strict=True):
        assert same(ours, other)
    assert same(parameters(clean), parameters(dirty))


@pytest.mark.parametrize("alg", [alg for alg in PER_BATCH if alg not in SAMPLED])
def test_longer_padding_changes_nothing(alg: str) -> None:
    ours, theirs = make_learner(alg, dtype=F64), make_learner(alg, dtype=F64)
    short = random_batch((4, 2, 3), dtype=F64)
    padded = EpisodeBatch.concatenate([short, random_batch((9,), dtype=F64)]).episodes([0, 1, 2])
    assert padded.mask.shape[1] > short.mask.shape[1]
    for _ in range(3):
        torch.testing.assert_close(train(theirs, padded), train(ours, short))
    torch.testing.assert_close(parameters(theirs), parameters(ours))


@pytest.mark.parametrize("alg", [alg for alg in LEARNT if alg not in SAMPLED])
def test_the_order_of_the_episodes_changes_nothing(alg: str) -> None:
    ours, theirs = make_learner(alg, dtype=F64), make_learner(alg, dtype=F64)
    for seed in range(3):
        batch = random_batch(seed=seed, dtype=F64)
        permuted = batch.episodes([2, 0, 3, 1])
        torch.testing.assert_close(train(theirs, permuted), train(ours, batch))
    torch.testing.assert_close(parameters(theirs), parameters(ours))


@pytest.mark.parametrize("alg", LEARNT)
def test_metrics_are_detached_scalars(alg: str) -> None:
    for name, value in train(make_learner(alg), *BATCHES[:2])[-1].items():
        assert isinstance(value, Tensor), name
        assert value.shape == (), name
        assert not value.requires_grad, name
        assert value.isfinite(), name


@pytest.mark.parametrize("alg", LEARNT)
def test_training_never_waits_for_the_device(alg: str) -> None:
    learner = make_learner(alg, **({"target_update_interval": 2} if alg in TARGETED else {}))
    with NoWait(learner):
        train(learner, *BATCHES)
    assert learner.steps == len(BATCHES)


@pytest.mark.parametrize(
    "wait", [lambda x: x.sum().item(), lambda x: x[x > 0], torch.nonzero, lambda x: bool(x.any())]
)
def test_the_guard_against_waiting_works(wait: Callable[[Tensor], Any]) -> None:
    x = torch.randn(3)
    with NoWait(make_learner("bc")), pytest.raises(AssertionError, match="makes the host wait"):
        wait(x)


@pytest.mark.parametrize("alg", [alg for alg in TARGETED if alg in PER_BATCH])
def test_targets_follow_exactly_every_interval(alg: str) -> None:
    learner = make_learner(alg, target_update_interval=3)
    networks = learner.networks
    twins = [name for name in networks if name.startswith("target_")]
    assert twins
    held = {name: networks[name.removeprefix("target_")].state_dict() for name in twins}
    held = {name: {k: v.clone() for k, v in state.items()} for name, state in held.items()}
    for step in range(1, 8):
        learner.train(BATCHES[step % 5])
        for name in twins:
            online = networks[name.removeprefix("target_")].state_dict()
            if step % 3 == 0:
                held[name] = {k: v.clone() for k, v in online.items()}
            assert same(networks[name].state_dict(), held[name]), (name, step)
            assert step % 3 == 0 or not held[name] or not same(online, held[name])


@pytest.mark.parametrize("alg", LEARNT)
def test_the_same_seed_gives_the_same_bits_and_another_does_not(alg: str) -> None:
    one, two, other = make_learner(alg), make_learner(alg), make_learner(alg, seed=1)
    for learner in (one, two, other):
        train(learner, *BATCHES[:3])
    assert same(parameters(one), parameters(two))
    assert not same(parameters(one), parameters(other))


@pytest.mark.parametrize("alg", LEARNT)
def test_stop_and_resume_equals_not_stopping(alg: str) -> None:
    keys = {"target_update_interval": 2} if alg in TARGETED else {}
    through, stopped = make_learner(alg, **keys), make_learner(alg, **keys)
    resumed = make_learner(alg, seed=7, **keys)
    expected = train(through, *BATCHES)
    train(stopped, *BATCHES[:2])
    resumed.load_state_dict(saved(stopped))
    found = train(resumed, *BATCHES[2:])
    assert all(same(a, b) for a, b in zip(found, expected[2:], strict=True))
    assert same(parameters(resumed), parameters(through))
    assert resumed.steps == through.steps == len(BATCHES)


def _huge_rewards() -> EpisodeBatch:
    batch = random_batch()
    return replace(batch, rewards=1e4 * batch.rewards)


def _dead_agent() -> EpisodeBatch:
    batch = random_batch()
    avail, actions = batch.avail_actions.clone(), batch.actions.clone()
    avail[:, :, 0] = torch.tensor([False, True, False, False])
    actions[:, :, 0] = 1
    return replace(batch, avail_actions=avail, actions=actions)


def _no_choice() -> EpisodeBatch:
    """Of every agent's actions only the recorded one is available."""
    batch = random_batch()
    only = torch.nn.functional.one_hot(batch.actions, INFO.n_actions).bool()
    return replace(batch, avail_actions=only)


HARD = {
    "rewards of 1e4": _huge_rewards(),
    "episodes of one step": random_batch((1, 1, 1)),
    "one episode": random_batch((5,)),
    "an agent dead from the start": _dead_agent(),
    "all but one action unavailable": _no_choice(),
    "identical episodes": random_batch((6,)).episodes([0, 0, 0, 0]),
}


SWITCHES: list[dict[str, Any]] = [
    {"softmax_over": "time_step"}, {"softmax_padding": True}, {"mixer_weight": "factor"},
    {"forced_actions": True}, {"critic_first": True}, {"epsilon_floor": True},
    {"max_weight": None, "policy_temperature": 1e-3}, {"mixer": "normalised"},
]  # fmt: skip


@pytest.mark.parametrize("alg", LEARNT)
@pytest.mark.parametrize("case", list(HARD))
def test_hard_batches_stay_finite(alg: str, case: str) -> None:
    stays_finite(make_learner(alg), HARD[case])


@pytest.mark.parametrize("alg", [alg for alg in LEARNT if alg.startswith("icq")])
@pytest.mark.parametrize("temperature", [1e-3, 1e6])
@pytest.mark.parametrize("case", [*HARD, ""])
def test_extreme_temperatures_stay_finite(alg: str, temperature: float, case: str) -> None:
    keys = {"policy_temperature": temperature, "value_temperature": temperature}
    stays_finite(make_learner(alg, **keys), HARD.get(case, BATCHES[0]))


@pytest.mark.parametrize("switch", SWITCHES, ids=str)
@pytest.mark.parametrize("case", [*HARD, ""])
def test_every_way_of_the_official_code_stays_finite(switch: dict[str, Any], case: str) -> None:
    stays_finite(make_learner("icq", **switch), HARD.get(case, BATCHES[0]))


def stays_finite(learner: Learner, batch: EpisodeBatch) -> None:
    for metrics in train(learner, *[batch] * 3):
        assert all(value.isfinite() for value in metrics.values()), metrics
    assert all(value.isfinite().all() for value in parameters(learner).values())


def test_a_standard_deviation_at_its_bound_comes_back() -> None:
    learner: Any = make_learner("bc_continuous", lr=0.05)
    batch = random_batch(seed=1)
    same = replace(batch, actions=torch.zeros_like(batch.actions), obs=torch.zeros_like(batch.obs))
    for _ in range(300):
        train(learner, same)
    narrow = learner._mac.agent.std.max().item()
    for _ in range(300):
        train(learner, batch)
    assert narrow < 0.01 < 0.05 < learner._mac.agent.std.max().item()


def test_vae_weights_without_a_ceiling_stay_finite() -> None:
    keys = {"max_value_weight": None, "max_weight": None, "value_temperature": 1e-3}
    stays_finite(make_learner("icq_vae", policy_temperature=1e-3, **keys), BATCHES[0])
