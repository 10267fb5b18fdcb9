"""Two families of models over made-up data, and the definitions of adjusted p-values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

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
