"""Residual structures from the configuration to the report, with random effects and without."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import faults
import numpy as np
import pytest
import yaml
from parsed_page import everything

from mixedflow import cli
from mixedflow.artifacts import stored
from mixedflow.artifacts.fit_report import ModelReport

pytestmark = pytest.mark.usefixtures("warm_jobs")

NLME = Path(__file__).parents[1] / "reference" / "residual"
MODELS = Path("results", "models")
TEETH = "distance ~ Sex * a11 + (a11 | Subject)"
NAMING = "opposites_naming_score ~ time * ccog"
CONFIG: dict[str, Any] = {
    "datasets": {
        "teeth": {
            "source": {"rdataset": "nlme/Orthodont"},
            "cluster": "Subject",
            "time": "age",
            "derive": {"a11": "age - 11"},
            "levels": {"Sex": ["Male", "Female"]},
        },
        "rats": {"source": {"rdataset": "nlme/BodyWeight"}, "cluster": "Rat", "time": "Time"},
        "naming": {"source": {"file": "opposites.csv.gz"}, "cluster": "id", "time": "time"},
    },
    "models": {
        "teeth_slope": {"dataset": "teeth", "formula": TEETH, "rank": {}},
        "orthodont_het": {
            "dataset": "teeth", "formula": TEETH, "residual": {"variance": {"by": "Sex"}},
        },
        "bodyweight_car1": {
            "dataset": "rats", "formula": "weight ~ Time * C(Diet) + (Time | Rat)",
            "residual": {"correlation": {"car1": "Time"}},
            "inference": {"df": "satterthwaite"},
        },
        "opposites_un": {
            "dataset": "naming", "formula": NAMING,
            "residual": {"correlation": {"unstructured": "wave"}},
            "inference": {"df": "kenward-roger", "contrasts": {"start": "ccog"}},
        },
        "opposites_ar1": {
            "dataset": "naming", "formula": NAMING,
            "residual": {"correlation": {"ar1": "wave"}},
            "inference": {"intervals": "bootstrap", "draws": 40},
        },
    },
    "comparisons": {
        "sexes": {"null": "teeth_slope", "alternative": "orthodont_het"},
        "visits": {"null": "opposites_ar1", "alternative": "opposites_un"},
    },
}  # fmt: skip
# Of each model the parameters of nlme and where fit.json has them: term, scale, and what takes one
# there.
SAME, EXP, TANH = float, np.exp, np.tanh
PARAMETERS: dict[str, dict[str, tuple[str, str, Any]]] = {
    "orthodont_het": {
        "log_sd_residual_male": ("Sex = Male", "sd", EXP),
        "log_sd_residual_female": ("Sex = Female", "sd", EXP),
    },
    "bodyweight_car1": {
        "log_sd_residual": ("", "sd", EXP),
        "logit_phi": ("Time 1 apart", "corr", lambda x: 1.0 / (1.0 + np.exp(-x))),
    },
    "opposites_un": {"L11": ("wave = 1", "sd", SAME)},
    "opposites_ar1": {"log_sd": ("", "sd", EXP), "atanh_phi": ("wave 1 apart", "corr", TANH)},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("residual")
    shutil.copy(NLME / "opposites.csv.gz", folder)
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG), "utf-8")
    ended = faults.start(folder)
    said, _ = ended.communicate(timeout=300)
    assert ended.returncode == 0, said[-3000:]
    return folder


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_numbers_are_those_of_nlme(run: Path, name: str) -> None:
    known = json.loads((NLME / f"{name}.json").read_text("utf-8"))
    fit = ModelReport.read(run / MODELS / name / "fit.json")
    assert fit.converged and fit.log_likelihood == pytest.approx(known["logLik"], abs=1e-6)
    estimates = {(one.term1, one.scale): one.estimate for one in fit.residual_parameters or ()}
    for parameter, (term, scale, taken) in PARAMETERS[name].items():
        value = taken(known["parameters"][parameter]["estimate"])
        assert estimates[term, scale] == pytest.approx(value, rel=1e-5)
    table = stored.read(run / MODELS / name / "variance_components.csv")
    rows = zip(table["term1"], table["scale"], table["estimate"], strict=True)
    shown = {(str(term), str(scale)): value for term, scale, value in rows}
    assert {key: shown[key] for key in estimates} == pytest.approx(estimates, rel=1e-7)


@pytest.mark.parametrize("name", ["orthodont_het", "opposites_ar1"])
def test_fixed_effects_are_those_of_nlme(run: Path, name: str) -> None:
    known = json.loads((NLME / f"{name}.json").read_text("utf-8"))["fixed"].values()
    table = stored.read(run / MODELS / name / "fixed_effects.csv")
    error = [term["std_error"] for term in known]
    assert table["std_error"].tolist() == pytest.approx(error, rel=1e-5)
    estimate = np.array([term["estimate"] for term in known])
    assert (np.abs(table["estimate"] - estimate) / error).max() < 1e-6


def test_artifacts_are_those_that_a_model_has(run: Path) -> None:
    effects = {"cluster_effects.csv", "effects_diagnostic.csv", "posterior.npz"}
    figures = {"shrinkage.svg", "fitted_lines.svg", "effects_qq.svg"}
    for name in CONFIG["models"]:
        folder, marginal = run / MODELS / name, name.startswith("opposites")
        there = {path.name for path in folder.iterdir()}
        drawn = {path.name for path in (folder / "figures").iterdir()}
        assert effects & there == (set() if marginal else effects)
        assert figures & drawn == (set() if marginal else figures)
        assert {"means.svg", "variance.svg", "residual_qq.svg", "influence.svg"} <= drawn
    assert (run / MODELS / "opposites_ar1" / "bootstrap.csv").exists()
    page = everything(run / "results")
    assert 'id="opposites_un-variance"' in page and 'id="opposites_un-shrinkage"' not in page


def test_comparisons(run: Path) -> None:
    """Variances by sex: 21.059 on 1 df (Pinheiro and Bates 2000, p. 178)."""
    table = stored.read(run / "results" / "comparisons.csv").set_index("comparison")
    assert table.loc["sexes", "statistic"] == pytest.approx(21.059, abs=1e-3)
    assert table.loc["sexes", "df"] == 1 and table.loc["sexes", "distribution"] == "chi2(1)"
    # nlme's log-likelihoods.
    assert table.loc["visits", "statistic"] == pytest.approx(
        2 * (632.9382198 - 627.8944066), abs=1e-5
    )
    assert table.loc["visits", "df"] == 8


def test_check_verify_and_show(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run)
    assert cli.main(["check", "config.yaml"]) == 0
    said = capsys.readouterr().out
    assert "fixed effects: 4, marginal; residuals: unstructured wave" in said
    assert "fixed effects: 4, random: 2; residuals: variance by Sex" in said
    assert cli.main(["verify"]) == 0, capsys.readouterr().out
    capsys.readouterr()
    for name in CONFIG["models"]:
        assert cli.main(["show", name]) == 0
    assert "-627.89" in capsys.readouterr().out
