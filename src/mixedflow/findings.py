"""Sentences with numbers, made from artifacts: what the data are, what was found, what to doubt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from mixedflow.cards import synthetic
from mixedflow.pages import count, isolated, number, p_value

Row = Mapping[str, Any]
_MOST_NAMED = 6


def marks(fit: Mapping[str, Any]) -> list[str]:
    """What a reader must know wherever this model is shown."""
    found = [] if fit["converged"] else ["not converged"]
    return [*found, "singular"] if fit["singular"] else found


def marked(fit: Mapping[str, Any]) -> Markup:
    """The model's name with its marks."""
    name = Markup('<a href="#model-{0}"><code>{0}</code></a>').format(fit["model"])
    badges = (Markup(' <span class="mark">{}</span>').format(mark) for mark in marks(fit))
    return name + Markup("").join(badges)


def named(fit: Mapping[str, Any]) -> str:
    """The same as text, for cells of tables."""
    found = marks(fit)
    return f"{fit['model']} ({', '.join(found)})" if found else str(fit["model"])


def listed(items: Iterable[str | Markup]) -> Markup:
    return Markup(", ").join(items)


def interval(row: Row) -> str:
    """``95% CI 0.514 to 0.592``, or that there is none."""
    low, high = row.get("conf_low"), row.get("conf_high")
    if low is None or high is None:
        return "no interval"
    return f"95% CI {number(low)} to {number(high)}"


def data_sentence(card: Mapping[str, Any]) -> Markup:
    sizes = card["cluster_sizes"]
    kind = " (synthetic)" if synthetic(card) and "synth" not in card["title"].casefold() else ""
    return Markup("{}{}: {} rows in {} clusters of {}, {} to {} rows each (mean {}).").format(
        isolated(card["title"]),
        kind,
        count(card["rows"]),
        count(card["clusters"]),
        Markup("<code>{}</code>").format(card["cluster"]),
        count(int(sizes["min"])),
        count(int(sizes["max"])),
        number(sizes["mean"]),
    )


def model_sentence(fit: Mapping[str, Any], fixed: Sequence[Row]) -> Markup:
    """One sentence on the leading coefficient and on the share between clusters."""
    if not fit["converged"]:
        return marked(fit) + Markup(": no findings, because the fit is not the optimum.")
    parts = []
    row = _leading(fit, fixed)
    if row is not None:
        parts.append(
            Markup("one more unit of {} goes with {} of {} ({}){}").format(
                Markup("<code>{}</code>").format(row["term"]),
                _signed(row["estimate"]),
                isolated(fit["outcome"]),
                interval(row),
                _where_others_are_0(row["term"], fixed),
            )
        )
    share = share_between(fit)
    if share:
        parts.append(share)
    told = Markup("; ").join(parts) or Markup("no covariates, and no share between clusters")
    return marked(fit) + Markup(": ") + told + Markup(".")


def share_between(fit: Mapping[str, Any]) -> Markup | None:
    """The ICC, or the VPC at the mean of the covariate whose slope is random."""
    icc, vpc = fit.get("icc"), fit.get("vpc")
    if icc and icc.get("estimate") is not None:
        return Markup("{}% of the residual variance lies between clusters (ICC {}, {})").format(
            count(round(100 * icc["estimate"])), number(icc["estimate"]), interval(icc)
        )
    if vpc and vpc.get("estimate") is not None:
        return Markup(
            "at the mean of {}, {}% of the residual variance lies between clusters (VPC {}, {})"
        ).format(
            Markup("<code>{}</code>").format(vpc["predictor"] or "the covariates"),
            count(round(100 * vpc["estimate"])),
            number(vpc["estimate"]),
            interval(vpc),
        )
    return None


def comparison_sentence(row: Row, fits: Mapping[str, Mapping[str, Any]]) -> Markup:
    p = row["p_value"]
    null, alternative = (
        marked(fits[row[key]]) if row[key] in fits else Markup("<code>{}</code>").format(row[key])
        for key in ("null", "alternative")
    )
    clear = p is not None and p < 0.05
    return Markup("{}: {} {} {} (LR {}, {}, {}).").format(
        Markup("<code>{}</code>").format(row["comparison"]),
        alternative,
        "fits better than" if clear else "does not clearly fit better than",
        null,
        number(row["statistic"]),
        row["distribution"],
        p_value(p),
    )


def ranking_sentence(fit: Mapping[str, Any], ranks: Sequence[Row]) -> Markup:
    first = ranks[0]
    named = {
        kind: [row["cluster"] for row in ranks if row["selected"] == kind]
        for kind in ("best", "worst")
    }
    return Markup(
        "{}: of {} clusters, {} stand out as best{} and {} as worst{}. The first, {}, has rank "
        "{} to {} with posterior probability 95%, and {} to {} in the simultaneous confidence set."
    ).format(
        marked(fit),
        count(len(ranks)),
        count(len(named["best"])),
        _names(named["best"]),
        count(len(named["worst"])),
        _names(named["worst"]),
        isolated(first["cluster"]),
        *(number(first[k]) for k in ("rank_low", "rank_high", "rank_set_low", "rank_set_high")),
    )


def cautions(
    cards: Sequence[Mapping[str, Any]],
    fits: Sequence[Mapping[str, Any]],
    comparisons: Sequence[Row],
) -> list[Markup]:
    """What to be careful about, most serious first."""
    found = [
        Markup("{} did not converge: {} None of its numbers should be used.").format(
            marked(fit), _sentences(fit["warnings"])
        )
        for fit in fits
        if not fit["converged"]
    ]
    found += [
        Markup("{} is singular: {}").format(
            marked(fit),
            _sentences(fit["warnings"]) or "a variance is at its boundary.",
        )
        for fit in fits
        if fit["singular"] and fit["converged"]
    ]
    found += [
        Markup("{} warns: {}").format(marked(fit), _sentences(fit["warnings"]))
        for fit in fits
        if fit["warnings"] and fit["converged"] and not fit["singular"]
    ]
    found += [
        Markup("Comparison {}: {}.").format(
            Markup("<code>{}</code>").format(row["comparison"]), row["warning"]
        )
        for row in comparisons
        if row.get("warning")
    ]
    found += [
        Markup("{} are synthetic data: simulated, not observed.").format(isolated(card["title"]))
        for card in cards
        if synthetic(card)
    ]
    for card in cards:
        lost = [step for step in card["steps"] if step["lost"]]
        if lost:
            found.append(
                Markup("{}: {} of {} rows were left out in preparation ({}).").format(
                    isolated(card["title"]),
                    count(sum(step["lost"] for step in lost)),
                    count(card["rows_read"]),
                    listed(f"{step['step']}: {count(step['lost'])}" for step in lost),
                )
            )
        gaps = [v for v in card["variables"] if v["missing"]]
        if gaps:
            found.append(
                Markup("{}: missing values in {}.").format(
                    isolated(card["title"]),
                    listed(
                        Markup("<code>{}</code> ({})").format(v["name"], count(v["missing"]))
                        for v in gaps
                    ),
                )
            )
    found += [
        Markup("{} leaves out {} rows with missing values.").format(
            marked(fit), count(fit["n_missing"])
        )
        for fit in fits
        if fit["n_missing"]
    ]
    return found


def _sentences(warnings: Iterable[str]) -> Markup:
    return Markup("; ").join(isolated(text.rstrip(".") + ".") for text in warnings)


def _leading(fit: Mapping[str, Any], fixed: Sequence[Row]) -> Row | None:
    """The coefficient of the figures' x, else the one farthest from 0 in standard errors."""
    others = [row for row in fixed if row["term"] != "Intercept" and row["estimate"] is not None]
    for row in others:
        if row["term"] == fit.get("x"):
            return row
    return max(others, key=lambda row: abs(row["statistic"] or 0.0), default=None)


def _where_others_are_0(term: str, fixed: Sequence[Row]) -> Markup:
    partners: list[str] = []
    for row in fixed:
        factors = row["term"].split(":")
        if term in factors and len(factors) > 1:
            partners += [factor for factor in factors if factor != term]
    if not partners:
        return Markup("")
    shown = listed(Markup("<code>{}</code>").format(name) for name in dict.fromkeys(partners))
    return Markup(" where {} {} 0").format(shown, "is" if len(set(partners)) == 1 else "are")


def _signed(value: float) -> str:
    return f"{'−' if value < 0 else '+'}{number(abs(value))}"


def _names(clusters: Sequence[str]) -> Markup:
    if not clusters:
        return Markup("")
    rest = len(clusters) - _MOST_NAMED
    more = Markup(" and {} more").format(rest) if rest > 0 else Markup("")
    return Markup(" ({}{})").format(listed(isolated(c) for c in clusters[:_MOST_NAMED]), more)
