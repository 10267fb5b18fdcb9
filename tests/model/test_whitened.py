"""The likelihood with residual structure, against dense covariance matrices and nlme."""

import numpy as np
import pytest

from mixedflow.model.estimation import solved
from mixedflow.model.residual_by_visit import toeplitz, unstructured
from mixedflow.model.residual_structures import (
    Exchangeable,
    Markov,
    Nugget,
    Visits,
    exchangeable_rho,
)
from mixedflow.model.search import STARTS, search
from mixedflow.model.searches import agreeing
from mixedflow.model.whitened import Rows, Whitened

V = 4
STRUCTURES = ["car1", "ar1", "unstructured", "exchangeable", "toeplitz", "nugget", "none"]
# With variances, where rows are turned at each evaluation, and without, where sums may be fixed.
CASES = [
    (s, q, v) for s in STRUCTURES for q in (0, 1, 2) for v in (True, False) if s != "none" or v
]


def simulated(seed=3, J=25):
    """Clusters seen at some of V visits, at uneven times."""
    rng = np.random.default_rng(seed)
    visit = [np.sort(rng.choice(V, rng.integers(2, V + 1), replace=False)) for _ in range(J)]
    codes = np.repeat(np.arange(J), [len(v) for v in visit])
    visit = np.concatenate(visit)
    time = visit + rng.uniform(-0.3, 0.3, len(visit))
    X = np.column_stack([np.ones(len(codes)), time, rng.normal(size=len(codes))])
    y = X @ [3.0, 1.0, 0.5] + rng.normal(size=J)[codes] + rng.normal(size=len(codes))
    return y, X, codes, visit, time


def structure(name, codes, visit, time):
    """(structure, R(tau) of a cluster from its visits and times)."""
    first = np.append(True, codes[1:] != codes[:-1])
    starts = np.concatenate([[0], np.cumsum(np.bincount(codes))])
    if name == "none":
        return None, lambda tau, v, t: np.eye(len(v))
    if name == "car1":
        markov = Markov(first, np.diff(time, prepend=0.0), discrete=False)
        return markov, lambda tau, v, t: np.exp(-np.abs(np.subtract.outer(t, t)) / np.exp(tau[0]))
    if name == "exchangeable":
        return Exchangeable(codes, V), lambda tau, v, t: np.where(
            np.eye(len(v)) == 1, 1.0, exchangeable_rho(tau[0], -1 / (V - 1))
        )
    if name == "nugget":
        return Nugget(starts, time), lambda tau, v, t: np.where(
            np.eye(len(v)) == 1,
            1.0,
            np.exp(-np.abs(np.subtract.outer(t, t)) / np.exp(tau[0])) / (1 + np.exp(tau[1])),
        )
    if name == "ar1":
        markov = Markov(first, np.diff(visit, prepend=0).astype(float), discrete=True)
        return markov, lambda tau, v, t: np.tanh(tau[0]) ** np.abs(np.subtract.outer(v, v))
    matrix, start = {"unstructured": unstructured, "toeplitz": toeplitz}[name](V)
    linear = name == "unstructured"
    return Visits(starts, visit, matrix, start, start + 0.3, linear), lambda tau, v, t: matrix(tau)[
        np.ix_(v, v)
    ]


@pytest.fixture(scope="module", params=CASES, ids=str)
def case(request):
    name, q, variances = request.param
    y, X, codes, visit, time = simulated()
    correlation, R = structure(name, codes, visit, time)
    Z = X[:, :q]
    H = np.column_stack([visit == 2, time])[:, : 2 * variances]
    blocks = (q,) if q else ()
    objective = Whitened(Rows(y, X, Z, codes, blocks), correlation, H, True)
    x = 0.3 + 0.2 * np.random.default_rng(1).normal(size=objective.n_parameters)
    return objective, x, R, H, visit, time


def dense_deviance(objective, x, R, H, visit, time):
    """-2 REML log-likelihood from each cluster's V = s2 (Z D Z' + S R S), b and s2 profiled out."""
    k, m = objective.k_L, objective.k_L + objective.k_tau
    rows, own, tau, delta = objective.rows, x[:k], x[k:m], x[m:]
    sd = np.exp(H @ delta)
    D = np.zeros((0, 0))
    if objective.q:
        half = objective.scales.T_inverse @ objective.independent.matrix(own)
        D = half @ half.T
    log_det, S = 0.0, 0.0
    for j in range(objective.n_clusters):
        at = rows.codes == j
        Vj = rows.Z[at] @ D @ rows.Z[at].T
        Vj = Vj + R(tau, visit[at], time[at]) * np.outer(sd[at], sd[at])
        F = np.column_stack([rows.X[at], rows.y[at]])
        log_det += np.linalg.slogdet(Vj)[1]
        S = S + F.T @ np.linalg.solve(Vj, F)
    b = np.linalg.solve(S[:-1, :-1], S[:-1, -1])
    rss, n = S[-1, -1] - S[:-1, -1] @ b, objective.n_effective
    return log_det + n * (1 + np.log(2 * np.pi * rss / n)) + np.linalg.slogdet(S[:-1, :-1])[1]


def test_deviance(case):
    objective, x, *rest = case
    found = objective.deviance_in_data_units(objective.evaluate(x))
    assert found == pytest.approx(dense_deviance(objective, x, *rest), rel=1e-12)


def test_gradient_and_hessian_are_differences(case):
    objective, x, *_ = case
    at, h = objective.evaluate(x), 1e-5
    steps = h * np.eye(len(x))
    numeric = [
        (objective.evaluate(x + s).deviance - objective.evaluate(x - s).deviance) / (2 * h)
        for s in steps
    ]
    # Differences of a deviance of 300 by 1e-5 have 8 digits of its slope.
    assert objective.gradient(x, at) == pytest.approx(np.array(numeric), rel=1e-6, abs=1e-5)
    hessian = objective.hessian(x, at)
    numeric = np.array(
        [
            (objective.gradient(x + s, objective.evaluate(x + s))
             - objective.gradient(x - s, objective.evaluate(x - s))) / (2 * h)
            for s in steps
        ]
    )  # fmt: skip
    assert hessian == pytest.approx(numeric, rel=1e-5, abs=1e-4)


def test_differentials_are_differences(case):
    objective, x, *_ = case
    h = 1e-5
    log_det, dS = objective.differentials(x, objective.evaluate(x))
    for k, s in enumerate(h * np.eye(len(x))):
        up, down = objective.evaluate(x + s), objective.evaluate(x - s)
        assert log_det[k] == pytest.approx(
            (up.log_det - down.log_det) / (2 * h), rel=1e-6, abs=1e-5
        )
        slope = (up.sums.S - down.sums.S) / (2 * h)
        assert dS[k] == pytest.approx(slope, rel=1e-5, abs=1e-4)


def uneven(J, n, rng):
    """Times of J clusters of n rows, their codes, and where the clusters start."""
    time = np.concatenate([np.sort(rng.uniform(0, 6, n)) for _ in range(J)])
    return time, np.repeat(np.arange(J), n), np.arange(J + 1) * n


def test_a_second_valley_of_range_and_nugget_is_searched():
    """A few near rows bear a short range, where both starts end at a nugget and an intercept."""
    rng, J, n = np.random.default_rng(42), 25, 5
    time, codes, starts = uneven(J, n, rng)
    y = rng.normal(size=J)[codes] + rng.normal(size=J * n)
    X = np.ones((J * n, 1))
    objective = Whitened(Rows(y, X, X, codes, (1,)), Nugget(starts, time), None, False)
    ends = [search(objective, objective.start(name)) for name in STARTS[:2]]
    best = min(ends, key=lambda found: found.evaluation.deviance)
    _, searches = solved(objective, "here")
    lowest = min(found.evaluation.deviance for found in searches.values())
    assert lowest < best.evaluation.deviance - 1.9
    assert agreeing(objective, searches) > 1


def test_a_nugget_that_ends_at_0_is_found_there():
    """Its logit has no end: a search arrives by a leap, and not after a hundred steps."""
    rng, J, n = np.random.default_rng(5), 60, 6
    time, codes, starts = uneven(J, n, rng)
    each = [np.exp(-np.abs(np.subtract.outer(t, t))) for t in time.reshape(J, n)]
    y = np.concatenate([np.linalg.cholesky(R) @ rng.normal(size=n) for R in each])
    rows = Rows(y, np.ones((J * n, 1)), np.zeros((J * n, 0)), codes, ())
    objective = Whitened(rows, Nugget(starts, time), None, True)
    found = search(objective, objective.start("moments"))
    first = np.append(True, codes[1:] != codes[:-1])
    markov = Markov(first, np.diff(time, prepend=0.0), discrete=False)
    simple = Whitened(rows, markov, None, True)
    without = search(simple, simple.start("moments"))
    assert found.iterations < 40
    assert found.parameters[1] < -30
    assert found.evaluation.deviance == pytest.approx(without.evaluation.deviance, abs=1e-8)
