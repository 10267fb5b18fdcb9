"""Artifacts of a made-up run, as the report reads them: small, and full of strangers' words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
from fit_reports import model_report

from mixedflow.artifacts import tables
from mixedflow.artifacts.fit_report import LikelihoodRatio, ModelReport, Parabola, ShareAt, Wald
from mixedflow.figures.style import BLUE, figure, name_points, save

HOSTILE = (
    "<script>alert('x')</script>\"& quote\nnew line \u202eright-to-left עברית 🐑 "
    + "very-long-without-a-space-" * 8
)
SVG = """<?xml version="1.0" encoding="utf-8" standalone="no"?>
<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">
<svg xmlns:xlink="http://www.w3.org/1999/xlink" width="360pt" height="216pt"
 viewBox="0 0 360 216" xmlns="http://www.w3.org/2000/svg" version="1.1">
 <title>A plot of &lt;script&gt; things</title>
 <metadata><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></metadata>
 <defs><style type="text/css">*{stroke-linejoin: round; stroke-linecap: butt}</style></defs>
 <!-- a comment -->
 <g id="figure_1"><defs><path id="m1" d="M 0 3 L 3 0"/>
 <clipPath id="p1"><rect x="7" y="7" width="346" height="180"/></clipPath></defs>
 <g clip-path="url(#p1)"><use xlink:href="#m1" x="20" y="30" onclick="alert(1)"/></g>
 <image xlink:href="https://example.org/spy.png"/>
 <text style="font: 10px 'DejaVu Sans'">id="m1" is no attribute here</text></g>
</svg>
"""
FIGURES = ("means", "fitted_lines", "shrinkage", "variance")
DIAGNOSTICS = ("residual_qq", "residuals_fitted", "effects_qq", "influence")


def _fit(name: str, **changes: Any) -> ModelReport:
    fit: dict[str, Any] = {
        "model": name,
        "title": f"{name} {HOSTILE}",
        "formula": "gcse ~ lrt + girl + lrt:girl + (1 + lrt | school)",
        "outcome": "gcse",
        "n_missing": 2,
        "fixed_terms": ["Intercept", "lrt", f"type[{HOSTILE}]", f"lrt:type[{HOSTILE}]"],
        "random_terms": ["Intercept", "lrt"],
        "correlated": True,
        "x": "lrt",
        "n_parameters": 8,
        "aic": 262.9,
        "bic": 270.1,
        "wald": Wald(chi2=768.5, df=3, p_value=0.0),
        "lr_vs_linear": LikelihoodRatio(12.3, 3, 0.0064, "chi2(3), conservative"),
        "gee": {"gee_correlation": 0.31, "model_correlation": 0.29},
        "vpc": ShareAt("lrt", mean_x=0.0, estimate=0.244, conf_low=0.2, conf_high=0.3),
        "variance_function": Parabola("lrt", 22.1, 0.18, 0.0144, 55.4, minimum_at=-12.5),
        "evidence": {
            "log_likelihood": -123.456789,
            "scaled_gradient": 1e-9,
            "diagnosis": "The optimum lies in the interior.",
            "next_step": "",
            "starts": {
                "minque": {"log_likelihood": -123.456789, "iterations": 4},
                "unit": {"log_likelihood": -123.456789, "iterations": 7},
            },
            "mixedlm": {
                "how": "polished from the optimum",
                "log_likelihood": -123.456789,
                "difference": 1e-9,
                "tolerance": 1e-6,
            },
        },
    }
    return model_report(**fit | changes)


def hostile_card() -> dict[str, Any]:
    return {
        "dataset": "schools",
        "title": f"Schools {HOSTILE}",
        "file_label": "synthetic " + HOSTILE,
        "source": {"kind": "file", "description": f"data/{HOSTILE}.dta", "sha256": "ab" * 32},
        "cluster": "school",
        "time": None,
        "rows_read": 45,
        "rows": 42,
        "clusters": 5,
        "steps": [
            {"step": "read", "detail": HOSTILE, "rows": 45, "lost": 0},
            {"step": "filter", "detail": "lrt > 0", "rows": 42, "lost": 3},
        ],
        "cluster_sizes": {"n": 5, "mean": 8.4, "sd": 3.2, "min": 2, "max": 12},
        "variables": [
            {
                "name": "lrt",
                "label": HOSTILE,
                "kind": "number",
                "derived": "10 * standLRT",
                "depends_on": ["standLRT"],
                "missing": 2,
                "n": 40,
                "mean": 1.25,
                "sd": 2.0,
                "min": -3.0,
                "max": 4.0,
                "levels": None,
            },
            {
                "name": "type",
                "label": "Type",
                "kind": "category",
                "derived": None,
                "depends_on": [],
                "missing": 0,
                "n": 42,
                "mean": None,
                "sd": None,
                "min": None,
                "max": None,
                "levels": [{"value": HOSTILE, "label": HOSTILE, "n": 42}],
            },
        ],
    }


def _write_model(folder: Path, fit: ModelReport) -> None:
    (folder / "figures").mkdir(parents=True)
    fit.write(folder / "fit.json")
    k = len(fit.fixed_terms)
    fixed = pd.DataFrame(
        {
            "term": fit.fixed_terms,
            "estimate": [69.8, 0.553, -1.5, 0.25][:k],
            "std_error": [0.54, 0.02, 0.7, 0.1][:k],
            "statistic": [128.96, 27.72, -2.1, 2.5][:k],
            "df": [float("nan")] * k,
            "p_value": [0.0, 0.0, 0.032, 0.012][:k],
            "conf_low": [68.8, 0.514, -2.9, 0.05][:k],
            "conf_high": [70.9, 0.592, -0.1, 0.45][:k],
        }
    )
    tables.write(fixed, folder / "fixed_effects.csv")
    rows = [
        ("school", "Intercept", "", "var", 22.1),
        ("school", "Intercept", "", "sd", 4.7),
        ("school", "lrt", "", "var", 0.0144),
        ("school", "Intercept", "lrt", "cov", -0.18),
        ("Residual", "", "", "var", 55.4),
    ]
    components = pd.DataFrame(rows, columns=["group", "term1", "term2", "scale", "estimate"])
    for name in ("std_error", "conf_low", "conf_high"):
        components[name] = 0.1 * components["estimate"]
    tables.write(components, folder / "variance_components.csv")
    tables.write(fixed.assign(method="cluster-robust CR1"), folder / "alternatives.csv")
    contrasts = fixed.rename(columns={"term": "contrast"}).assign(expression=HOSTILE)
    tables.write(contrasts, folder / "contrasts.csv")
    x = pd.DataFrame({"x": [-2.0, -1.0, 0.0, 1.0, 2.0, 3.0]})
    parts = x.assign(between=22.0, residual=55.0, total=77.0, total_low=60.0, total_high=90.0)
    parts = parts.assign(vpc=0.28, vpc_low=0.2, vpc_high=0.4)
    tables.write(parts, folder / "variance_function.csv")
    for name in (*FIGURES, *DIAGNOSTICS):
        (folder / "figures" / f"{name}.svg").write_text(SVG, encoding="utf-8")


def _write_ranking(folder: Path) -> None:
    clusters = [HOSTILE, "=1+1", "3", "4", "5"]
    frame = pd.DataFrame({"cluster": clusters, "n": [2, 8, 12, 10, 8]})
    frame["estimate"] = [3.0, 1.0, 0.0, -1.0, -3.0]
    frame["conf_low"], frame["conf_high"] = frame["estimate"] - 1, frame["estimate"] + 1
    frame["simultaneous_low"] = frame["estimate"] - 2
    frame["simultaneous_high"] = frame["estimate"] + 2
    frame["rank"] = range(1, 6)
    frame["expected_rank"] = [1.2, 2.1, 3.0, 3.9, 4.8]
    frame["percentile"] = [90.0, 70.0, 50.0, 30.0, 10.0]
    for name in ("rank", "rank_set"):
        frame[f"{name}_low"], frame[f"{name}_high"] = [1, 1, 2, 3, 4], [2, 3, 4, 5, 5]
    frame["p_top"] = [0.9, 0.1, 0.0, 0.0, 0.0]
    frame["selected"] = ["best", "", "", "", "worst"]
    frame["reliability"] = 0.9
    tables.write(frame, folder / "ranking.csv")
    made = figure(7.2, 4.2)
    (points,) = made.subplots().plot(range(5), frame["estimate"], "o", color=BLUE)
    name_points(points, [f"School {name}: 1.5" for name in clusters])
    save(made, folder / "figures" / "caterpillar.svg", alt=HOSTILE)
    words = {"sentences": [f"A sentence {HOSTILE}"], "cautions": [f"A caution {HOSTILE}"]}
    (folder / "ranking.json").write_text(json.dumps(words), encoding="utf-8")


CONFIG = {
    "datasets": {"schools": {"explore": {"outcome": "gcse", "trend": None}, "time": None}},
    "models": {
        "good": {
            "dataset": "schools",
            "formula": "",
            "rank": {"by": {"at": {"lrt": 10}}, "best": "high"},
            "inference": {"gee": ["independence"]},
        },
        "stuck": {
            "dataset": "schools",
            "formula": "",
            "rank": None,
            "inference": {"gee": False},
        },
        "flat": {
            "dataset": "schools",
            "formula": "",
            "rank": {"by": "Intercept", "best": "low"},
            "inference": {"gee": True},
        },
    },
    "comparisons": {"slope": {"null": "flat", "alternative": "stuck"}},
    "report": {"title": f"Report {HOSTILE}", "author": HOSTILE},
    "results": "results",
    "note": HOSTILE,
}


def write_run(root: Path) -> None:
    """The artifacts of ``CONFIG`` below ``root``."""
    explore = root / "datasets" / "schools" / "explore"
    explore.mkdir(parents=True)
    (explore.parent / "data_card.json").write_text(json.dumps(hostile_card()), encoding="utf-8")
    sizes = pd.DataFrame([hostile_card()["cluster_sizes"]])
    tables.write(sizes, explore / "cluster_sizes.csv")
    # The last two are left from a configuration that had a time and a trend.
    left = ("trajectories", "residual_acf")
    for name in ("cluster_sizes", "examples", "cluster_lines", "intercepts_slopes", *left):
        (explore / f"{name}.svg").write_text(SVG, encoding="utf-8")
    models = root / "models"
    _write_model(models / "good", _fit("good"))
    agreed = pd.DataFrame(
        [
            ["random intercept", HOSTILE, 1.0, 0.1, 0.11, 0.0, 1.0, 1.0, 0.3, ""],
            ["exchangeable marginal model", HOSTILE, 1.0, 0.1, 0.11, 0.0, 1.0, 1.0, 0.3, ""],
            ["GEE independence", HOSTILE, 1.05, 0.2, 0.12, 0.5, 2.0, 1.09, None, ""],
        ],
        columns=["method", "term", "estimate", "std_error", "robust_error", "apart", "ratio",
                 "robust_ratio", "correlation", "failure"],
    )  # fmt: skip
    tables.write(agreed, models / "good" / "agreement.csv")
    _write_ranking(models / "good")
    stuck = _fit("stuck", converged=False, warnings=["not accepted as the optimum: " + HOSTILE])
    _write_model(models / "stuck", stuck)
    flat = _fit(
        "flat",
        singular=True,
        n_parameters=5,
        warnings=["singular fit: the variance of 'lrt' is estimated as 0"],
    )
    _write_model(models / "flat", flat)
    _write_ranking(models / "flat")
    compared = pd.DataFrame(
        [["slope", "flat", "stuck", 12.3, 2, 0.002, "half chi2(1), half chi2(2)", "reml",
          "not converged: x"]],
        columns=["comparison", "null", "alternative", "statistic", "df", "p_value", "distribution",
                 "method", "warning"],
    )  # fmt: skip
    tables.write(compared, root / "comparisons.csv")
