"""Appendix B in tables: errors of unseen pairs, the ICQ and BCQ operators, concentrability.

S states, A actions. Every pair has mu > 0 (the actions are batch-constrained) unless said
otherwise. Equation numbers are those of the paper's appendix.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Operator = Callable[[Array], Array]


@dataclass(frozen=True)
class Mdp:
    """rewards (S,A), transitions (S,A,S), mu (S,A)."""

    rewards: Array
    transitions: Array
    mu: Array
    gamma: float

    @property
    def q_max(self) -> float:
        """Rmax / (1 - gamma)."""
        return float(np.abs(self.rewards).max() / (1 - self.gamma))


def norm(matrix: Array) -> float:
    """The infinity norm of a vector or matrix, the largest absolute row sum; 0 if it is empty."""
    return float(np.abs(matrix).sum(axis=tuple(range(1, matrix.ndim))).max(initial=0))


def pair_kernel(transitions: Array, pi: Array) -> Array:
    """(SA,SA): P^pi[(s,a),(s',a')] = P(s'|s,a) pi(a'|s')."""
    return np.einsum("sat,tb->satb", transitions, pi).reshape(pi.size, pi.size)


def evaluate_policy(rewards: Array, transitions: Array, pi: Array, gamma: float) -> Array:
    """(SA): Q^pi for rewards r(s,a,s') of shape (S,A,S)."""
    kernel, mean = pair_kernel(transitions, pi), (transitions * rewards).sum(-1).ravel()
    return np.linalg.solve(np.eye(pi.size) - gamma * kernel, mean)


def propagated_error(kernel: Array, seen: Array, eps_b: Array, gamma: float) -> Array:
    """eps = (I - gamma P)^-1 [0; eps_b] (eq. 24) of the seen pairs."""
    source = np.zeros(len(kernel))
    source[~seen] = eps_b
    return np.linalg.solve(np.eye(len(kernel)) - gamma * kernel, source)[seen]


def error_bound(kernel: Array, seen: Array, eps_b: Array, gamma: float) -> float:
    """gamma |P_su| |eps_b| / ((1 - gamma)(1 - gamma |P_ss|)) (eq. 21)."""
    p_ss, p_su = kernel[seen][:, seen], kernel[seen][:, ~seen]
    return gamma * norm(p_su) * norm(eps_b) / ((1 - gamma) * (1 - gamma * norm(p_ss)))


def implicit_policy(q: Array, mu: Array, alpha: float) -> Array:
    """mu exp(Q/alpha) / Z (eq. 29); a pair with mu = 0 has no weight, whatever its Q is."""
    with np.errstate(divide="ignore"):
        logits = np.log(mu) + q / alpha
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def icq_value(q: Array, mu: Array, alpha: float) -> Array:
    """(...,S): f_alpha(Q)^T Q."""
    return (implicit_policy(q, mu, alpha) * q).sum(-1)


def bcq_value(q: Array, mu: Array) -> Array:
    """(...,S): the largest Q of the actions in the batch."""
    return np.where(mu > 0, q, -np.inf).max(-1)


def t_icq(mdp: Mdp, alpha: float) -> Operator:
    """T_ICQ."""
    return lambda q: mdp.rewards + mdp.gamma * mdp.transitions @ icq_value(q, mdp.mu, alpha)


def t_bcq(mdp: Mdp) -> Operator:
    """T_BCQ."""
    return lambda q: mdp.rewards + mdp.gamma * mdp.transitions @ bcq_value(q, mdp.mu)


def iterates(operator: Operator, q: Array, count: int) -> Array:
    """(count+1,S,A): Q0, T Q0, ..., T^count Q0."""
    found = [q]
    for _ in range(count):
        found.append(operator(found[-1]))
    return np.stack(found)


def steps_until(mdp: Mdp, error: float = 1e-10) -> int:
    """The number k of steps with gamma^k <= error."""
    return int(np.ceil(np.log(error) / np.log(mdp.gamma)))


def optimum(mdp: Mdp) -> Array:
    """(S,A): Q*, the fixed point of T_BCQ."""
    return iterates(t_bcq(mdp), np.zeros_like(mdp.rewards), steps_until(mdp))[-1]


def distances(q: Array) -> Array:
    """(...,S,A): delta(s,a) = max_a Q(s,a) - Q(s,a)."""
    return q.max(-1, keepdims=True) - q


def expert_ratio(q: Array, mu: Array) -> float:
    """C: the least mu(a[1]|s) / mu(a[i]|s), a[1] maximising Q, over states, i >= 2 and all Q given.

    Q (...,S,A). Where several actions are best, the first is a[1].
    """
    best = np.eye(q.shape[-1], dtype=bool)[q.argmax(-1)]
    mu = np.broadcast_to(mu, q.shape)
    ratio = mu[best].reshape(*q.shape[:-1], 1) / mu
    return float(ratio[~best].min())


def lemma_bound(n_actions: int, c: float, alpha: float, q_max: float) -> float:
    """The right side of Lemma 1."""
    near, far = 1 / ((1 / alpha + 1) * c + 1), 2 * q_max / (1 + c * np.exp(1 / alpha))
    return float((n_actions - 1) * max(near, far))


def distance_sum(q: Array, c: float, alpha: float) -> Array:
    """(...,S): sum_{i>=2} delta_i / (1 + C exp(delta_i/alpha)), the right side of eq. 33."""
    delta = distances(q)
    return (delta / (1 + c * np.exp(delta / alpha))).sum(-1)


def exponential_sum(q: Array, c: float, alpha: float) -> Array:
    """(...,S): exp(-delta_i*/alpha) sum_i delta_i / C (eq. 41), delta_i* the least positive one."""
    delta = distances(q)
    least = np.where(delta > 0, delta, np.inf).min(-1)
    return np.exp(-least / alpha) * delta.sum(-1) / c


def random_play(n_agents: int) -> Array:
    """(2,2): the MMDP's transitions when every agent plays A(1) = 1 and A(2) = 0 equally often.

    The second state is left when at most half of the agents choose A(1); the first absorbs.
    """
    joint_actions = list(itertools.product((0, 1), repeat=n_agents))
    leaving = np.mean([2 * sum(actions) <= n_agents for actions in joint_actions])
    return np.array([[1, 0], [leaving, 1 - leaving]])


def concentrability(p: Array, start: Array, rho: Array, gamma: float, steps: int = 500) -> float:
    """(1 - gamma)^2 sum_k k gamma^(k-1) c(k), c(k) the least c with (start P^k)(s) <= c rho(s)."""
    total, reached = 0.0, start
    for k in range(1, steps + 1):
        reached = reached @ p
        total += k * gamma ** (k - 1) * (reached / rho).max()
    return float((1 - gamma) ** 2 * total)
