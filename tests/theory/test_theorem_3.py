"""Theorem 3: one regression for each agent, and where the decomposition would break."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from random_tables import SAME, distributions, numbers
from tabular import Array, implicit_policy, norm
from torch import Tensor


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
