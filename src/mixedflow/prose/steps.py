"""Units of covariates, and the step of one that is worth talking of: 10 points, a year."""

from __future__ import annotations

import re

from markupsafe import Markup

from mixedflow.artifacts import formatting
from mixedflow.prose.covariates import Covariate, Variables
from mixedflow.prose.markup import isolated

_UNIT = re.compile(r"^(?P<name>.*\S)\s*\((?P<unit>[^()]+)\)$", re.DOTALL)
_NO_UNITS = frozenset(("log", "z", "z-score", "score", "yes", "no", "dummy", "binary", "synthetic"))
_MOST_WORDS = 3  # of a unit
_ONE = ("point", "year", "month", "week", "day", "hour", "minute", "second", "metre")
_SINGULAR = {f"{unit}s": unit for unit in _ONE}
_SIZED = ("number", "within", "centred", "other")


def exact(value: float) -> str:
    """A number that somebody chose, such as a knot: as short as it is."""
    return f"{value:.6g}".replace("-", formatting.MINUS)


def unit_of(label: str) -> tuple[str, str]:
    """``Weight (kg)`` as its name and unit; no unit where the brackets hold another remark."""
    match = _UNIT.match(label)
    words = match["unit"].split() if match else []
    if match is None or not 0 < len(words) <= _MOST_WORDS:
        return label, ""
    last = words[-1].casefold()
    remark = last in _NO_UNITS or last.endswith("ed") or "=" in match["unit"]
    return (label, "") if remark or last[0].isdigit() else (match["name"], match["unit"])


def measure(data: Variables, c: Covariate) -> tuple[Markup, str]:
    """The name and unit of what a covariate measures: of age where it is age minus 1."""
    same = c.kind in ("number", "within", "centred", "cluster mean") and c.scale == 1.0
    column = c.base if same and data.label(c.base) else c.name
    name, unit = unit_of(data.label(column))
    unit = "" if c.standardised or not c.a_slope else unit
    return isolated(name) if name else Markup("<code>{}</code>").format(column), unit


def size(data: Variables, c: Covariate) -> float:
    """The step of a covariate that the configuration finds worth talking of; else 1."""
    if c.kind not in _SIZED or c.standardised:
        return 1.0
    names = (c.name, c.base) if c.scale == 1.0 else (c.name,)
    found = ((data.card.get(name) or {}).get("step") for name in names)
    return next((float(step) for step in found if step), 1.0)


def sized(step: float, unit: str) -> Markup:
    """``10 points``, ``year``."""
    if step == 1.0:
        return isolated(_SINGULAR.get(unit, unit or "unit"))
    return Markup("{} {}").format(exact(step), isolated(unit or "units"))


def more(data: Variables, c: Covariate, step: float, units: bool) -> Markup | None:
    """``for 10 points more of Reading``; None for a step of one, unless told by ``units``."""
    name, unit = measure(data, c)
    if c.kind not in _SIZED or c.standardised or (step == 1.0 and not (units and unit)):
        return None
    one = Markup("one {}") if step == 1.0 else Markup("{}")
    return Markup("for {} more of {}").format(one.format(sized(step, unit)), name)
