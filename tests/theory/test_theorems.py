"""Theorems 1 and 3, Remarks 1 and 2 of the paper's appendix B, and where they would break.

Lemma 1 and Theorem 2 are in test_theorem_2.py. A property is followed by what it owes to its
conditions: an example that attains the bound, or a variant, with one factor or condition less,
that violates it.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from random_tables import GAMMAS, SAME, SIZES, TINY, distributions, numbers
from scipy.optimize import minimize
from tabular import (
    Array,
    concentrability,
    error_bound,
    evaluate_policy,
    implicit_policy,
    norm,
    pair_kernel,
    propagated_error,
    random_play,
)
from torch import Tensor


@st.composite
def kernels(draw: st.DrawFn) -> tuple[Array, Array, Array]:
    """P^pi over pairs, which pairs are seen, and the error of the unseen."""
    n_seen, n_unseen = draw(SIZES), draw(SIZES)
    seen = np.arange(n_seen + n_unseen) < n_seen
    kernel = draw(distributions(1e-3, len(seen), len(seen)))
    return kernel, seen, draw(numbers(-1, 1, n_unseen))


# Theorem 1: the error of unseen pairs


@SAME
@given(kernels(), GAMMAS)
def test_theorem_1_bounds_the_error_of_seen_pairs(
    example: tuple[Array, Array, Array], gamma: float
) -> None:
    """Eqs. 21, 26-28; the upper right block of the inverse (eq. 25) carries eps_b to eps_s."""
    kernel, seen, eps_b = example
    (a, b), (c, d) = (
        np.split(rows, [seen.sum()], axis=1)
        for rows in np.split(np.eye(len(seen)) - gamma * kernel, [seen.sum()])
    )
    schur = np.linalg.inv(d - c @ np.linalg.inv(a) @ b)
    eps_s = propagated_error(kernel, seen, eps_b, gamma)
    np.testing.assert_allclose(eps_s, -np.linalg.inv(a) @ b @ schur @ eps_b, atol=TINY)
    assert norm(schur) <= 1 / (1 - gamma) + TINY
    assert norm(eps_s) <= error_bound(kernel, seen, eps_b, gamma) + TINY


@pytest.mark.parametrize("gamma", [0.5, 0.9])
@pytest.mark.parametrize("stay", [0.1, 0.5, 0.9])
def test_theorem_1_is_attained(stay: float, gamma: float) -> None:
    """Eq. 21 with equality: one seen pair that stays or falls to one unseen pair for good.

    A bound without 1 / (1 - gamma) or 1 / (1 - gamma |P_ss|), or half of it, would be wrong.
    """
    kernel, seen, one = np.array([[stay, 1 - stay], [0, 1]]), np.array([True, False]), np.ones(1)
    eps_s, bound = (f(kernel, seen, one, gamma) for f in (propagated_error, error_bound))
    assert eps_s[0] == pytest.approx(bound)


@SAME
@given(kernels(), GAMMAS)
def test_theorem_1_error_starts_at_zero_and_grows_linearly_with_p_su(
    example: tuple[Array, Array, Array], gamma: float
) -> None:
    """Eq. 24: P_su = x U gives eps_s = x gamma (I - gamma P_ss)^-1 U eps_u + O(x^2)."""
    kernel, seen, eps_b = example
    s, u = (kernel[seen][:, part] for part in (seen, ~seen))
    s, u = s / s.sum(1, keepdims=True), u / u.sum(1, keepdims=True)

    def eps_s(x: float) -> Array:
        rows = np.vstack([np.hstack([(1 - x) * s, x * u]), kernel[~seen]])
        return propagated_error(rows, seen, eps_b, gamma)

    assert norm(eps_s(0)) <= TINY
    p_uu = kernel[~seen][:, ~seen]
    eps_u = np.linalg.solve(np.eye(len(p_uu)) - gamma * p_uu, eps_b)
    slope = gamma * np.linalg.solve(np.eye(len(s)) - gamma * s, u @ eps_u)
    np.testing.assert_allclose(eps_s(1e-7) / 1e-7, slope, atol=1e-3)


def test_theorem_1_is_about_the_bound_not_the_error() -> None:
    """The paper's "proportional to |P_su|" holds for the right side of eq. 21 alone.

    The second pair falls to a bad unseen pair, or goes to the first, which goes to the second or,
    ever more often, to an unseen pair without error: the bound grows, the largest error falls.
    """
    seen, eps_b, gamma = np.array([True, True, False, False]), np.array([1.0, 0.0]), 0.9
    errors, bounds = [], []
    for x in (0.6, 0.7, 0.8):
        kernel = np.array([[0, 1 - x, 0, x], [0.5, 0, 0.5, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
        errors.append(norm(propagated_error(kernel, seen, eps_b, gamma)))
        bounds.append(error_bound(kernel, seen, eps_b, gamma))
    assert errors[0] > errors[1] > errors[2]
    assert bounds[0] < bounds[1] < bounds[2]


def extrapolation_error(
    real: Array, data: Array, rewards: Array, pi: Array, gamma: float
) -> tuple[Array, Array]:
    """eps_MDP = Q_M - Q_B (eq. 22) and what is left of it, eps - gamma P eps, over pairs."""
    eps = np.subtract(*(evaluate_policy(rewards, p, pi, gamma) for p in (real, data)))
    return eps, eps - gamma * pair_kernel(real, pi) @ eps


@SAME
@given(st.data(), SIZES, SIZES, GAMMAS)
def test_theorem_1_starts_from_the_error_of_a_deterministic_mdp(
    data: st.DataObject, s: int, a: int, gamma: float
) -> None:
    """Eqs. 22-23: errors begin at unseen pairs alone, which the batch sends to state 0."""
    real = np.eye(s)[data.draw(arrays(np.int64, (s, a), elements=st.integers(0, s - 1)))]
    seen = data.draw(arrays(np.bool_, (s, a)))
    batch = np.where(seen[..., None], real, np.eye(s)[0])
    rewards, pi = data.draw(numbers(-1, 1, s, a, s)), data.draw(distributions(1e-3, s, a))
    eps, source = extrapolation_error(real, batch, rewards, pi, gamma)
    seen = seen.ravel()
    assert norm(source[seen]) <= TINY
    bound = error_bound(pair_kernel(real, pi), seen, source[~seen], gamma)
    assert norm(eps[seen]) <= bound + TINY


def test_theorem_1_needs_a_deterministic_mdp() -> None:
    """Eq. 23 fails where a seen pair's frequencies are not its probabilities."""
    real = np.array([[[0.5, 0.5]], [[0.0, 1.0]]])
    batch = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    rewards = np.array([[[1.0, 0.0]], [[0.0, 0.0]]])
    eps, source = extrapolation_error(real, batch, rewards, np.ones((2, 1)), 0.9)
    assert eps[0] < -1
    assert source[0] < -1


# Remark 2: the policy under the constraint


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


# Theorem 3: one regression for each agent


def outer(parts: list[Array], combine: np.ufunc) -> Array:
    """(A_1,...,A_n): one number of each agent combined for every joint action."""
    table = parts[0]
    for part in parts[1:]:
        table = combine.outer(table, part)
    return table


def marginal(table: Array, agent: int) -> Array:
    """(A_i): the sum over the other agents' actions."""
    return table.sum(tuple(j for j in range(table.ndim) if j != agent))


def joint_gradient(weights: Array, policies: list[Array]) -> float:
    """The largest derivative of sum_a weights(a) sum_i log pi_i(a_i) by the agents' logits."""
    logits = [torch.tensor(np.log(pi), requires_grad=True) for pi in policies]
    target = torch.tensor(weights)
    log_pi = [torch.log_softmax(x, 0) for x in logits]
    shapes = [[-1 if i == j else 1 for j in range(len(policies))] for i in range(len(policies))]
    total: Tensor = sum((x.reshape(s) for x, s in zip(log_pi, shapes, strict=True)), target * 0)
    (target * total).sum().backward()
    return max(float(x.grad.abs().max()) for x in logits if x.grad is not None)


@st.composite
def teams(draw: st.DrawFn) -> tuple[list[Array], list[Array]]:
    """w_i Q_i and mu_i of two or three agents."""
    sizes = draw(st.lists(st.integers(2, 3), min_size=2, max_size=3))
    utilities = [draw(st.floats(0, 2)) * draw(numbers(-2, 2, a)) for a in sizes]
    return utilities, [draw(distributions(0.02, a)) for a in sizes]


@SAME
@given(teams(), st.floats(-3, 3), st.floats(0.2, 10))
def test_theorem_3(team: tuple[list[Array], list[Array]], bias: float, alpha: float) -> None:
    """Eqs. 51-54, if the agents' behaviour policies are independent."""
    utilities, mus = team
    q_tot, mu = outer(utilities, np.add) + bias, outer(mus, np.multiply)
    weights = implicit_policy(q_tot.ravel(), mu.ravel(), alpha).reshape(mu.shape)
    terms = [m * np.exp(q / alpha) for q, m in zip(utilities, mus, strict=True)]
    closed = [term / term.sum() for term in terms]
    for i, policy in enumerate(closed):
        np.testing.assert_allclose(marginal(weights, i), policy, atol=1e-12)
    assert joint_gradient(weights, closed) < 1e-12
    uniform = [np.full(len(m), 1 / len(m)) for m in mus]
    spread = max(norm(p - u) for p, u in zip(closed, uniform, strict=True))
    assert joint_gradient(weights, uniform) == pytest.approx(spread, abs=1e-12)


def test_theorem_3_needs_a_linear_decomposition() -> None:
    """Eq. 53 fails for Q_tot = Q_1 + Q_2 + [a_1 = a_2 = 1]: the other agent's action matters."""
    utilities, mus = [np.array([0.0, 0.5])] * 2, [np.array([0.5, 0.5])] * 2
    closed = [implicit_policy(q, m, 1.0) for q, m in zip(utilities, mus, strict=True)]
    linear, mu = outer(utilities, np.add), outer(mus, np.multiply)
    for bonus, holds in ((0.0, True), (1.0, False)):
        q_tot = linear + bonus * np.diag([0, 1])
        weights = implicit_policy(q_tot.ravel(), mu.ravel(), 1.0).reshape(2, 2)
        assert (joint_gradient(weights, closed) < 1e-12) == holds
        assert holds or joint_gradient(weights, closed) > 0.05


def test_theorem_3_needs_independent_behaviour() -> None:
    """Eq. 54 replaces mu(a) by the product of mu_i(a_i); agents that match break it."""
    utilities, mu = [np.array([0.0, 2.0])] * 2, np.array([[0.45, 0.05], [0.05, 0.45]])
    q_tot = outer(utilities, np.add)
    weights = implicit_policy(q_tot.ravel(), mu.ravel(), 1.0).reshape(2, 2)
    closed = [implicit_policy(q, marginal(mu, i), 1.0) for i, q in enumerate(utilities)]
    assert joint_gradient(weights, closed) > 0.05


def test_theorem_3_partition_depends_on_the_joint_history() -> None:
    """Eq. 51: w_i(tau) enters Z_i, so Z_i(tau_i) is one number for each tau, not for each tau_i.

    One agent cannot tell two equally likely tau apart, whose w_i are 0 and 4. The regression's
    solution is the mean of its weights over the two; one Z_i for both gives another policy.
    """
    q, mu = np.array([0.0, 1.0]), np.array([0.5, 0.5])
    joint = np.mean([implicit_policy(w * q, mu, 1.0) for w in (0, 4)], axis=0)
    pooled = np.mean([mu * np.exp(w * q) for w in (0, 4)], axis=0)
    pooled /= pooled.sum()
    assert joint_gradient(joint, [joint]) < 1e-12
    assert joint_gradient(joint, [pooled]) > 0.1


# Remark 1: concentrability in the MMDP

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
