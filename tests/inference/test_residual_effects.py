"""Effects, robust errors, influence and R2 with a residual structure, from dense matrices."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import block_diag, sqrtm

from mixedflow import api
from mixedflow.inference.bias_reduced import bias_reduced_covariance

CAR1 = {"correlation": {"car1": "time"}, "variance": {"by": "arm"}}
UN = {"correlation": {"unstructured": "visit"}}


@pytest.fixture(scope="module")
def frame():
    """25 clusters of 3 to 5 rows, in an order of rows that is not theirs."""
    rng = np.random.default_rng(7)
    frame = pd.DataFrame({"id": np.repeat(np.arange(25), 5), "visit": np.tile(np.arange(5), 25)})
    frame["time"] = frame["visit"] + rng.uniform(0.0, 0.4, 125)
    frame["arm"] = np.where(frame["visit"] % 2 == 0, "early", "late")
    noise = rng.normal(size=(25, 5))
    for v in range(1, 5):
        noise[:, v] = 0.5 * noise[:, v - 1] + 0.8 * noise[:, v]
    frame["y"] = 1.0 + noise.ravel() + 1.5 * rng.normal(size=25)[frame["id"]]
    return frame[(2 * frame["id"] + frame["visit"]) % 5 > 0].sample(frac=1.0, random_state=1)


class Dense:
    """A fit's V from its tables, rows cluster by cluster."""

    def __init__(self, fit, frame):
        self.fit, self.order = fit, np.argsort(frame["id"].to_numpy(), kind="stable")
        rows = frame.iloc[self.order]
        self.X = fit.fitted.X[self.order]
        self.y = rows["y"].to_numpy()
        self.clusters = [np.flatnonzero(rows["id"] == j) for j in sorted(set(rows["id"]))]
        table = fit.variance_components.set_index("scale")["estimate"]
        self.tau2 = fit.solution.G[0][0, 0] if fit.random_terms else 0.0
        if "range" in table:
            time, late = rows["time"].to_numpy(), (rows["arm"] == "late").to_numpy()
            sd = np.sqrt(fit.solution.s2 * np.where(late, table["ratio"], 1.0))
            R = np.exp(-np.abs(np.subtract.outer(time, time)) / table["range"])
            R = R * np.outer(sd, sd)
        else:
            visit, C = rows["visit"].to_numpy(), np.diag(table["var"])
            C[np.triu_indices(5, 1)] = table["cov"]
            C = C + np.triu(C, 1).T
            R = C[np.ix_(visit, visit)]
        self.R = [R[np.ix_(j, j)] for j in self.clusters]
        self.V = [own + self.tau2 for own in self.R]
        self.inverse = block_diag(*map(np.linalg.inv, self.V))
        self.phi = np.linalg.inv(self.X.T @ self.inverse @ self.X)
        self.beta = self.phi @ self.X.T @ self.inverse @ self.y
        self.r = self.y - self.X @ self.beta


@pytest.fixture(scope="module")
def mixed(frame):
    fit = api.fit("y ~ time + (1 | id)", frame, residual=CAR1)
    assert not fit.singular
    return Dense(fit, frame)


@pytest.fixture(scope="module")
def marginal(frame):
    return Dense(api.fit("y ~ time", frame, residual=UN, cluster="id"), frame)


def test_effects_and_their_ranks(mixed):
    """u = tau2 1'V^-1 r; Var(u|y) = tau2 - tau2^2 1'P1 with P = V^-1, and V^-1 less the fit's X."""
    table = mixed.fit.cluster_effects.set_index("cluster")
    own, known, comparative = [], [], []
    P = mixed.inverse - mixed.inverse @ mixed.X @ mixed.phi @ mixed.X.T @ mixed.inverse
    for rows, V in zip(mixed.clusters, mixed.V, strict=True):
        own.append(mixed.tau2 * np.linalg.solve(V, mixed.r[rows]).sum())
        known.append(mixed.tau2 - mixed.tau2**2 * np.linalg.inv(V).sum())
        comparative.append(mixed.tau2 - mixed.tau2**2 * P[np.ix_(rows, rows)].sum())
    assert table["estimate"].to_numpy() == pytest.approx(np.array(own), rel=1e-7)
    assert table["se_conditional"].to_numpy() == pytest.approx(np.sqrt(known), rel=1e-7)
    assert table["se_comparative"].to_numpy() == pytest.approx(np.sqrt(comparative), rel=1e-7)
    reliability = 1.0 - np.array(known) / mixed.tau2
    assert table["reliability"].to_numpy() == pytest.approx(reliability, rel=1e-6)
    ranked = mixed.fit.rank().set_index("cluster").loc[table.index]
    assert ranked["estimate"].to_numpy() == pytest.approx(np.array(own), rel=1e-7)
    place = pd.Series(own).rank(ascending=False).to_numpy()
    assert ranked["rank"].to_numpy() == pytest.approx(place)


def adjustment(V, X, phi):
    """CR2's, with the symmetric root of V: any root gives the same."""
    D = np.real(sqrtm(V))
    middle = np.linalg.inv(np.real(sqrtm(D @ (V - X @ phi @ X.T) @ D)))
    return D @ middle @ D


@pytest.mark.parametrize("which", ["mixed", "marginal"])
def test_robust_errors(which, request):
    of = request.getfixturevalue(which)
    CR0, CR2 = np.zeros((2, 2)), np.zeros((2, 2))
    for rows, V in zip(of.clusters, of.V, strict=True):
        weight = of.phi @ of.X[rows].T @ np.linalg.inv(V)
        score = weight @ of.r[rows]
        CR0 += np.outer(score, score)
        score = weight @ adjustment(V, of.X[rows], of.phi) @ of.r[rows]
        CR2 += np.outer(score, score)
    table = of.fit.alternatives().pivot(index="term", columns="method", values="std_error")
    table = table.loc[list(of.fit.terms)]
    assert table["cluster-robust CR0"].to_numpy() == pytest.approx(np.sqrt(np.diag(CR0)), rel=1e-6)
    expected = np.sqrt(np.diag(CR0) * 25 / 24)
    assert table["cluster-robust CR1"].to_numpy() == pytest.approx(expected, rel=1e-6)
    assert table["cluster-robust CR2"].to_numpy() == pytest.approx(np.sqrt(np.diag(CR2)), rel=1e-6)


def test_CR2_of_means_has_the_sample_covariance(frame):
    """A mean each visit, nothing missing: S / J, where CR0 has (J - 1) / J of it."""
    full = pd.DataFrame({"id": np.repeat(np.arange(12), 3), "visit": np.tile(np.arange(3), 12)})
    full["y"] = np.random.default_rng(1).normal(size=36)
    fit = api.fit("y ~ 0 + C(visit)", full, residual=UN, cluster="id")
    S = full.pivot(index="id", columns="visit", values="y").cov().to_numpy()
    assert bias_reduced_covariance(fit.fitted) == pytest.approx(S / 12, rel=1e-6)
    # As it has of independent residuals; there it is no row of the table.
    fit = api.fit("y ~ visit + (1 | id)", full)
    assert "cluster-robust CR2" not in set(fit.alternatives()["method"])


@pytest.mark.parametrize("which", ["marginal"])
def test_influence_without_a_cluster(which, request):
    """b less that of the other clusters' rows, by dense matrices at the same R."""
    of = request.getfixturevalue(which)
    table = of.fit.influence()
    errors = np.sqrt(np.diag(of.phi))
    for j, rows in enumerate(of.clusters):
        kept = np.setdiff1d(np.arange(len(of.y)), rows)
        inverse = of.inverse[np.ix_(kept, kept)]
        information = of.X[kept].T @ inverse @ of.X[kept]
        d = of.beta - np.linalg.solve(information, of.X[kept].T @ inverse @ of.y[kept])
        found = table.iloc[j][["dfbeta_Intercept", "dfbeta_time"]].to_numpy(float)
        assert found == pytest.approx(d / errors, rel=1e-6, abs=1e-9)
        cooks = d @ np.linalg.solve(of.phi, d) / 2
        assert table["cooks_distance"][j] == pytest.approx(cooks, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("which", ["mixed", "marginal"])
def test_R2_is_at_the_mean_of_the_residuals_variances(which, request):
    of = request.getfixturevalue(which)
    fixed = np.var(of.X @ of.beta, ddof=1)
    residual = np.concatenate([np.diag(own) for own in of.R]).mean()
    total = fixed + of.tau2 + residual
    report = of.fit.report()
    assert report.r2["marginal"] == pytest.approx(fixed / total, rel=1e-7)
    assert report.r2["conditional"] == pytest.approx((fixed + of.tau2) / total, rel=1e-7)
    # One correlation of rows does not exist where their variances differ.
    assert report.icc is None
