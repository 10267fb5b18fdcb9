"""Frames as tables of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from mixedflow.artifacts import formatting
from mixedflow.prose.markup import number
from mixedflow.prose.residual_names import SCALES, parameter

if TYPE_CHECKING:
    import pandas as pd

_MOST_SHARES = 5  # rows of the table of VPC by covariate
_SCALES = {
    "variance": "variance",
    "variance_se": "SE",
    "variance_ci": "95% CI",
    "sd": "SD",
    "sd_se": "SE",
    "sd_ci": "95% CI",
}
_SHARES = {"vpc": "VPC", "vpc_low": "95% low", "vpc_high": "95% high"}


def table(frame: pd.DataFrame) -> Markup:
    """A frame as it is."""
    return Markup(formatting.html_table(frame))


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dictionaries, None for what is missing."""
    columns = {str(name): frame[name].tolist() for name in frame.columns}
    return [
        {name: None if value != value else value for name, value in zip(columns, row, strict=True)}
        for row in zip(*columns.values(), strict=True)
    ]


def components_table(components: pd.DataFrame) -> Markup:
    """A row a component: variance or covariance, and standard deviation or correlation."""
    import pandas as pd

    scales = {"var": "variance", "cov": "variance", "sd": "sd", "corr": "sd"}
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in records(components):
        if _of_structure(row):
            continue
        key = (row["group"], row["term1"], row["term2"])
        name = " × ".join(part for part in key[1:] if part) or "rows"
        shown = rows.setdefault(key, {"group": row["group"], "component": name})
        scale = scales[row["scale"]]
        low, high = row["conf_low"], row["conf_high"]
        shown[scale], shown[f"{scale}_se"] = row["estimate"], row["std_error"]
        between = f"{number(low)} to {number(high)}"
        shown[f"{scale}_ci"] = "" if low is None or high is None else between
    frame = pd.DataFrame(list(rows.values()), columns=["group", "component", *_SCALES])
    # A number that is missing in every row, as at a boundary, is still a number.
    numeric = frame.astype({n: "float64" for n in _SCALES if not n.endswith("_ci")})
    return Markup(formatting.html_table(numeric, _SCALES))


def residual_table(components: pd.DataFrame) -> Markup | None:
    """The parameters of a residual structure that are no variance; nothing without one."""
    import pandas as pd

    rows = []
    for row in records(components):
        if _of_structure(row):
            low, high = row["conf_low"], row["conf_high"]
            between = "" if low is None or high is None else f"{number(low)} to {number(high)}"
            shown = {"parameter": parameter(row), "estimate": row["estimate"]}
            rows.append({**shown, "std_error": row["std_error"], "interval": between})
    if not rows:
        return None
    frame = pd.DataFrame(rows).astype({"estimate": "float64", "std_error": "float64"})
    return Markup(formatting.html_table(frame, {"std_error": "SE", "interval": "95% CI"}))


def _of_structure(row: dict[str, Any]) -> bool:
    """A parameter that stands for itself: a covariance of two visits goes with its correlation."""
    return row["scale"] in SCALES or (row["scale"] == "corr" and not row["term2"])


def shares_table(function: pd.DataFrame, x: str) -> Markup:
    """The share between clusters at values of the covariate ``x``, from the variance function."""
    shown = function.iloc[
        [round(k * (len(function) - 1) / (_MOST_SHARES - 1)) for k in range(_MOST_SHARES)]
    ]
    columns = ["x", "between", "residual", "total", "vpc", "vpc_low", "vpc_high"]
    return Markup(formatting.html_table(shown[columns], {"x": x, **_SHARES}))
