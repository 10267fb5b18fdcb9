"""Where a random intercept, an exchangeable marginal model and GEE agree, and where not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from mixedflow.artifacts import formatting
from mixedflow.prose.markup import isolated

INTERCEPTS, MARGINAL, OWN = "random intercept", "exchangeable marginal model", "this model"
_SAME = 1e-3  # standard errors between estimates, and of a ratio of standard errors from 1
_NEAR = 0.1

Row = Mapping[str, Any]


def sentences(rows: Sequence[Row]) -> list[Markup]:
    """What the table of agreement says; ``rows`` are those of agreement.csv."""
    methods: dict[str, list[Row]] = {}
    for row in rows:
        methods.setdefault(str(row["method"]), []).append(row)
    found = [_marginal(methods[MARGINAL])]
    found += [
        _other(name, of) for name, of in methods.items() if name not in (INTERCEPTS, MARGINAL)
    ]
    return [*found, _robust(methods[INTERCEPTS])]


def _marginal(rows: Sequence[Row]) -> Markup:
    if failure := rows[0]["failure"]:
        return Markup("There is no {}.").format(isolated(failure))
    rho = formatting.number(rows[0]["correlation"], 3)
    if _furthest(rows) < _SAME:
        return Markup(
            "The random intercept and the exchangeable marginal model are one and the same here: "
            "any two rows of a cluster correlate by {}, which a random intercept can give as it is "
            "not negative, and estimates and standard errors are equal."
        ).format(rho)
    if rows[0]["correlation"] < 0:
        said = Markup(
            "Any two rows of a cluster correlate by {} in the exchangeable marginal model, which "
            "no random intercept can give: its {}."
        )
        return said.format(rho, _differences(rows))
    return Markup("The exchangeable marginal model (correlation {}) differs: its {}.").format(
        rho, _differences(rows)
    )


def _other(name: str, rows: Sequence[Row]) -> Markup:
    if failure := rows[0]["failure"]:
        return Markup("{}.").format(isolated(failure))
    verdict = "agrees with the random intercept" if _furthest(rows) < _NEAR else "differs"
    shown = name if name.startswith("GEE") else name.capitalize()
    return Markup("{} {}: its {}.").format(shown, verdict, _differences(rows))


def _differences(rows: Sequence[Row]) -> Markup:
    apart = max(rows, key=lambda row: abs(row["apart"]))
    return Markup(
        "estimates are up to {} of the random intercept’s standard errors away ({}), its "
        "model-based standard errors a factor of {}, its robust ones of {}"
    ).format(
        formatting.number(abs(apart["apart"]), 2),
        Markup("<code>{}</code>").format(isolated(apart["term"])),
        _factor(rows, "ratio"),
        _factor(rows, "robust_ratio"),
    )


def _robust(rows: Sequence[Row]) -> Markup:
    """The model's errors beside those that do not trust its covariance."""
    ratios = [row["robust_error"] / row["std_error"] for row in rows]
    low, high = (f"{pick(ratios):.2f}" for pick in (min, max))
    span = low if low == high else f"{low} to {high}"
    return Markup(
        "Robust standard errors of the random intercept’s estimates are {} times its model-based "
        "ones: {}."
    ).format(
        span,
        "the data bear its covariance out"
        if max(abs(math.log(ratio)) for ratio in ratios) < _NEAR
        else "where that is far from 1, its covariance is in doubt, or clusters are few",
    )


def _factor(rows: Sequence[Row], name: str) -> str:
    """The largest ratio either way, as a person reads it."""
    return f"{math.exp(max(abs(math.log(row[name])) for row in rows)):.2f}"


def _furthest(rows: Sequence[Row]) -> float:
    """Estimates in standard errors, or standard errors as the log of a ratio, by the worst term."""
    return max(
        max(abs(row["apart"]), abs(math.log(row["ratio"])), abs(math.log(row["robust_ratio"])))
        for row in rows
    )
