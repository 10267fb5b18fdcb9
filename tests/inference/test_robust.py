"""Cluster-robust standard errors by their definition, and GEE beside the model."""

from __future__ import annotations

import numpy as np
import pytest
from dense import DESIGNS, Z975, Dense, simulate
from scipy import stats

from mixedflow import api
from mixedflow.inference import gee
from mixedflow.inference.robust import robust_covariance
from mixedflow.language.working import read


def beside(fit):
    """The table with exchangeable GEE, and its correlation beside the model's."""
    found = gee.estimates(fit.fitted, read(True))
    return fit.alternatives(gee=True), gee.beside_the_model(fit.fitted, found)


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("name", DESIGNS)
def test_cluster_robust_by_definition(fits, name, method):
    fit = fits[name, method]
    dense = Dense(fit)
    V_inverse, phi = np.linalg.inv(dense.V()), dense.phi(dense.V())
    r = dense.y - dense.X @ (phi @ dense.X.T @ V_inverse @ dense.y)
    (group,) = fit.groups
    J = len(group.labels)
    middle = np.zeros((3, 3))
    for j in range(J):
        rows = group.codes == j
        score = dense.X[rows].T @ V_inverse[np.ix_(rows, rows)] @ r[rows]
        middle += np.outer(score, score)
    CR0 = phi @ middle @ phi
    # Two routes in double precision.
    assert robust_covariance(fit.fitted) == pytest.approx(CR0, rel=1e-8)
    table = fit.alternatives().set_index(["method", "term"])
    assert set(table.index.get_level_values(0)) == {
        "mixed model", "cluster-robust CR0", "cluster-robust CR1",
    }  # fmt: skip
    for kind, expected in (
        ("mixed model", phi),
        ("cluster-robust CR0", CR0),
        ("cluster-robust CR1", CR0 * J / (J - 1)),
    ):
        rows, se = table.loc[kind], np.sqrt(np.diag(expected))
        assert list(rows.index) == list(fit.terms)
        assert rows["std_error"].to_numpy() == pytest.approx(se, rel=1e-8)
        assert rows["estimate"].to_numpy() == pytest.approx(fit.solution.beta, rel=1e-10)
        z = fit.solution.beta / se
        assert rows["p_value"].to_numpy() == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-6)
        assert (rows["conf_high"] - rows["conf_low"]).to_numpy() == pytest.approx(
            2 * Z975 * se, rel=1e-8
        )


@pytest.mark.parametrize("name", ["one", "two"])
def test_gee_is_that_of_raw_columns(fits, name):
    from statsmodels.genmod.cov_struct import Exchangeable
    from statsmodels.genmod.generalized_estimating_equations import GEE

    fit, structure = fits[name, "ml"], Exchangeable()
    (group,), (G,), rows = fit.groups, fit.solution.G, fit.fitted
    theirs = GEE(rows.y, rows.X, groups=group.codes, cov_struct=structure).fit()
    table, correlation = beside(fit)
    rows = table[table["method"] == "GEE exchangeable"]
    # GEE stops when its parameters move by 1e-6 of their size.
    assert rows["estimate"].to_numpy() == pytest.approx(theirs.params, rel=1e-5)
    assert rows["std_error"].to_numpy() == pytest.approx(theirs.bse, rel=1e-5)
    assert correlation["gee_correlation"] == pytest.approx(structure.dep_params, rel=1e-5)
    # The model's: the share of the variance between clusters, averaged over rows.
    between = np.mean(np.diag(group.Z @ G @ group.Z.T))
    expected = between / (between + fit.solution.s2)
    assert correlation["model_correlation"] == pytest.approx(expected, rel=1e-10)


def test_gee_with_badly_scaled_columns():
    """A covariate in the millions changes the slope's unit and nothing else."""
    frame = simulate(4, (1.0,))
    found = []
    for factor, shift in ((1.0, 0.0), (1e7, 1e9)):
        fit = api.fit("y ~ x + (1 | g)", frame.assign(x=shift + factor * frame["x"]), "ml")
        table, correlation = beside(fit)
        slope = table[(table["method"] == "GEE exchangeable") & (table["term"] == "x")].iloc[0]
        found.append(
            [slope["estimate"] * factor, slope["std_error"] * factor, *correlation.values()]
        )
    # The shift costs two of the digits that GEE's own stopping rule leaves.
    assert found[1] == pytest.approx(found[0], rel=1e-5)


def test_gee_beside_the_model(lecture):
    _, correlation = beside(lecture("asian_ri_ml", "ml"))
    # The lecture's two numbers, printed to three digits.
    assert correlation["gee_correlation"] == pytest.approx(0.594, abs=5e-4)
    assert correlation["model_correlation"] == pytest.approx(0.556, abs=5e-4)
