"""Sampling weights: limiting cases, and an own dense pseudo-likelihood by a general optimiser."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

import mixedflow
from mixedflow.errors import ComparisonError, MixedflowError

FORMULA = "y ~ x + (1 + x | g)"
BOTH = {"sampling": "w1", "cluster_sampling": "w2", "scale": "effective"}


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng, J = np.random.default_rng(1), 60
    g = np.repeat(np.arange(J), rng.integers(3, 9, J))
    x, u = rng.normal(size=len(g)), rng.normal(size=(J, 2))
    y = 1 + x + u[g, 0] + 0.5 * u[g, 1] * x + rng.normal(size=len(g))
    w1, w2 = rng.integers(1, 4, len(g)), rng.integers(1, 4, J)[g]
    return pd.DataFrame({"y": y, "x": x, "g": g, "w1": w1, "w2": w2, "one": 1.0})


def fitted(data: pd.DataFrame, **weights: str) -> mixedflow.Fit:
    fit = mixedflow.fit(FORMULA, data, "ml", weights=weights or None)
    assert fit.converged, fit.problems
    return fit


@pytest.fixture(scope="module")
def both(data: pd.DataFrame) -> mixedflow.Fit:
    return fitted(data, **BOTH)


def same_estimates(one: mixedflow.Fit, other: mixedflow.Fit) -> None:
    np.testing.assert_allclose(one.log_likelihood, other.log_likelihood, rtol=1e-11)
    np.testing.assert_allclose(one.solution.beta, other.solution.beta, rtol=1e-7)
    np.testing.assert_allclose(one.solution.G[0], other.solution.G[0], rtol=1e-6)
    np.testing.assert_allclose(one.solution.s2, other.solution.s2, rtol=1e-7)


def robust(fit: mixedflow.Fit) -> np.ndarray:
    return fit.alternatives().query("method == 'cluster-robust CR0'")["std_error"].to_numpy()


def test_weights_of_one_are_ml_with_robust_errors(data: pd.DataFrame) -> None:
    fit, plain = fitted(data, sampling="one", cluster_sampling="one"), fitted(data)
    same_estimates(fit, plain)
    np.testing.assert_allclose(fit.fixed_effects["std_error"], robust(plain), rtol=1e-7)
    np.testing.assert_allclose(fit.cluster_effects["estimate"], plain.cluster_effects["estimate"])


def test_whole_weights_of_rows_are_rows_that_many_times(data: pd.DataFrame) -> None:
    fit = fitted(data, sampling="w1", scale="none")
    plain = fitted(data.loc[data.index.repeat(data["w1"])])
    same_estimates(fit, plain)
    np.testing.assert_allclose(fit.fixed_effects["std_error"], robust(plain), rtol=1e-6)


def test_whole_weights_of_clusters_are_clusters_that_many_times(data: pd.DataFrame) -> None:
    fit = fitted(data, sampling="one", cluster_sampling="w2")
    copies = [data[data["w2"] > k].assign(g=lambda f, k=k: f["g"] + 1000 * k) for k in range(3)]
    plain = fitted(pd.concat(copies, ignore_index=True))
    same_estimates(fit, plain)
    assert len(fit.groups[0].labels) == 60


def pseudo(data: pd.DataFrame, at: np.ndarray) -> np.ndarray:
    """(J,) log pseudo-likelihoods of clusters at (b, Cholesky of G, log s).

    The integral over u of normal densities to powers, by its exponent.
    """
    L = np.array([[at[2], 0.0], [at[3], at[4]]])
    G, s2, found = L @ L.T, np.exp(2.0 * at[5]), []
    for _, rows in data.groupby("g"):
        w = rows["w1"].to_numpy(float)
        w = w * w.sum() / (w**2).sum()
        Z = np.column_stack([np.ones(len(w)), rows["x"]])
        r = rows["y"].to_numpy() - Z @ at[:2]
        # Exponent in u: -1/2 (u'(G^-1 + Z'WZ / s2)u - 2 u'Z'Wr / s2 + r'Wr / s2).
        H = np.linalg.inv(G) + (Z.T * w) @ Z / s2
        c = (Z.T * w) @ r / s2
        value = c @ np.linalg.solve(H, c) - (w * r) @ r / s2 - w.sum() * np.log(2 * np.pi * s2)
        value -= np.linalg.slogdet(H)[1] + np.linalg.slogdet(G)[1]
        found.append(0.5 * value)
    return np.array(found)


def test_a_general_optimiser_finds_the_same_and_its_sandwich(
    data: pd.DataFrame, both: mixedflow.Fit
) -> None:
    counts = data.groupby("g")["w2"].first().to_numpy()
    start = np.array([1.0, 1.0, 1.0, 0.0, 0.5, 0.0])
    best = minimize(lambda at: -counts @ pseudo(data, at), start, options={"gtol": 1e-6}).x
    L = np.array([[best[2], 0.0], [best[3], best[4]]])
    np.testing.assert_allclose(both.log_likelihood, counts @ pseudo(data, best), rtol=1e-10)
    np.testing.assert_allclose(both.solution.beta, best[:2], atol=1e-5)
    np.testing.assert_allclose(both.solution.G[0], L @ L.T, atol=2e-5)
    np.testing.assert_allclose(np.sqrt(both.solution.s2), np.exp(best[5]), atol=1e-5)
    # Scores and information by differences, of the mean and of the variances apart.
    h, n = 1e-4, len(best)
    steps = h * np.eye(n)
    scores = np.array([pseudo(data, best + e) - pseudo(data, best - e) for e in steps]) / (2 * h)
    scores = counts * scores

    def slope(at: np.ndarray) -> np.ndarray:
        return np.array([counts @ (pseudo(data, at + e) - pseudo(data, at - e)) for e in steps]) / (
            2 * h
        )

    hessian = np.array([slope(best + e) - slope(best - e) for e in steps]) / (2 * h)
    b, inverse = slice(0, 2), -np.linalg.inv(hessian)
    bread = np.linalg.inv(-hessian[b, b])
    mean = bread @ (scores[b] @ scores[b].T) @ bread
    errors = both.fixed_effects["std_error"]
    np.testing.assert_allclose(errors, np.sqrt(np.diag(mean)), rtol=1e-4)
    theta = inverse[2:, 2:] @ (scores[2:] @ scores[2:].T) @ inverse[2:, 2:]
    table = both.variance_components.set_index(["group", "term1", "term2", "scale"])["std_error"]
    log_s = np.sqrt(theta[3, 3])
    sd = np.sqrt(both.solution.s2)
    np.testing.assert_allclose(table["Residual", "", "", "sd"], sd * log_s, rtol=1e-3)
    np.testing.assert_allclose(table["g", "Intercept", "", "sd"], np.sqrt(theta[0, 0]), rtol=1e-3)


def test_what_a_pseudo_likelihood_has_not(data: pd.DataFrame, both: mixedflow.Fit) -> None:
    with pytest.raises(MixedflowError, match="not available with sampling weights"):
        both.influence()
    with pytest.raises(MixedflowError, match="not available with sampling weights"):
        both.degrees_of_freedom()
    with pytest.raises(MixedflowError, match="which has no restricted form; use method: ml"):
        mixedflow.fit(FORMULA, data, weights=BOTH)
    smaller = mixedflow.fit("y ~ x + (1 | g)", data, "ml", weights=BOTH)
    with pytest.raises(ComparisonError, match="no likelihood-ratio test"):
        mixedflow.api.lr_test(smaller, both, 5)
    with pytest.raises(MixedflowError, match="cannot be drawn from a pseudo-likelihood"):
        _ = mixedflow.api.bootstrap.simulate(both.fitted, 5)
    assert "LR test vs. linear model: none" in both.summary()
    assert list(both.alternatives()["method"].unique()) == ["mixed model"]


def test_bad_weights_in_one_line(data: pd.DataFrame) -> None:
    several = int((data.groupby("g")["w1"].nunique() > 1).sum())
    with pytest.raises(MixedflowError, match=f"'w1' differs within {several} of 60 clusters"):
        mixedflow.fit(FORMULA, data, "ml", weights={"sampling": "one", "cluster_sampling": "w1"})
    with pytest.raises(MixedflowError, match="weights: 'w2' is zero in "):
        weights = {"sampling": "one", "cluster_sampling": "w2"}
        mixedflow.fit(FORMULA, data.assign(w2=data["w2"] - 1), "ml", weights=weights)
    with pytest.raises(MixedflowError, match="several grouping factors"):
        other = data.assign(h=np.arange(len(data)) % 7)
        mixedflow.fit("y ~ x + (1 | g) + (1 | h)", other, "ml", weights={"sampling": "w1"})


def test_no_criterion_is_had_from_a_pseudo_likelihood(both: mixedflow.Fit) -> None:
    report = both.report()
    assert report.aic is None and report.bic is None and report.lr_vs_linear is None
