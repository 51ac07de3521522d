"""Remark 1, concentrability in the MMDP, and Remark 2, the policy under the constraint."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_tables import GAMMAS, SAME
from scipy.optimize import minimize
from tabular import Array, concentrability, implicit_policy, random_play

PRINTED = np.array([[1, 0], [0.5, 0.5]])  # eq. 43


def coverage(n_agents: int, m: int) -> Array:
    """rho(s) = m / 2^(n+1) (eq. 44)."""
    return np.full(2, m / 2 ** (n_agents + 1))


@pytest.mark.parametrize("n_agents", range(1, 8))
def test_remark_1_transitions_hold_for_an_odd_number_of_agents(n_agents: int) -> None:
    """Eq. 43, as we understand the MMDP: an even number of agents can tie, and a tie leaves."""
    same = np.array_equal(random_play(n_agents), PRINTED)
    assert same == (n_agents % 2 == 1)
    if not same:
        assert random_play(n_agents)[1, 0] > 0.5


@SAME
@given(GAMMAS, st.floats(0, 1), st.integers(1, 64))
def test_remark_1_grows_with_the_number_of_agents(gamma: float, first: float, m: int) -> None:
    """Eq. 42 with rho of eq. 44: for the P of eq. 43, where C doubles, and for the enumerated P.

    The policies are the uniform ones, as in the proof. For eq. 43,
    c(k) = (1 - (1 - first) 2^-k) / rho, whose sum is known in closed form.
    """
    start, agents = np.array([first, 1 - first]), range(1, 8)
    printed = [concentrability(PRINTED, start, coverage(n, m), gamma) for n in agents]
    inside = 1 - (1 - first) * (1 - gamma) ** 2 * 0.5 / (1 - gamma / 2) ** 2
    np.testing.assert_allclose(printed, [2 ** (n + 1) / m * inside for n in agents], rtol=1e-9)
    counted = [concentrability(random_play(n), start, coverage(n, m), gamma) for n in agents]
    for found in (printed, counted):
        assert (np.diff(found) > 0).all()


def test_remark_1_needs_rho_to_be_a_coverage() -> None:
    """Eq. 44's rho is no distribution over states unless m = 2^n, and eq. 42 rests on that.

    The definition printed before it, the share of the data in s, does not depend on n: with it
    C is the same for every number of agents.
    """
    m, start = 16, np.array([0.0, 1.0])
    sums = [coverage(n, m).sum() for n in range(1, 8)]
    assert [n for n, total in enumerate(sums, 1) if total == 1] == [4]
    share = np.full(2, 0.5)  # m / 2 of the m pairs in each state
    found = {concentrability(random_play(n), start, share, 0.9) for n in (1, 3, 5, 7)}
    assert len(found) == 1


def divergence(pi: Array, mu: Array) -> float:
    """D_KL(pi || mu)."""
    return float((pi * np.log(pi / mu)).sum())


def constrained_optimum(q: Array, mu: Array, epsilon: float) -> Array:
    """The policy of eq. 46, found numerically."""
    kl = {"type": "ineq", "fun": lambda pi: epsilon - divergence(pi, mu)}
    kl["jac"] = lambda pi: -np.log(pi / mu) - 1
    one = {"type": "eq", "fun": lambda pi: pi.sum() - 1, "jac": np.ones_like}
    start = (mu + implicit_policy(q, mu, 10)) / 2
    bounds, options = [(1e-9, 1)] * len(q), {"ftol": 1e-12, "maxiter": 300}
    found = minimize(
        lambda pi: -pi @ q, start, jac=lambda _: -q, method="SLSQP", bounds=bounds,
        constraints=[kl, one], options=options,
    )  # fmt: skip
    assert found.success
    return found.x


@pytest.mark.parametrize("seed", range(6))
def test_remark_2(seed: int) -> None:
    """Eqs. 46-50: mu exp(Q/alpha)/Z is the best policy within its own distance of mu."""
    chance = np.random.default_rng(seed)
    q, mu, alpha = chance.normal(size=4), chance.dirichlet(np.full(4, 3.0)), chance.uniform(0.5, 3)
    closed = implicit_policy(q, mu, alpha)
    epsilon = divergence(closed, mu)
    np.testing.assert_allclose(constrained_optimum(q, mu, epsilon), closed, atol=1e-4)
    colder, warmer = (implicit_policy(q, mu, x * alpha) for x in (0.8, 1.25))
    assert divergence(colder, mu) > epsilon
    assert warmer @ q < closed @ q - 1e-3
    without_mu = implicit_policy(q, np.full(4, 0.25), alpha)
    assert divergence(without_mu, mu) > epsilon or without_mu @ q < closed @ q


def test_remark_2_needs_an_active_constraint() -> None:
    """Eq. 47 has alpha > 0 only for epsilon < -log mu(a*); beyond it the greedy policy is best."""
    q, mu = np.array([1.0, 0.0, -1.0]), np.array([0.2, 0.5, 0.3])
    found = constrained_optimum(q, mu, -np.log(0.2) + 0.1)
    np.testing.assert_allclose(found, [1, 0, 0], atol=1e-4)
