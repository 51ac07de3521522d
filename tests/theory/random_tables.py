"""What the tests of the theorems draw their tables from, the same ones in every run."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tabular import Array

TINY = 1e-7  # rounding, and what gamma^k leaves after steps_until
SLOW = [HealthCheck.too_slow]  # a busy machine is no failure
SAME = settings(
    derandomize=True, database=None, deadline=None, max_examples=150, suppress_health_check=SLOW
)
GAMMAS = st.floats(0.05, 0.9)
ALPHAS = st.floats(0.05, 20)
SIZES = st.integers(2, 4)


def numbers(low: float, high: float, *shape: int) -> st.SearchStrategy[Array]:
    """Arrays of numbers between two bounds, half of them with many ties."""
    elements = st.floats(low, high)
    ties = arrays(np.float64, shape, elements=elements)
    return ties | arrays(np.float64, shape, elements=elements, fill=st.nothing())


def distributions(low: float, *shape: int) -> st.SearchStrategy[Array]:
    """Arrays whose last axis sums to one; `low` > 0 keeps every entry positive."""
    return numbers(0, 1, *shape).map(lambda x: (x + low) / (x + low).sum(-1, keepdims=True))
