"""Degrees of freedom and joint tests against their definitions, lmerTest and pbkrtest.

The definitions are written with the N x N covariance matrix of small data sets. The joint F tests
of lmerTest and pbkrtest on sleepstudy, Orthodont and others are in tests/api/test_reference.py.
"""

from __future__ import annotations

import numpy as np
import pytest
from dense import DESIGNS, Dense
from lecture_data import golden, lme4
from scipy import stats

from mixedflow.errors import ModelError

LME4 = lme4()


def kenward_roger(dense: Dense):
    """Phi, adjusted Phi, W and Phi P_i Phi: Kenward and Roger (1997), equations of section 2."""
    V_inverse = np.linalg.inv(dense.V())
    k, X = len(dense.slopes), dense.X
    phi = np.linalg.inv(X.T @ V_inverse @ X)
    turned = [V_inverse @ slope for slope in dense.slopes]
    P = [-X.T @ t @ V_inverse @ X for t in turned]
    Q = [[X.T @ turned[i] @ turned[j] @ V_inverse @ X for j in range(k)] for i in range(k)]
    W = np.linalg.inv(
        [
            [
                0.5
                * (
                    np.trace(turned[i] @ turned[j])
                    - 2.0 * np.trace(phi @ Q[i][j])
                    + np.trace(phi @ P[i] @ phi @ P[j])
                )
                for j in range(k)
            ]
            for i in range(k)
        ]
    )
    inner = sum(W[i, j] * (Q[i][j] - P[i] @ phi @ P[j]) for i in range(k) for j in range(k))
    return phi, phi + 2.0 * phi @ inner @ phi, W, [phi @ p @ phi for p in P]


def satterthwaite(dense: Dense, contrast):
    """2 v^2 / g' C g, all derivatives by differences of the definition."""
    k = len(dense.theta)
    scale = np.sqrt(np.diag(dense.G))
    steps = [1e-3 * scale[a] * scale[b] for a, b in dense.free] + [1e-3 * dense.s2]
    steps = np.diag(steps)

    def variance(theta):
        return contrast @ dense.phi(dense.at(theta)) @ contrast

    def deviance(theta):
        return dense.deviance(dense.at(theta))

    def hessian(size):
        H, e = np.empty((k, k)), size * steps
        for i in range(k):
            for j in range(k):
                H[i, j] = sum(
                    s * t * deviance(dense.theta + s * e[i] + t * e[j])
                    for s in (-1, 1)
                    for t in (-1, 1)
                ) / (4.0 * e[i, i] * e[j, j])
        return H

    g = np.array(
        [
            (variance(dense.theta + e) - variance(dense.theta - e)) / (2.0 * e[i])
            for i, e in enumerate(steps)
        ]
    )
    # Two steps, so that the error of order h^2 cancels.
    H = (4.0 * hessian(2.0) - hessian(4.0)) / 3.0
    return 2.0 * variance(dense.theta) ** 2 / (g @ (2.0 * np.linalg.inv(H)) @ g)


@pytest.mark.parametrize("name", DESIGNS)
class TestKenwardRogerByDefinition:
    # Two routes in double precision, one of them through N x N inverses: eight digits at least.

    def test_adjusted_covariance(self, fits, name):
        fit = fits[name, "reml"]
        phi, adjusted, _, _ = kenward_roger(Dense(fit))
        assert fit.solution.phi == pytest.approx(phi, rel=1e-8)
        assert fit.kenward_roger_covariance == pytest.approx(adjusted, rel=1e-8)
        # The adjustment is not nothing.
        assert np.abs(adjusted / phi - 1.0).max() > 1e-3

    def test_degrees_of_freedom_of_single_contrasts(self, fits, name):
        fit = fits[name, "reml"]
        phi, _, W, derivatives = kenward_roger(Dense(fit))
        rows = np.vstack([np.eye(3), [1.0, 2.0, -1.0]])
        expected = []
        for row in rows:
            # With one contrast the moments of F give 2 (l'Phi l)^2 / g'Wg.
            g = np.array([row @ d @ row for d in derivatives])
            expected.append(2.0 * (row @ phi @ row) ** 2 / (g @ W @ g))
        assert fit.small_sample.df(rows, "kenward-roger") == pytest.approx(expected, rel=1e-7)
        assert fit.degrees_of_freedom("kenward-roger") == pytest.approx(expected[:3], rel=1e-7)

    def test_joint_test(self, fits, name):
        fit = fits[name, "reml"]
        phi, adjusted, W, derivatives = kenward_roger(Dense(fit))
        contrast, r = np.array([[0.0, 1.0, 0.0], [0.0, 3.0, 2.0]]), 2
        theta = contrast.T @ np.linalg.solve(contrast @ phi @ contrast.T, contrast)
        k = len(W)
        A1 = sum(
            W[i, j] * np.trace(theta @ derivatives[i]) * np.trace(theta @ derivatives[j])
            for i in range(k)
            for j in range(k)
        )
        A2 = sum(
            W[i, j] * np.trace(theta @ derivatives[i] @ theta @ derivatives[j])
            for i in range(k)
            for j in range(k)
        )
        B = (A1 + 6.0 * A2) / (2.0 * r)
        g = ((r + 1) * A1 - (r + 4) * A2) / ((r + 2) * A2)
        common = 3.0 * r + 2.0 * (1.0 - g)
        c1, c2, c3 = g / common, (r - g) / common, (r + 2 - g) / common
        mean = 1.0 / (1.0 - A2 / r)
        variance = 2.0 / r * (1.0 + c1 * B) / ((1.0 - c2 * B) ** 2 * (1.0 - c3 * B))
        df = 4.0 + (r + 2) / (r * variance / (2.0 * mean**2) - 1.0)
        scale = df / (mean * (df - 2.0))
        b = contrast @ fit.solution.beta
        F = scale * b @ np.linalg.solve(contrast @ adjusted @ contrast.T, b) / r
        found = fit.test(contrast, df="kenward-roger")
        assert found["df_num"] == r
        assert found["df_den"] == pytest.approx(df, rel=1e-7)
        assert found["statistic"] == pytest.approx(F, rel=1e-7)
        assert found["p_value"] == pytest.approx(stats.f.sf(F, r, df), rel=1e-6)


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("name", DESIGNS)
def test_satterthwaite_by_definition(fits, name, method):
    fit = fits[name, method]
    rows = np.array([[0.0, 1.0, 0.0], [1.0, 2.0, -1.0]])
    expected = [satterthwaite(Dense(fit), row) for row in rows]
    # Second differences of a deviance of some hundreds keep five to six digits.
    assert fit.small_sample.df(rows, "satterthwaite") == pytest.approx(expected, rel=2e-5)


def test_reference_file_is_there():
    assert golden("lme4.json")


class TestLectureFits:
    @pytest.mark.parametrize("name", LME4)
    def test_satterthwaite(self, lecture, name):
        fit = lecture(name, "reml" if LME4[name]["reml"] else "ml")
        # lmerTest differentiates the deviance numerically: 2e-6 apart at most.
        expected = list(LME4[name]["df_satterthwaite"].values())
        assert fit.degrees_of_freedom() == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize("name", [n for n in LME4 if "df_kr" in LME4[n]])
    def test_kenward_roger(self, lecture, name):
        fit, case = lecture(name, "reml"), LME4[name]
        # Both are closed formulas at an optimum that lme4 has to some 1e-6.
        df = fit.degrees_of_freedom("kenward-roger")
        assert df == pytest.approx(list(case["df_kr"].values()), rel=1e-5)
        se = np.sqrt(np.diag(fit.kenward_roger_covariance))
        assert se == pytest.approx(list(case["se_kr"].values()), rel=1e-5)


def test_methods_asked_of_a_fit_are_refused_too(fits):
    with pytest.raises(ModelError, match="Kenward-Roger: it needs a REML fit"):
        fits["one", "ml"].degrees_of_freedom("kenward-roger")
    with pytest.raises(ModelError, match="Kenward-Roger: it needs a REML fit"):
        fits["one", "ml"].test("x", df="kenward-roger")
    with pytest.raises(ModelError, match="unknown method 'sat'"):
        fits["one", "reml"].degrees_of_freedom("sat")


def test_degrees_of_freedom_exist_on_the_boundary(none, perfect):
    for fit in (none, perfect):
        df = fit.degrees_of_freedom("satterthwaite")
        # ML's df of the linear model are n itself.
        assert (df > 0).all() and (df <= fit.n_obs * (1 + 1e-6)).all()
