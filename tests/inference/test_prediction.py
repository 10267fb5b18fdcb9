"""Predictions and their standard errors by the joint covariance of all effects."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from dense import Z975, Dense

from mixedflow import api
from mixedflow.errors import ModelError


def joint_covariance(dense: Dense, codes, n_clusters: int):
    """Of b_hat and u_hat - u: the inverse of Henderson's mixed model equations."""
    q = dense.Z.shape[1]
    W = np.zeros((len(codes), n_clusters * q))
    for k in range(q):
        W[np.arange(len(codes)), codes * q + k] = dense.Z[:, k]
    both = np.column_stack([dense.X, W])
    equations = both.T @ both / dense.s2
    p = dense.X.shape[1]
    equations[p:, p:] += np.kron(np.eye(n_clusters), np.linalg.inv(dense.G))
    return np.linalg.inv(equations), np.linalg.solve(equations, both.T @ dense.y / dense.s2)


def new_rows():
    return pd.DataFrame(
        {"x": [1.0, -2.0, 5.0, 0.3, 9.0], "w": [0.0, 1.0, -3.0, 2.0, 0.5], "g": [0, 11, 4, 99, -1]},
        index=[7, 7, 3, 1, 0],
    )


@pytest.mark.parametrize("name", ["one", "two", "two uncorrelated", "three"])
@pytest.mark.parametrize("kind", ["confidence", "prediction"])
@pytest.mark.parametrize("conditional", [True, False])
def test_predictions_by_the_joint_covariance(fits, name, kind, conditional):
    fit, frame = fits[name, "reml"], new_rows()
    (group,), dense = fit.groups, Dense(fit)
    J = len(group.labels)
    covariance, effects = joint_covariance(dense, group.codes, J)
    q, p = dense.Z.shape[1], 3
    x = np.column_stack([np.ones(len(frame)), frame["x"], frame["w"]])
    z = x[:, :q]
    estimate, variance = [], []
    for i, label in enumerate(frame["g"]):
        row = np.zeros(p + J * q)
        row[:p] = x[i]
        between = z[i] @ dense.G @ z[i]
        seen = conditional and str(label) in group.clusters
        if seen:
            j = list(group.clusters).index(str(label))
            row[p + j * q : p + (j + 1) * q] = z[i]
        own = row @ covariance @ row
        if kind == "prediction":
            own += dense.s2 + (0.0 if seen else between)
        elif conditional and not seen:
            own += between
        estimate.append(row @ effects)
        variance.append(own)
    found = fit.predict_interval(frame, conditional, kind)
    # An inverse of order p + J q in double precision.
    assert found["estimate"].to_numpy() == pytest.approx(estimate, rel=1e-8)
    assert found["std_error"].to_numpy() == pytest.approx(np.sqrt(variance), rel=1e-8)
    half = Z975 * found["std_error"]
    assert (found["estimate"] - half).to_numpy() == pytest.approx(found["conf_low"], rel=1e-12)
    assert (found["estimate"] + half).to_numpy() == pytest.approx(found["conf_high"], rel=1e-12)
    assert found["estimate"].to_numpy() == pytest.approx(fit.predict(frame, conditional), rel=1e-12)
    assert list(found.index) == list(frame.index)


def test_predictions_on_the_boundary(perfect):
    """G cannot be inverted: the covariance of the linear maps b_hat(y) and u_hat(y) - u instead."""
    fit, dense = perfect, Dense(perfect)
    V = dense.V()
    to_b = dense.phi(V) @ np.linalg.solve(V, dense.X).T
    rows = new_rows().iloc[:3]
    expected = []
    for _, row in rows.iterrows():
        x = z = np.array([1.0, row["x"]])
        covariance = (z @ dense.G @ dense.Z.T) * (fit.groups[0].codes == row["g"])  # of z'u_j and y
        to_u = np.linalg.solve(V, covariance) @ (np.eye(len(V)) - dense.X @ to_b)
        a = x @ to_b + to_u
        expected.append(a @ V @ a - 2.0 * a @ covariance + z @ dense.G @ z)
    found = fit.predict_interval(rows)
    # The variance is a small difference of larger terms in the definition.
    assert found["std_error"].to_numpy() == pytest.approx(np.sqrt(expected), rel=1e-6)


def test_unknown_kind_of_prediction_is_refused(fits):
    with pytest.raises(ModelError, match="unknown kind 'credible'"):
        fits["one", "reml"].predict_interval(new_rows(), kind="credible")


def test_fits_from_arrays_have_no_rows_to_predict(fits):
    fit = fits["one", "reml"]
    (group,), rows = fit.groups, fit.fitted
    other = api.fit_arrays(rows.y, rows.X, group.Z, group.codes)
    with pytest.raises(ModelError, match="no formula"):
        other.predict_interval(new_rows())
