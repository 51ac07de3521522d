"""Lemma 1 and Theorem 2 of the paper's appendix B on random tables, and where they would break.

A property is followed by what it owes to its conditions: an example that attains the bound, or
a variant, with one factor or condition less, that violates it.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_tables import ALPHAS, GAMMAS, SAME, SIZES, TINY, distributions, numbers
from tabular import (
    Array,
    Mdp,
    bcq_value,
    distance_sum,
    distances,
    expert_ratio,
    exponential_sum,
    icq_value,
    iterates,
    lemma_bound,
    optimum,
    steps_until,
    t_bcq,
    t_icq,
)


@st.composite
def mdps(draw: st.DrawFn) -> Mdp:
    """Random MDPs whose behaviour policy takes every action."""
    s, a = draw(SIZES), draw(SIZES)
    p = draw(distributions(1e-3, s, a, s))
    return Mdp(draw(numbers(-1, 1, s, a)), p, draw(distributions(0.02, s, a)), draw(GAMMAS))


@st.composite
def mdps_and_values(draw: st.DrawFn) -> tuple[Mdp, Array]:
    """An MDP and a Q0 with |Q0| <= Qmax."""
    mdp = draw(mdps())
    return mdp, mdp.q_max * draw(numbers(-1, 1, *mdp.rewards.shape))


# Lemma 1: the distance between the two targets


@SAME
@given(st.data(), SIZES, st.integers(2, 6), ALPHAS, st.sampled_from([0.3, 1.0, 5.0]))
def test_lemma_1(data: st.DataObject, s: int, a: int, alpha: float, q_max: float) -> None:
    """Eqs. 30-33 and Lemma 1; it needs |Q| <= Qmax, and C of the very Q it is about."""
    q, mu = q_max * data.draw(numbers(-1, 1, s, a)), data.draw(distributions(0.02, s, a))
    c = expert_ratio(q, mu)
    loss = bcq_value(q, mu) - icq_value(q, mu, alpha)
    assert (loss >= -TINY).all()
    assert (loss <= distance_sum(q, c, alpha) + TINY).all()
    assert (distance_sum(q, c, alpha) <= lemma_bound(a, c, alpha, q_max) + TINY).all()


@SAME
@given(st.floats(0, 1), st.floats(1e-2, 1e2), ALPHAS, st.floats(1, 5))
def test_lemma_1_case_by_case(fraction: float, c: float, alpha: float, q_max: float) -> None:
    """Eq. 34 for 1 < delta <= 2 Qmax, eq. 35 for 0 <= delta <= 1."""
    far, near = 1 + fraction * (2 * q_max - 1), fraction

    def term(delta: float) -> float:
        return delta / (1 + c * np.exp(delta / alpha))

    assert term(far) <= 2 * q_max / (1 + c * np.exp(1 / alpha)) + TINY
    assert term(near) <= 1 / ((1 / alpha + 1) * c + 1) + TINY


def loss_and_bound(
    q: list[float], mu: list[float], alpha: float, q_max: float
) -> tuple[float, float]:
    """Both sides of Lemma 1 in one state."""
    values, behaviour = np.array([q]), np.array([mu])
    c = expert_ratio(values, behaviour)
    loss = bcq_value(values, behaviour) - icq_value(values, behaviour, alpha)
    return float(loss[0]), lemma_bound(len(q), c, alpha, q_max)


@pytest.mark.parametrize(
    ("q", "q_max"), [([0.5, -0.5], 0.5), ([3.0, -3.0], 3.0)], ids=["delta <= 1", "delta > 1"]
)
def test_lemma_1_is_attained_as_alpha_grows(q: list[float], q_max: float) -> None:
    """The two terms of the maximum; a halved bound would be wrong."""
    loss, bound = loss_and_bound(q, [0.8, 0.2], 1e6, q_max)
    assert loss == pytest.approx(bound, rel=1e-4)


def test_lemma_1_needs_its_factors_and_conditions() -> None:
    """Without |A|-1, without the behaviour weights, for |Q| > Qmax or another Q's C it fails."""
    loss, bound = loss_and_bound([0.5, -0.5, -0.5, -0.5], [0.97, 0.01, 0.01, 0.01], 10, 0.5)
    assert bound / 3 < loss < bound
    loss, bound = loss_and_bound([5.0, -5.0], [0.5, 0.5], 100, 1)
    assert loss > bound
    q, rare, alpha = np.array([[0.5, -0.5]]), np.array([[0.01, 0.99]]), 0.5
    of_another_q = lemma_bound(2, expert_ratio(-q, rare), alpha, 0.5)
    assert 0.5 - icq_value(q, rare, alpha)[0] > of_another_q
    usual = rare[:, ::-1]
    bound = lemma_bound(2, expert_ratio(q, usual), alpha, 0.5)
    assert 0.5 - icq_value(q, usual, alpha)[0] <= bound
    assert 0.5 - icq_value(q, np.full((1, 2), 0.5), alpha)[0] > bound


# Theorem 2: iterating the operators


@SAME
@given(mdps_and_values(), ALPHAS)
def test_theorem_2_limits(example: tuple[Mdp, Array], alpha: float) -> None:
    """Eq. 36, |Q0| <= Qmax, with C of the Q-functions that occur and with C of Q* alone.

    The printed proof needs the first. The second, often larger C is enough, too: where the expert
    a of Q* is not the best of Q, the target still loses no more than Q*(a) - Q(a) and the terms
    of eq. 33 for the actions below Q(a), and the first part is discounted.
    """
    mdp, q0 = example
    found = iterates(t_icq(mdp, alpha), q0, steps_until(mdp) + 20)
    best, last = optimum(mdp), found[-20:]
    assert (last.max(0) <= best + TINY).all()
    for c in (expert_ratio(found, mdp.mu), expert_ratio(best, mdp.mu)):
        bound = lemma_bound(best.shape[1], c, alpha, mdp.q_max)
        assert (last.min(0) >= best - mdp.gamma / (1 - mdp.gamma) * bound - TINY).all()


@SAME
@given(mdps_and_values(), ALPHAS)
def test_theorem_2_after_every_step(example: tuple[Mdp, Array], alpha: float) -> None:
    """Eqs. 37-41; zeta, C, delta are extrema over all states and the iterates of T_ICQ."""
    mdp, q0 = example
    icq, bcq = (iterates(t, q0, 30) for t in (t_icq(mdp, alpha), t_bcq(mdp)))
    gap = (bcq - icq).max((1, 2))
    assert (bcq >= icq - TINY).all()
    zeta = (bcq_value(icq, mdp.mu) - icq_value(icq, mdp.mu, alpha)).max()
    c = expert_ratio(icq, mdp.mu)
    discounts = mdp.gamma * (1 - mdp.gamma ** np.arange(31)) / (1 - mdp.gamma)
    sums = [f(icq, c, alpha).max() for f in (distance_sum, exponential_sum)]
    assert zeta <= sums[0] + TINY
    assert sums[0] <= sums[1] + TINY
    for bound in (zeta, *sums):
        assert (gap <= discounts * bound + TINY).all()


def bandit(mu: list[float], rewards: list[float], gamma: float = 0.5) -> Mdp:
    """One state that is never left."""
    return Mdp(np.array([rewards]), np.ones((1, len(rewards), 1)), np.array([mu]), gamma)


def test_theorem_2_is_attained_after_every_step() -> None:
    """Eq. 37 with equality: in one state with Q0 = r every iterate has the same distances."""
    mdp = bandit([0.7, 0.3], [0.5, -0.5])
    icq, bcq = (iterates(t, mdp.rewards, 30) for t in (t_icq(mdp, 2.0), t_bcq(mdp)))
    zeta = 0.5 - icq_value(mdp.rewards, mdp.mu, 2.0)[0]
    expected = [sum(mdp.gamma**j * zeta for j in range(1, k + 1)) for k in range(31)]
    np.testing.assert_allclose((bcq - icq).max((1, 2)), expected, rtol=1e-9)
    assert zeta > 0.1


def test_theorem_2_fails_for_other_operators() -> None:
    """Eq. 36: Q-learning over unseen actions is too high, plain softmax and SARSA are too low."""
    unseen = bandit([0.5, 0.5, 0.0], [0.5, -0.5, 9.0])
    best = optimum(unseen)[0, 0]
    count = steps_until(unseen)
    icq = iterates(t_icq(unseen, 0.5), np.zeros((1, 3)), count)[-1]
    greedy = iterates(lambda q: unseen.rewards + 0.5 * q.max(), np.zeros((1, 3)), count)[-1]
    assert icq[0, 0] <= best < greedy[0, 0] - 5
    mdp, alpha = bandit([0.99, 0.01], [0.5, -0.5]), 1.0
    c = expert_ratio(mdp.rewards, mdp.mu)
    least = optimum(mdp)[0, 0] - lemma_bound(2, c, alpha, mdp.q_max)
    plain = bandit([0.5, 0.5], [0.5, -0.5])
    last = [iterates(t_icq(m, alpha), np.zeros((1, 2)), count)[-1, 0, 0] for m in (mdp, plain)]
    assert last[1] < least <= last[0]
    alpha, count = 0.05, steps_until(mdp)
    even = expert_ratio(plain.rewards, plain.mu)
    least = optimum(plain)[0, 0] - lemma_bound(2, even, alpha, plain.q_max)
    sarsa = iterates(t_icq(plain, 1e9), np.zeros((1, 2)), count)[-1, 0, 0]
    assert sarsa < least <= iterates(t_icq(plain, alpha), np.zeros((1, 2)), count)[-1, 0, 0]


def fixed_mdp() -> Mdp:
    """Three states, three actions, drawn once."""
    chance = np.random.default_rng(1)
    p, mu = chance.dirichlet(np.ones(3), (3, 3)), chance.dirichlet(np.ones(3), 3)
    return Mdp(chance.uniform(-1, 1, (3, 3)), p, mu, 0.8)


def test_theorem_2_gap_falls_exponentially_in_one_over_alpha() -> None:
    """Eq. 41 in the limit: log of the gap against 1/alpha has the slope -delta_i* of Q*."""
    mdp = fixed_mdp()
    best, coldness = optimum(mdp), np.array([30.0, 40.0, 50.0])
    gaps = [
        (best - iterates(t_icq(mdp, 1 / x), best, steps_until(mdp))[-1]).max() for x in coldness
    ]
    delta = distances(best)
    np.testing.assert_allclose(
        np.diff(np.log(gaps)) / np.diff(coldness), -delta[delta > 0].min(), rtol=0.05
    )


def test_theorem_2_bound_itself_falls_only_linearly_in_alpha() -> None:
    """Eq. 36: the bound is about (|A|-1) alpha / C for small alpha; only eq. 41 is exponential."""
    for alpha in (1e-2, 5e-3, 2e-3):
        assert lemma_bound(4, 2.0, alpha, 10) == pytest.approx(3 * alpha / 2, rel=0.02)


def fork() -> tuple[Mdp, Array]:
    """State 0 leads to 1, 1 to 2 or 3, which pay nothing for ever; Q0 is 1 in state 2.

    State 4 is by itself: its reward makes Qmax large enough for Q0.
    """
    following = np.array([[1, 1], [2, 3], [2, 2], [3, 3], [4, 4]])
    rewards, q0 = np.zeros((5, 2)), np.zeros((5, 2))
    rewards[4] = q0[2] = 1
    return Mdp(rewards, np.eye(5)[following], np.full((5, 2), 0.5), 0.9), q0


def test_theorem_2_exponential_decay_is_not_uniform_in_k() -> None:
    """Eq. 41 is exponential only if delta_i* stays away from zero over the iterates.

    In the fork it falls as gamma^k: after a fixed k the gap is exponentially small in 1/alpha, in
    the limit of k it is zero, but its largest value over k falls only linearly in alpha.
    """
    mdp, q0 = fork()
    assert np.abs(q0).max() <= mdp.q_max
    bcq = iterates(t_bcq(mdp), q0, 300)
    for alpha in (0.1, 0.03, 0.01, 0.003):
        gaps = (bcq - iterates(t_icq(mdp, alpha), q0, 300)).max((1, 2))
        assert 0.2 * alpha < gaps.max() < 0.3 * alpha
        assert gaps[2] < np.exp(-0.8 / alpha)
        assert gaps[-1] < 1e-9


def test_theorem_2_distances_are_not_those_of_the_state_on_the_left() -> None:
    """Eqs. 40-41 bound the gap of one state by the distances of the states that follow it."""
    mdp, q0 = fork()
    alpha, steps = 0.5, 3
    icq, bcq = (iterates(t, q0, steps) for t in (t_icq(mdp, alpha), t_bcq(mdp)))
    assert (distances(icq)[:, 0] == 0).all()
    assert (bcq - icq)[-1, 0].max() > 0.05
