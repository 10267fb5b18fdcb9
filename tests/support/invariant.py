"""Made-up data sets of many shapes, for what must hold in all of them."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from scipy.linalg import block_diag

from mixedflow.model import crossproducts

# Shrinking a failure takes minutes; the seed in the message is enough to repeat it.
checked = settings(
    derandomize=True,
    deadline=None,
    max_examples=25,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)


# q, blocks: with one or several groups of correlated effects
SHAPES = [(1, (1,)), (2, (2,)), (2, (1, 1)), (3, (3,)), (3, (1, 1, 1)), (3, (2, 1))]
CORRELATED = [shape for shape in SHAPES if shape[1][0] > 1]  # the intercept with the slope of x


def simulate(seed, J, shape, method):
    """X = (1, x, w), Z = (1, x, v) or its first columns."""
    rng = np.random.default_rng(seed)
    q, blocks = shape
    sizes = rng.integers(1, 13, J)
    # Half of the clusters are large enough for more rows than random effects over all.
    sizes[: J // 2 + 1] = np.maximum(sizes[: J // 2 + 1], 2 * q + 2)
    cluster = rng.permutation(np.repeat(np.arange(J), sizes))
    n = len(cluster)
    x, w, v = rng.normal(size=(3, n))
    X, Z = np.column_stack([np.ones(n), x, w]), np.column_stack([np.ones(n), x, v])[:, :q]
    half = block_diag(*(np.tril(rng.normal(size=(size, size))) for size in blocks))
    u = rng.normal(size=(J, q)) @ half.T * rng.choice([0.0, 0.3, 1.0, 3.0])
    y = X @ rng.normal(size=3) + np.einsum("nq,nq->n", Z, u[cluster]) + rng.normal(size=n)
    return {"y": y, "X": X, "Z": Z, "cluster": cluster, "method": method, "blocks": blocks}


def cases(shapes=SHAPES):
    seeds, clusters = st.integers(0, 2**32 - 1), st.integers(5, 30)
    methods = st.sampled_from(["ml", "reml"])
    return st.builds(simulate, seeds, clusters, st.sampled_from(shapes), methods)


def large(seed, sizes):
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(len(sizes)), sizes)
    n = len(codes)
    X = np.column_stack([np.ones(n), rng.normal(3.0, 1.0, n), rng.normal(size=n)])
    u = rng.normal(size=(len(sizes), 2)) * [1.0, 0.5]
    y = X @ [1.0, 0.5, -0.2] + np.einsum("nq,nq->n", X[:, :2], u[codes]) + rng.normal(size=n)
    return y, X, X[:, :2].copy(), codes


ROWS = crossproducts._CHUNK // 6  # rows in a chunk for p = 3 and q = 2
