"""Several grouping factors from the configuration to the report: nested, and crossed with those."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import faults
import numpy as np
import pandas as pd
import pytest
import yaml
from parsed_page import everything

from mixedflow import cli
from mixedflow.artifacts import stored
from mixedflow.artifacts.fit_report import ModelReport

pytestmark = pytest.mark.usefixtures("warm_jobs")

NESTED = "score ~ x + size + (1 + x | school) + (1 | school:room)"
CONFIG: dict[str, Any] = {
    "datasets": {
        "pastes": {"source": {"rdataset": "lme4/Pastes"}, "cluster": "batch"},
        "pupils": {
            "source": {"file": "pupils.csv"},
            "cluster": "school",
            "labels": {"score": "Score (points)", "x": "Reading"},
            "explore": {"outcome": "score", "predictor": "x"},
        },
    },
    "models": {
        "casks": {"dataset": "pastes", "formula": "strength ~ 1 + (1 | batch/cask)"},
        "rooms": {"dataset": "pupils", "method": "ml", "formula": NESTED},
        "areas": {"dataset": "pupils", "method": "ml", "formula": f"{NESTED} + (1 | area)"},
    },
    "comparisons": {"area": {"null": "rooms", "alternative": "areas"}},
}


def pupils() -> pd.DataFrame:
    """Four rooms, numbered anew, in each of 12 schools; pupils of 7 areas."""
    rng = np.random.default_rng(15)
    school, room = np.repeat(np.arange(12), 32), np.repeat(np.arange(48), 8)
    area, x = rng.integers(7, size=384), rng.normal(size=384)
    score = 50 + 2 * x + 3 * rng.normal(size=12)[school] + rng.normal(size=12)[school] * x
    score += 2 * rng.normal(size=48)[room] + 2 * rng.normal(size=7)[area] + 4 * rng.normal(size=384)
    return pd.DataFrame(
        {
            "school": [f"S{k + 1}" for k in school],
            "room": room % 4 + 1,
            "area": [f"area {k}" for k in area],
            "size": 20 + room % 9,
            "x": x,
            "score": score,
        }
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("factors")
    pupils().to_csv(folder / "pupils.csv", index=False)
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG), "utf-8")
    ended = faults.start(folder)
    said, _ = ended.communicate(timeout=300)
    assert ended.returncode == 0, said[-3000:]
    return folder


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return everything(run / "results")


@pytest.fixture(scope="module")
def words(page: str) -> str:
    """The text of the report, without pictures; formulas in one line."""
    text = re.sub(r"<(svg|style|script)\b.*?</\1>", "", page, flags=re.DOTALL)
    text = re.sub(r"</(p|li|tr|h\d|div|td|th)>", " ", text)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", text)).split())


def test_nested_factors_are_those_of_lme4(run: Path, words: str) -> None:
    """Pastes by REML, as the documentation of lme4 prints it: SDs 2.9041, 1.2874, 0.8234."""
    table = stored.read(run / "results" / "models" / "casks" / "variance_components.csv")
    sds = table[table["scale"] == "sd"].set_index("group")["estimate"]
    assert sds["batch:cask"] == pytest.approx(2.9041, abs=5e-5)
    assert sds["batch"] == pytest.approx(1.2874, abs=5e-5)
    assert sds["Residual"] == pytest.approx(0.8234, abs=5e-5)
    assert "The model, for row i of cask j in batch k" in words
    assert "strengthijk=b0jk+εijk" in words and "b0jk=β0+v0k+u0jk" in words
    assert (
        "cask clusters of one batch differ in the expected value of strength: the standard "
        "deviation between them is 2.90"
    ) in words
    # 1.657, 8.434 and 0.678 of 10.769.
    assert "Of the variance that the covariates leave, 15% lies between batch clusters" in words
    assert "78% between cask clusters of one batch" in words
    assert "and 6% between rows that share all their clusters" in words
    assert "if they are of the same batch but another cask and 0.937" in words
    assert "Random part in Stata: || batch: || cask:" in words


def test_crossed_factors_beside_nested_ones(run: Path, words: str) -> None:
    fit = ModelReport.read(run / "results" / "models" / "areas" / "fit.json")
    assert fit.converged and [(g.name, g.n_groups) for g in fit.groups] == [
        ("school", 12),
        ("school:room", 48),
        ("area", 7),
    ]
    assert [group.constant for group in fit.groups] == [(), ("size",), ()]
    assert "The model, for row i of room j, school k and area l" in words
    assert "scorei(jk,l)=b0(jk,l)+b1kxi(jk,l)+εi(jk,l)" in words
    assert "b0(jk,l)=β0+β2sizejk+v0k+u0jk+w0l" in words
    assert "Between room clusters of one school, for one unit more of size" in words
    assert "school clusters with a higher intercept tend to have" in words
    told = (
        r"\d+% between school clusters, \d+% between room clusters of one school and \d+% between"
    )
    assert re.search(rf"Where Reading is at its mean, .*?lies between clusters: {told}", words)
    assert (
        "Random part in Stata: || _all: R.area || school: x, covariance(unstructured) || room:"
        in (words)
    )


def test_exploration_says_how_factors_lie(run: Path, page: str, words: str) -> None:
    assert "school:room lies within school, 4 in each; it has 48 clusters of 8 rows" in words
    assert "batch:cask lies within batch, 3 in each; it has 30 clusters of 2 rows" in words
    assert re.search(r"school and area are crossed: \d+ of 84 cells have rows", words)
    assert "The crossing is connected" in words
    for name in ("pastes", "pupils"):
        assert f'<figure id="{name}-nesting"' in page
    assert 'id="pupils-crossings-table"' in page and 'id="pastes-crossings-table"' not in page
    # Columns that models group by already are no further levels to be careful about.
    assert "If 'room'" not in words and "if 'room'" not in words


def test_models_side_by_side_and_compared(run: Path, words: str) -> None:
    for row in ("SD of Intercept: school:room", "SD of x: school", "SD of Intercept: area"):
        assert row in words
    assert "Clusters: school:room 48 48" in words and "Clusters: area 7" in words
    (row,) = stored.read(run / "results" / "comparisons.csv").to_dict("records")
    assert (
        row["df"] == 1 and row["distribution"].startswith("half chi2(0)") and row["p_value"] < 0.05
    )
    tex = (run / "results" / "models" / "areas" / "variance_components.tex").read_text("utf-8")
    assert "school:room" in tex and "area" in tex


def test_tables_and_figures_have_every_factor(run: Path) -> None:
    folder = run / "results" / "models" / "areas"
    effects = stored.read(folder / "cluster_effects.csv")
    assert effects.groupby("group")["cluster"].nunique().to_dict() == {
        "area": 7,
        "school": 12,
        "school:room": 48,
    }
    curves = stored.read(folder / "curves.csv")
    assert set(curves["group"]) == {"", "area", "school", "school:room"}
    rows = stored.read(folder / "predictions.csv")
    assert set(rows["cluster_school:room"]) == {
        f"S{s}:{r}" for s in range(1, 13) for r in range(1, 5)
    }
    for name in ("shrinkage", "fitted_lines", "variance", "effects_qq", "influence"):
        assert (folder / "figures" / f"{name}.svg").stat().st_size > 0


def test_show_has_a_block_for_each_factor(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run)
    assert cli.main(["show", "areas"]) == 0
    lines = capsys.readouterr().out.splitlines()
    heads = [line for line in lines if re.fullmatch(r"\S+: (Identity|Unstructured)", line)]
    assert heads == ["school: Unstructured", "school:room: Identity", "area: Identity"]


def test_every_artifact_is_in_the_manifest(run: Path) -> None:
    manifest = json.loads((run / "results" / "manifest.json").read_text("utf-8"))
    made = {Path(place).name for place in manifest["artifacts"]}
    assert {"levels.csv", "crossings.csv", "nesting.svg"} <= made
