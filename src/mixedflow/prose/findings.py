"""Sentences with numbers, made from artifacts: what the data are, what was found, what to doubt."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from mixedflow.artifacts import formatting
from mixedflow.artifacts.fit_report import ModelReport, ShareAt
from mixedflow.language import terms
from mixedflow.language.names import INTERCEPT
from mixedflow.prose import answers, contextual, notes, outcomes, steps
from mixedflow.prose.answers import Headline
from mixedflow.prose.levels import Called, further
from mixedflow.prose.markup import conjoined, count, isolated, number, p_value, synthetic

if TYPE_CHECKING:
    import pandas as pd


Row = Mapping[str, Any]
_MOST_NAMED = 6
_SAID = (" of the residual variance lies between clusters", " of the residual variance lies")
_ASKED = ("", "")  # the question has said it


def marks(fit: ModelReport) -> list[str]:
    """What a reader must know wherever this model is shown."""
    found = [] if fit.converged else ["not converged"]
    return [*found, "singular"] if fit.singular else found


def marked(fit: ModelReport) -> Markup:
    """The model's name with its marks."""
    name = Markup('<a href="appendix/model-{0}.html"><code>{0}</code></a>').format(fit.model)
    badges = (Markup(' <span class="mark">{}</span>').format(mark) for mark in marks(fit))
    return name + Markup("").join(badges)


def named(fit: ModelReport) -> str:
    """The same as text, for cells of tables."""
    found = marks(fit)
    return f"{fit.model} ({', '.join(found)})" if found else str(fit.model)


def listed(items: Iterable[str | Markup]) -> Markup:
    return Markup(", ").join(items)


def interval(row: Row) -> str:
    """``95% CI 0.514 to 0.592``, or that there is none."""
    low, high = row.get("conf_low"), row.get("conf_high")
    if low is None or high is None:
        return "no interval"
    return f"95% CI {number(low)} to {number(high)}"


def data_sentence(card: Mapping[str, Any], fits: Sequence[ModelReport] = ()) -> Markup:
    """Rows and clusters of a data set, and those of the other factors of its models ``fits``."""
    sizes = card["cluster_sizes"]
    others = Markup("").join(
        Markup("; {} {}, {} to {} rows each").format(
            count(group.n_groups), clusters, count(group.group_size.min),
            count(group.group_size.max),
        )
        for group, clusters in further(card, fits).values()
    )  # fmt: skip
    return Markup("{} rows in {} clusters of {}, {}{} to {} rows each (mean {}){}.").format(
        count(card["rows"]),
        count(card["clusters"]),
        Markup("<code>{}</code>").format(card["cluster"]),
        "those shown " if card.get("withheld") else "",
        count(int(sizes["min"])),
        count(int(sizes["max"])),
        f"{sizes['mean']:.1f}",
        others,
    )


def headlines(
    card: Mapping[str, Any],
    fits: Sequence[ModelReport],
    fixed: Mapping[str, Sequence[Row]],
    comparisons: Sequence[Row],
    ranks: Mapping[str, pd.DataFrame],
) -> list[Headline]:
    """What a data set was asked, and its answers, those that matter most first.

    The ranking, each comparison, and how much clusters differ; the leading coefficient of the model
    that the comparisons support, if none of them tests a fixed effect. ``fits`` are ordered from
    simple to complex, ``fixed`` are rows of fixed_effects by model, and ``ranks`` the tables of
    rankings.
    """
    fit, _ = supported(fits, comparisons)
    nothing = Markup()
    if fit is None:
        said = Markup("No findings: no fit is at its optimum.")
        return [Headline(nothing, said, nothing, f"#data-{card['dataset']}")]
    by_name = {one.model: one for one in fits}
    found = [answers.ranked(one, ranks[one.model], card) for one in leading_ranking(fits, ranks)]
    found += [
        answers.tested(row, by_name, fixed, card)
        for row in comparisons
        if row["null"] in by_name and row["alternative"] in by_name
    ]
    if by_aic(fits) and fit is _lowest_aic(fits):
        asked = Markup("Which covariance structure describes the data best?")
        said = Markup("Of {} with the same fixed part, {} has the smallest AIC.").format(
            count(len(fits)), marked(fit)
        )
        found.append(Headline(asked, said, nothing, "#models"))
    row = _leading(fit, fixed[fit.model])
    if row is not None and not _tests_coefficients(comparisons, by_name):
        found.append(answers.effect(fit, fixed[fit.model], card, row))
    fit = next(iter(leading_ranking(fits, ranks)), fit)
    share = share_between(fit, card, _ASKED)
    if share:
        said = Markup("{}{}.").format(share[0].upper(), share[1:])
        asked = Markup("How much residual variance lies between clusters?")
        found.append(Headline(asked, said, nothing, f"#model-{fit.model}"))
    if found:
        return found
    said = Markup("{}: no covariates and no share between clusters.").format(marked(fit))
    return [Headline(nothing, said, nothing, f"#model-{fit.model}")]


def _tests_coefficients(comparisons: Sequence[Row], fits: Mapping[str, ModelReport]) -> bool:
    return any(
        set(fits[row["alternative"]].fixed_terms) - {*fits[row["null"]].fixed_terms}
        for row in comparisons
        if row["null"] in fits and row["alternative"] in fits
    )


def leading_ranking(
    fits: Sequence[ModelReport], ranks: Mapping[str, pd.DataFrame]
) -> list[ModelReport]:
    """The model whose ranking is told first, none or one.

    One that allows for what clusters differ by in its covariates, before one that has them centred.
    """
    left = [fit for fit in fits if fit.model in ranks and fit.converged]
    adjusted = [fit for fit in left if not any(one.centred for one in fit.contextual or ())]
    return (adjusted or left)[-1:]


def supported(
    fits: Sequence[ModelReport], comparisons: Sequence[Row]
) -> tuple[ModelReport | None, Row | None]:
    """The largest converged model that no comparison speaks against, and the row that supports it.

    A comparison speaks against its null model if clear, else against its alternative. Without a
    comparison that supports one, it is the largest model left; a singular one only for want of
    another; of models that differ in their covariances alone, the one with the smallest AIC.
    """
    against, evidence = set(), {}
    for row in comparisons:
        against.add(row["null"] if _clear(row) else row["alternative"])
        if _clear(row):
            evidence[row["alternative"]] = row
    left = [fit for fit in fits if fit.converged and fit.model not in against]
    left = left or [fit for fit in fits if fit.converged]
    if not left:
        return None, None
    if by_aic(left) and not any(fit.model in evidence for fit in left):
        return _lowest_aic(left), None
    best = max(left, key=lambda f: (f.model in evidence, not f.singular, f.n_parameters))
    return best, evidence.get(best.model)


def by_aic(fits: Sequence[ModelReport]) -> bool:
    """Whether AIC may choose: models that differ in a residual structure, and in no fixed part."""
    alike = {(fit.method, frozenset(fit.fixed_terms), fit.n_obs) for fit in fits}
    return len(alike) == 1 and any(fit.residual for fit in fits)


def _lowest_aic(fits: Sequence[ModelReport]) -> ModelReport:
    return min(fits, key=lambda fit: math.inf if fit.aic is None else fit.aic)


def _clear(row: Row) -> bool:
    return row["p_value"] is not None and row["p_value"] < 0.05


def label(card: Mapping[str, Any], name: str) -> Markup:
    """A variable by its label, else its name."""
    for variable in card["variables"]:
        if variable["name"] == name and variable.get("label"):
            return isolated(variable["label"])
    return Markup("<code>{}</code>").format(name)


def quantity(card: Mapping[str, Any], name: str) -> Markup:
    """A variable by its label without the unit, else its name."""
    found = {v["name"]: steps.unit_of(v.get("label") or "")[0] for v in card["variables"]}
    return isolated(found[name]) if found.get(name) else label(card, name)


def share_between(
    fit: ModelReport, card: Mapping[str, Any], said: tuple[str, str] = _SAID
) -> Markup | None:
    """The ICC, or the VPC at the mean of the covariate whose slope is random; a share a factor.

    ``said`` is what follows the share: of one factor, and of the first of several.
    """
    icc, vpc, called = fit.icc, fit.vpc, Called(fit)
    shares = [(one.group, one.share) for one in fit.shares or () if one.group and one.share]
    if shares:
        told = [
            Markup("{}%{} between {} ({})").format(
                count(round(100 * (share.estimate or 0.0))),
                "" if k else said[1],
                called.clusters(name),
                _percents(vars(share)).removeprefix(", ") or "no interval",
            )
            for k, (name, share) in enumerate(shares)
        ]
        return conjoined(told)
    if icc and icc.estimate is not None:
        return Markup("{}%{} (ICC {}{})").format(
            count(round(100 * icc.estimate)), said[0], formatting.share(icc.estimate),
            _percents(vars(icc)),
        )  # fmt: skip
    if vpc and vpc.estimate is not None:
        at = Markup("mean of {}").format(_mean_of(vpc, card))
        if not any(term != INTERCEPT for term in fit.random_terms):
            at = Markup("mean residual variance of the rows")
        return Markup("at the {}, {}%{}{} (VPC {}{})").format(
            at,
            count(round(100 * vpc.estimate)),
            said[0],
            called.parts(vpc),
            formatting.share(vpc.estimate),
            _percents(vars(vpc)),
        )
    return None


def _mean_of(vpc: ShareAt, card: Mapping[str, Any]) -> Markup:
    """The covariate, and the level of a factor that the share depends on too."""
    name = quantity(card, vpc.predictor) if vpc.predictor else Markup("the covariates")
    levels = {key: x for key, x in (vpc.held or {}).items() if isinstance(x, str)}
    said = [Markup("{} = {}").format(label(card, key), x) for key, x in levels.items()]
    return Markup("{} ({})").format(name, Markup(", ").join(said)) if said else name


def _percents(row: Row) -> str:
    low, high = row.get("conf_low"), row.get("conf_high")
    return "" if low is None or high is None else f", 95% CI {100 * low:.0f} to {100 * high:.0f}%"


def comparison_sentence(row: Row, fits: Mapping[str, ModelReport]) -> Markup:
    p = row["p_value"]
    null, alternative = (
        marked(fits[row[key]]) if row[key] in fits else Markup("<code>{}</code>").format(row[key])
        for key in ("null", "alternative")
    )
    return Markup("{}: {} {} {} (LR {}, {}, {}).").format(
        Markup("<code>{}</code>").format(row["comparison"]),
        alternative,
        "fits better than" if _clear(row) else "does not clearly fit better than",
        null,
        number(row["statistic"]),
        row["distribution"],
        p_value(p),
    )


def ranking_sentence(fit: ModelReport, ranks: pd.DataFrame) -> Markup:
    first = ranks.iloc[0]
    named = {kind: list(ranks["cluster"][ranks["selected"] == kind]) for kind in ("best", "worst")}
    said = Markup(
        "Of {} clusters{} ranked by {}, {} stand out as best{} and {} as worst{}. The first, {}, "
        "has rank {} to {} with posterior probability 95%"
    ).format(
        count(len(ranks)),
        _of_factor(fit, len(ranks)),
        marked(fit),
        count(len(named["best"])),
        _names(named["best"]),
        count(len(named["worst"])),
        _names(named["worst"]),
        isolated(first["cluster"]),
        *(count(first[k]) for k in ("rank_low", "rank_high")),
    )
    if ranks["reliability"].isna().all():  # no estimates without shrinkage, and so no sets
        return said + "."
    return said + Markup(", and {} to {} in the simultaneous confidence set.").format(
        *(count(first[k]) for k in ("rank_set_low", "rank_set_high"))
    )


def _of_factor(fit: ModelReport, n: int) -> Markup:
    """Whose clusters are ranked, where several factors leave it open and their number tells."""
    names = [group.name for group in fit.groups if group.n_groups == n]
    if len(fit.groups) == 1 or len(names) != 1:
        return Markup()
    return Markup(" of <code>{}</code>").format(names[0])


def cautions(
    cards: Sequence[Mapping[str, Any]],
    fits: Sequence[ModelReport],
    comparisons: Sequence[Row],
) -> list[Markup]:
    """What to be careful about, most serious first."""
    found = _doubtful(fits)
    found += dict.fromkeys(text for fit in fits for text in outcome_caution(fit))
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
    found += [
        Markup("{}: {}").format(isolated(card["title"]), text)
        for card in cards
        for text in notes.sentences(card, _grouping(fits, card))
    ]
    found += [
        Markup("{}: {}").format(marked(fit), text)
        for card in cards
        for fit in fits
        if fit.dataset == card["dataset"]
        for text in contextual.cautions(fit, card)
    ]
    found += [caution for card in cards for caution in _incomplete(card)]
    return found + [text for fit in fits for text in _left_out(fit)]


def of_model(fit: ModelReport) -> list[Markup]:
    """Those of the cautions that speak of one model alone."""
    return [*_doubtful([fit]), *outcome_caution(fit), *_left_out(fit)]


def _left_out(fit: ModelReport) -> list[Markup]:
    if not fit.n_missing:
        return []
    text = Markup("{} leaves out {} rows with missing values.")
    return [text.format(marked(fit), count(fit.n_missing))]


def empty_ends(fit: ModelReport, *tables: pd.DataFrame) -> str:
    """Why ends of intervals are empty in a model's tables, if any are."""
    ends = [table.loc[table["estimate"].notna(), ["conf_low", "conf_high"]] for table in tables]
    if fit.inference["intervals"] != "profile" or not any(
        end.isna().any(axis=None) for end in ends
    ):
        return ""
    return (
        "An empty end of a profile interval was not found: no search reached the edge of the "
        "region where the deviance is less than 3.84 above its minimum. It is not infinite; "
        "intervals: bootstrap gives one."
    )


def _grouping(fits: Sequence[ModelReport], card: Mapping[str, Any]) -> frozenset[str]:
    """The columns that some model of a data set groups by."""
    found = [terms.parsed(fit.formula) for fit in fits if fit.dataset == card.get("dataset")]
    return frozenset[str]().union(*(parsed.grouping for parsed in found if parsed))


def outcome_caution(fit: ModelReport) -> list[Markup]:
    """That a linear model describes the outcome badly, if it does."""
    doubt = fit.outcome_doubt
    return [Markup.escape(outcomes.caution(fit.outcome, doubt))] if doubt else []


def _doubtful(fits: Sequence[ModelReport]) -> list[Markup]:
    """Fits without an optimum, then singular ones, then those with other warnings."""
    found = [
        Markup("{} did not converge: {} None of its numbers should be used.").format(
            marked(fit), _sentences(fit.warnings)
        )
        for fit in fits
        if not fit.converged
    ]
    found += [
        Markup("{} is singular: {}").format(
            marked(fit),
            _sentences(fit.warnings) or "a variance is at its boundary.",
        )
        for fit in fits
        if fit.singular and fit.converged
    ]
    return found + [
        Markup("{} warns: {}").format(marked(fit), _sentences(fit.warnings))
        for fit in fits
        if fit.warnings and fit.converged and not fit.singular
    ]


def _incomplete(card: Mapping[str, Any]) -> list[Markup]:
    """What was assumed in reading, rows that preparation left out, and values that are missing."""
    title = isolated(card["title"])
    found = [Markup("{}: {}.").format(title, isolated(note)) for note in card.get("assumed", ())]
    lost = [step for step in card["steps"] if step["lost"]]
    if lost:
        found.append(
            Markup("{}: {} of {} rows were left out in preparation ({}).").format(
                title,
                count(sum(step["lost"] for step in lost)),
                count(card["rows_read"]),
                listed(f"{step['step']}: {count(step['lost'])}" for step in lost),
            )
        )
    gaps = [v for v in card["variables"] if v["missing"]]
    if gaps:
        told = (Markup("<code>{}</code> ({})").format(v["name"], count(v["missing"])) for v in gaps)
        found.append(Markup("{}: missing values in {}.").format(title, listed(told)))
    return found


def _sentences(warnings: Iterable[str]) -> Markup:
    return Markup("; ").join(isolated(text.rstrip(".") + ".") for text in warnings)


def _leading(fit: ModelReport, fixed: Sequence[Row]) -> Row | None:
    """The coefficient of the figures' x, else the one farthest from 0 in standard errors."""
    others = [row for row in fixed if row["term"] != INTERCEPT and row["estimate"] is not None]
    for row in others:
        if row["term"] == fit.x:
            return row
    return max(others, key=lambda row: abs(row["statistic"] or 0.0), default=None)


def _names(clusters: Sequence[str]) -> Markup:
    if not clusters:
        return Markup("")
    rest = len(clusters) - _MOST_NAMED
    more = Markup(" and {} more").format(rest) if rest > 0 else Markup("")
    return Markup(" ({}{})").format(listed(isolated(c) for c in clusters[:_MOST_NAMED]), more)
