"""Rows of variance_components of residual structures, as the engine names them."""

from __future__ import annotations

import math
from typing import Any


def row(scale: str, term1: str, estimate: float, term2: str = "", **more: Any) -> dict[str, Any]:
    ends = {"conf_low": 0.9 * estimate, "conf_high": 1.2 * estimate}
    return {
        "group": "Residual",
        "term1": term1,
        "term2": term2,
        "scale": scale,
        "estimate": estimate,
        "std_error": 0.1,
        **ends,
        **more,
    }


def spread(sd: float, where: str = "") -> list[dict[str, Any]]:
    """A variance and its SD."""
    return [row("var", where, sd * sd), row("sd", where, sd)]


def random_intercept(sd: float, group: str = "school", **more: Any) -> list[dict[str, Any]]:
    return [
        row("var", "Intercept", sd * sd, group=group),
        row("sd", "Intercept", sd, group=group, **more),
    ]


def car1(rho: float = 0.5, time: str = "age", **more: Any) -> list[dict[str, Any]]:
    """A correlation at one unit with its range, -1 / log(rho)."""
    scale = -1.0 / math.log(rho)
    return [row("corr", f"{time} 1 apart", rho), row("range", time, scale) | more]
