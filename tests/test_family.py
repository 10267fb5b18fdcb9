"""Families of models: each member is the fit it would be alone, and p-values are adjusted right."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from mixedflow import family_table, mixed, tables, verify
from mixedflow.config import reading
from mixedflow.figures import family as draw

ROOT = Path(__file__).resolve().parents[1]
HOSTILE = "<b>a & \N{SHEEP}</b>"
OUTCOMES = ["y0", "y1", "y2", "flat", "y9"]
SUBSETS = {"girls": 'sex == "girl"', "boys": 'sex == "boy"', "nobody": "x > 99"}


def dataset() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(20), 15)
    x = rng.normal(size=300)
    frame = pd.DataFrame({"g": g, "x": x, "sex": np.where(rng.random(300) < 0.5, "girl", "boy")})
    for k, slope in enumerate((0.0, 0.15, 0.4)):
        frame[f"y{k}"] = slope * x + rng.normal(size=20)[g] + rng.normal(size=300)
    return frame.assign(flat=1.0)


def configuration() -> dict[str, Any]:
    return {
        "datasets": {"d": {"source": {"file": "all.csv"}, "cluster": "g"}},
        "models": {"one": {"dataset": "d", "formula": "y1 ~ x + (1 | g)"}},
        "families": {
            "scores": {
                "title": HOSTILE,
                "dataset": "d",
                "formula": "{outcome} ~ x + (1 | g)",
                "term": "x",
                "for": {"outcome": OUTCOMES, "subset": SUBSETS},
            },
            "years": {
                "dataset": "d",
                "formula": "y1 ~ x + (1 | g)",
                "adjust": "fdr_bh",
                "for": {"file": {"whole": "all.csv", "part": "part.csv"}},
            },
        },
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("family")
    dataset().to_csv(folder / "all.csv", index=False)
    dataset().iloc[:200].to_csv(folder / "part.csv", index=False)
    (folder / "config.yaml").write_text(yaml.safe_dump(configuration()), "utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--cores", "2"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return folder


def table(run: Path, name: str, *texts: str) -> pd.DataFrame:
    return tables.read(run / f"results/families/{name}/family.csv", ("member", "failure", *texts))


def test_members_are_the_fits_they_would_be_alone(run: Path) -> None:
    frame, found = dataset(), table(run, "scores").set_index("member")
    for outcome in OUTCOMES[:3]:
        for subset, sex in (("girls", "girl"), ("boys", "boy")):
            alone = mixed.fit(f"{outcome} ~ x + (1 | g)", frame[frame["sex"] == sex])
            slope = alone.fixed_effects.set_index("term").loc["x"]
            row = found.loc[f"{outcome}.{subset}"]
            # The same computation: what differs is the ten digits of a CSV.
            for column in ("estimate", "std_error", "p_value", "conf_low", "conf_high"):
                assert row[column] == pytest.approx(slope[column], rel=1e-9)
            assert row["n_obs"] == (frame["sex"] == sex).sum()
            folder = run / f"results/families/scores/members/{outcome}.{subset}"
            report = json.loads((folder / "fit.json").read_text("utf-8"))
            assert report["log_likelihood"] == pytest.approx(alone.log_likelihood, abs=1e-9)
            assert report["converged"] is True


def holm(p: np.ndarray) -> np.ndarray:
    """By the definition of Holm (1979): step down, never falling, at most 1."""
    order = np.argsort(p)
    stepped = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order])
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """By the definition of Benjamini and Hochberg (1995)."""
    order = np.argsort(p)[::-1]
    stepped = np.minimum.accumulate(len(p) / np.arange(len(p), 0, -1) * p[order])
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


@pytest.mark.parametrize("name,rule", [("scores", holm), ("years", benjamini_hochberg)])
def test_p_values_are_adjusted_over_all_tests_of_a_family(run: Path, name: str, rule) -> None:
    found = table(run, name)
    tested = found[found["p_value"].notna()]
    assert len(tested) == {"scores": 6, "years": 2}[name]
    expected = rule(tested["p_value"].to_numpy())
    assert tested["p_adjusted"].to_numpy() == pytest.approx(expected, rel=1e-9)


def test_a_member_that_fails_says_why_and_loses_no_other(run: Path) -> None:
    failures = table(run, "scores").set_index("member")["failure"]
    assert len(failures) == len(OUTCOMES) * len(SUBSETS)
    assert "constant" in failures["flat.girls"]
    assert failures["y9.boys"].startswith("unknown variable 'y9'; known: ")
    assert "no row is left" in failures["y0.nobody"]
    assert (failures[[f"{y}.{s}" for y in OUTCOMES[:3] for s in ("girls", "boys")]] == "").all()
    page = (run / "results/report.html").read_text("utf-8")
    assert "could not be fitted" in page and "constant" in page


def test_a_fit_that_is_no_optimum_is_shown_and_not_counted(run: Path, tmp_path: Path) -> None:
    folders = tmp_path / "members"
    shutil.copytree(run / "results/families/scores/members", folders)
    doubtful = folders / "y2.girls/fit.json"
    fit = json.loads(doubtful.read_text("utf-8"))
    doubtful.write_text(json.dumps(fit | {"converged": False, "warnings": ["searches differ"]}))
    of = reading.load(configuration(), "config.yaml").families["scores"]
    found = family_table.table(of, {path.name: path for path in folders.iterdir()})
    row = found.set_index("member").loc["y2.girls"]
    assert (row["converged"], row["failure"]) == ("no", "searches differ")
    assert np.isfinite(row["p_value"]) and np.isnan(row["p_adjusted"])
    counted = found[found["converged"] == "yes"]
    assert len(counted) == 5
    expected = holm(counted["p_value"].to_numpy())
    assert counted["p_adjusted"].to_numpy() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "members,fitted,named", [(5, 4, 5), (65, 65, 65), (100, 3, 3), (500, 499, 0)]
)
def test_a_figure_names_every_member_it_has_room_for(members: int, fitted: int, named: int) -> None:
    rng = np.random.default_rng(1)
    there = np.arange(members) < fitted
    estimate = np.where(there, rng.normal(size=members), np.nan)
    rows = pd.DataFrame({"member": [f"y{k}" for k in range(members)], "estimate": estimate})
    rows["slot"], rows["converged"] = np.where(there, "x", ""), np.where(there, "yes", "")
    rows["p_adjusted"] = np.where(there, 0.2, np.nan)
    rows["conf_low"], rows["conf_high"] = estimate - 1, estimate + 1
    made = draw.forest(rows, "holm")
    axis, height = made.axes[0], made.get_figheight()
    shown = axis.get_yticklabels()
    assert len(shown) == named
    # Seven tenths of a row's height are letters at most (72 points an inch).
    assert all(label.get_fontsize() < 0.7 * 72 * height / named for label in shown)
    if not named:  # the ends, in the order of the estimates
        order = rows.dropna().sort_values("estimate", ascending=False)["member"].tolist()
        texts = sorted((text.get_position()[1], text.get_text()) for text in axis.texts)
        assert [text for _, text in texts] == [*order[:6], *order[-6:]]
    (remarks, *more) = (text.get_text() for text in made.texts)
    told = f"{members - fitted} failed" in " ".join([remarks, *more])
    assert told == (members > 70 and fitted < members)


@pytest.mark.parametrize(
    "middle,low,high", [(0.55, -0.1, 0.0), (-0.55, -0.7, -0.5), (100, 99, 100)]
)
def test_the_axis_of_a_figure_holds_0_if_intervals_stay_long_enough(
    middle: float, low: float, high: float
) -> None:
    rows = pd.DataFrame({"member": ["a", "b"], "slot": "x", "estimate": [middle, middle + 0.01]})
    rows["conf_low"], rows["conf_high"] = rows["estimate"] - 0.04, rows["estimate"] + 0.04
    left, right = (
        draw.forest(rows.assign(p_adjusted=0.01, converged="yes"), "holm").axes[0].get_xlim()
    )
    assert low < left < high
    assert (left < 0 < right) == (middle < 100)


def test_a_file_is_read_as_the_source_would_be(run: Path) -> None:
    found = table(run, "years", "file").set_index("member")
    assert found["n_obs"].to_dict() == {"part": 200, "whole": 300}
    alone = pd.read_csv(run / "results/models/one/fixed_effects.csv", index_col="term")
    assert found.loc["whole", "estimate"] == pytest.approx(alone.loc["x", "estimate"], rel=1e-9)


def test_names_are_escaped_and_everything_has_a_record(run: Path, monkeypatch) -> None:
    page = (run / "results/report.html").read_text("utf-8")
    assert HOSTILE not in page and "&lt;b&gt;a &amp; \N{SHEEP}&lt;/b&gt;" in page
    svg = (run / "results/families/scores/family.svg").read_text("utf-8")
    assert "<b>" not in svg
    monkeypatch.chdir(run)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    assert verify.verify(ROOT / "Snakefile") == []
    told = json.loads((run / "results/manifest.json").read_text("utf-8"))
    path = "results/families/scores/members/y1.girls/fixed_effects.csv"
    assert told["artifacts"][path]["job"].startswith("family_batch/scores/")
