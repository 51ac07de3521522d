"""Theorem 1: the error of unseen pairs, and where the statement would break.

In all files of this folder a property is followed by what it owes to its conditions: an example
that attains the bound, or a variant, with one factor or condition less, that violates it.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from random_tables import GAMMAS, SAME, SIZES, TINY, distributions, numbers
from tabular import Array, error_bound, evaluate_policy, norm, pair_kernel, propagated_error


@st.composite
def kernels(draw: st.DrawFn) -> tuple[Array, Array, Array]:
    """P^pi over pairs, which pairs are seen, and the error of the unseen."""
    n_seen, n_unseen = draw(SIZES), draw(SIZES)
    seen = np.arange(n_seen + n_unseen) < n_seen
    kernel = draw(distributions(1e-3, len(seen), len(seen)))
    return kernel, seen, draw(numbers(-1, 1, n_unseen))


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
