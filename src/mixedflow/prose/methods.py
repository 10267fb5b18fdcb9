"""The methods section of a paper for what a run used, and its references.

The sentences are for pasting. Nothing is said of a method that no model of the run used.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from mixedflow.artifacts.fit_report import ModelReport
from mixedflow.language import residuals, terms
from mixedflow.prose import references, residual_names, weights
from mixedflow.prose.levels import further
from mixedflow.prose.markup import conjoined, count, isolated, synthetic

_SOFTWARE = ("numpy", "scipy", "pandas", "statsmodels", "snakemake")

Ranks = Mapping[str, Any] | Sequence[Any]
Families = Sequence[Mapping[str, Any]]


def paragraphs(
    fits: Sequence[ModelReport],
    cards: Sequence[Mapping[str, Any]],
    ranks: Ranks = (),
    families: Families = (),
    tried: Families = (),
) -> list[Markup]:
    """The methods text of a run, a paragraph each for models, inference, clusters, software.

    ``fits`` are the models' fit.json, ``cards`` the data sets' data_card.json; ``ranks`` holds the
    rows of ranking.csv of each ranked model (by name or in a list), and nothing where none is.
    ``families`` are the families of models as the run had them, ``tried`` the lists of covariance
    structures.
    """
    parts = _parts(fits, cards, ranks, families, tried)
    return [Markup(" ").join(said for said, _ in part) for part in parts]


def citations(
    fits: Sequence[ModelReport],
    cards: Sequence[Mapping[str, Any]],
    ranks: Ranks = (),
    families: Families = (),
    tried: Families = (),
) -> list[references.Citation]:
    """The references that :func:`paragraphs` cites for the same arguments.

    In the order of a list of references: by first author and year.
    """
    parts = _parts(fits, cards, ranks, families, tried)
    used = {key for part in parts for _, keys in part for key in keys}
    found = [references.by_key()[key] for key in used]
    return sorted(found, key=lambda c: (c.authors[0].casefold(), c.year, c.key))


_Said = tuple[Markup, tuple[str, ...]]  # a sentence, and the keys of what it cites


@dataclass(frozen=True)
class _Used:
    """What the text says of a model, or of the members of a family, which have no one report."""

    name: str
    method: str
    inference: Mapping[str, str]
    report: ModelReport | None = None


def _say(text: str, *keys: str, models: Markup | str = "") -> _Said:
    """A sentence whose ``{}`` are citations of ``keys`` in order, and ``{models}`` is given."""
    cited = [references.by_key()[key].short for key in keys]
    return Markup(text).format(*cited, models=models), keys


def _parts(
    fits: Sequence[ModelReport],
    cards: Sequence[Mapping[str, Any]],
    ranks: Ranks,
    families: Families,
    tried: Families,
) -> list[list[_Said]]:
    # What the members of a family share is told as of a model with the family's name.
    every = [
        *(_Used(fit.model, fit.method, fit.inference, fit) for fit in fits),
        *(
            _Used(one["name"], one["method"], {"df": one["df"], "intervals": "wald"})
            for one in families
        ),
    ]
    tests = [*_inference(every), *_families(families), *_compared(tried)]
    parts = [_models(every, cards, families), tests, _clusters(every), _ranking(ranks), _software()]
    return [part for part in parts if part]


def _with(models: Sequence[_Used], kind: str, value: str) -> Markup | None:
    """Which models have ``value`` in their inference: None, all (empty), or some by name."""
    chosen = [model for model in models if model.inference[kind] == value]
    if not chosen:
        return None
    if len(chosen) == len(models):
        return Markup("")
    names = Markup(", ").join(Markup("<code>{}</code>").format(model.name) for model in chosen)
    return Markup(" of {}").format(names)


_TESTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "normal": (
        "The fixed effects{models} were tested by Wald tests, with the normal distribution.",
        (),
    ),
    "satterthwaite": (
        "The fixed effects{models} were tested by t tests with Satterthwaite’s degrees of freedom "
        "({}; {}).",
        ("giesbrecht1985", "kuznetsova2017"),
    ),
    "kenward-roger": (
        "The fixed effects{models} were tested by t tests with adjusted standard errors and "
        "degrees of freedom ({}).",
        ("kenward1997",),
    ),
}
_INTERVALS: dict[str, tuple[str, tuple[str, ...]]] = {
    "wald": (
        "The 95% confidence intervals{models} are Wald intervals, symmetric for the logarithm of a "
        "standard deviation and for Fisher’s z of a correlation.",
        (),
    ),
    "profile": (
        "The 95% confidence intervals{models} come from the profile likelihood ({}).",
        ("venzon1988",),
    ),
    "bootstrap": (
        "The 95% confidence intervals{models} are percentiles of a parametric bootstrap.",
        (),
    ),
}


def _models(
    models: Sequence[_Used], cards: Sequence[Mapping[str, Any]], families: Families
) -> list[_Said]:
    found: list[_Said] = []
    for card in cards:
        others = Markup("").join(
            Markup(" and {} {}").format(count(group.n_groups), clusters)
            for group, clusters in further(card, _reports(models)).values()
        )
        made = " These data are simulated." if synthetic(card) else ""
        text = Markup("{} rows in {} clusters ({}){} of {} were analysed.{}").format(
            count(card["rows"]), count(card["clusters"]), isolated(card["cluster"]), others,
            isolated(card["title"]), made,
        )  # fmt: skip
        found += [(text, ()), *_withheld(card)]
    if not models:
        return found
    methods = {model.method for model in models}
    reml = "restricted maximum likelihood (REML; {})"
    names = {
        frozenset(("reml",)): reml,
        frozenset(("ml",)): "maximum likelihood (ML)",
    }
    how = names.get(frozenset(methods), f"{reml} or, where a model says so, maximum likelihood")
    kinds, cited = _kinds(_reports(models), families)
    found.append(
        _say(
            f"{kinds[:1].upper()}{kinds[1:]} were fitted by {how}.",
            *cited,
            *(("patterson1971",) if "reml" in methods else ()),
        )
    )
    found += _structures(_reports(models))
    found += _weighted(_reports(models))
    found.append(
        _say(
            "The profiled likelihood ({}) was maximised from more than one start, and a fit was "
            "accepted if gradient, curvature, the agreement of the starts and the likelihood of an "
            "independent implementation supported the optimum.",
            "bates2015",
        )
    )
    if any(fit.n_missing for fit in _reports(models)):
        found.append(
            _say("Rows with a missing value in a variable of a model were left out of it.")
        )
    return found


def _kinds(fits: Sequence[ModelReport], families: Families) -> tuple[str, list[str]]:
    """Mixed models, marginal ones or both, and the references in order."""
    mixed = [fit for fit in fits if fit.random_terms]
    told: list[str] = []
    cited: list[str] = []
    if mixed or families or not fits:
        grouped, cited = _grouped(mixed, families)
        told.append(f"linear mixed models with {grouped}")
    if len(mixed) < len(fits):
        told.append(
            "marginal linear models, which describe how the rows of a cluster correlate without "
            "effects of clusters ({}),"
        )
        cited = [*cited, "diggle2002"]
    return " and ".join(told), cited


def _structures(fits: Sequence[ModelReport]) -> list[_Said]:
    """What the residuals of which models were let have."""
    found: dict[residual_names.Phrase, list[str]] = {}
    for fit in fits:
        if fit.residual:
            spec = residuals.read(fit.residual, "residual")
            for phrase in residual_names.phrases(spec, marginal=not fit.random_terms):
                found.setdefault(phrase, []).append(fit.model)
    if not found:
        return []
    keys = tuple(key for _, cited in found for key in cited)
    told = []
    for (text, cited), names in found.items():
        of = conjoined(Markup("<code>{}</code>").format(name) for name in names)
        short = [references.by_key()[key].short for key in cited]
        told.append(Markup("{} in {}").format(Markup(text).format(*short), of))
    said = Markup("; ").join(told)
    return [(Markup("Within clusters, residuals had {}.").format(said), keys)]


def _weighted(fits: Sequence[ModelReport]) -> list[_Said]:
    """What rows were weighted by in which models."""
    told = []
    for (text, keys), weighted in weights.models(fits).items():
        names = (Markup("<code>{}</code>").format(fit.model) for fit in weighted)
        told.append(_say(text, *keys, models=conjoined(names)))
    return told


def _grouped(fits: Sequence[ModelReport], families: Families) -> tuple[str, list[str]]:
    """How many grouping factors the models have and how they lie, and the references in order."""
    several = [fit for fit in fits if len(fit.groups) > 1]
    told, cited = [], []
    shared = [_factors(one.get("formula", "")) for one in families]
    if len(several) < len(fits) or 1 in shared or not (fits or families):
        told.append("one grouping factor ({})")
        cited.append("laird1982")
    if any(group.within for fit in several for group in fit.groups):
        told.append("nested grouping factors ({})")
        cited.append("goldstein1986")
    if any(_crossed(fit) for fit in several):
        told.append("crossed grouping factors ({})")
        cited.append("raudenbush1993")
    if not told:  # families alone, whose members say for themselves how their factors lie
        told.append("several grouping factors ({})")
        cited.append("goldstein1986")
    return " or ".join(told), cited


def _factors(formula: str) -> int:
    """How many grouping factors the formula of a family has, whatever fills its placeholders."""
    parsed = terms.parsed(re.sub(r"\{(\w+)\}", r"of_\1", formula))
    return len(parsed.groups) if parsed else 1


def _crossed(fit: ModelReport) -> bool:
    """Whether two factors are, each with clusters that lie in several of the other's."""
    return any(
        one.name not in other.within and other.name not in one.within
        for one, other in itertools.combinations(fit.groups, 2)
    )


def _reports(models: Sequence[_Used]) -> list[ModelReport]:
    return [model.report for model in models if model.report is not None]


def _inference(models: Sequence[_Used]) -> list[_Said]:
    found: list[_Said] = []
    for kind, sentences in (("df", _TESTS), ("intervals", _INTERVALS)):
        for value, (text, keys) in sentences.items():
            chosen = _with(models, kind, value)
            if chosen is not None:
                found.append(_say(text, *keys, models=chosen))
    tests = [fit.lr_vs_linear for fit in _reports(models) if fit.lr_vs_linear]
    bounded = [test for test in tests if test.distribution != f"chi2({test.df})"]
    if any(test.df == 1 for test in bounded):
        found.append(
            _say(
                "The likelihood-ratio test of a single variance against 0 used the mixture of "
                "chi-squared distributions that holds at the boundary ({}; {}).",
                "self1987",
                "stram1994",
            )
        )
    if any(test.df > 1 for test in bounded):
        found.append(
            _say(
                "Likelihood-ratio tests of several covariance parameters at once against 0 used "
                "the chi-squared distribution with as many degrees of freedom, which is "
                "conservative at the boundary ({}).",
                "self1987",
            )
        )
    if any(fit.gee is not None for fit in _reports(models)):
        found.append(
            _say(
                "Generalised estimating equations ({}) were solved for comparison.",
                "liang1986",
            )
        )
    return found


_ADJUSTED: dict[str, tuple[str, tuple[str, ...]]] = {
    "holm": ("by Holm’s method ({})", ("holm1979",)),
    "bonferroni": ("by Bonferroni’s method", ()),
    "fdr_bh": ("for the false discovery rate ({})", ("benjamini1995",)),
    "fdr_by": ("for the false discovery rate under any dependence ({})", ("benjamini2001",)),
}


def _families(families: Families) -> list[_Said]:
    found = []
    for method, (how, keys) in _ADJUSTED.items():
        names = [isolated(one["name"]) for one in families if one["adjust"] == method]
        if names:
            text = (
                f"The p-values of all tests of a family of models ({{models}}) were adjusted {how}."
            )
            found.append(_say(text, *keys, models=Markup(", ").join(names)))
    return found


def _compared(tried: Families) -> list[_Said]:
    """How covariance structures of one mean model were compared, which is alike for all lists."""
    if not tried:
        return []
    text = (
        "Covariance structures of one mean model ({models}) were fitted to the same rows and "
        "compared by AIC ({}), BIC ({}) and AICc ({}), and each with the largest that is nested in "
        "it by a likelihood-ratio test; of parameters that lie at the end of their range there, "
        "with mixtures of chi-squared distributions ({}; {})."
    )
    names = Markup(", ").join(
        Markup("{}: {} by {}").format(
            isolated(one["name"]), conjoined(isolated(f["name"]) for f in one["fits"]),
            one["method"].upper(),
        )
        for one in tried
    )  # fmt: skip
    keys = ("akaike1974", "schwarz1978", "hurvich1989", "self1987", "stram1994")
    return [_say(text, *keys, models=names)]


def _withheld(card: Mapping[str, Any]) -> list[_Said]:
    if not card.get("withheld"):
        return []
    text = (
        f"Clusters with fewer than {count(card['suppress']['min_n'])} rows, and the next smallest "
        "where totals would give them away ({}), count in the fits and are withheld from all that "
        "is published."
    )
    return [_say(text, "hundepool2012")]


def _clusters(models: Sequence[_Used]) -> list[_Said]:
    found = []
    if any(model.report is None or model.report.random_terms for model in models):
        found.append(
            _say(
                "Effects of single clusters are empirical-Bayes estimates, the means of their "
                "distribution given the data at the estimated parameters ({}); comparative "
                "standard errors count the error of the fixed effects.",
                "laird1982",
            )
        )
    if any(one.statistic is not None for fit in _reports(models) for one in fit.contextual or ()):
        found.append(
            _say(
                "Whether clusters’ means of a covariate matter beside its own values was tested by "
                "adding them to the model ({}).",
                "mundlak1978",
            )
        )
    explained = [fit.r2 for fit in _reports(models) if fit.random_terms]
    if explained:
        found.append(
            _say(
                "Marginal and conditional R² were computed ({}; {}).", "nakagawa2013", "johnson2014"
            )
        )
    if any("level1" in r2 for r2 in explained):
        found.append(_say("So was the variance explained at each level ({}).", "snijders1994"))
    return found


def _ranking(ranks: Ranks) -> list[_Said]:
    tables = list(ranks.values()) if isinstance(ranks, Mapping) else list(ranks)
    if not any(table is not None and len(table) for table in tables):
        return []
    return [
        _say(
            "Clusters were put in the order of their empirical-Bayes estimates; expected ranks "
            "({}) and 95% intervals of ranks come from their joint posterior distribution.",
            "laird1989",
        ),
        _say(
            "Confidence sets for ranks were computed from estimates without shrinkage ({}).",
            "mogstad2024",
        ),
        _say(
            "Clusters were selected as best or worst with a bound on the expected share of false "
            "selections ({}).",
            "gu2023",
        ),
        _say(
            "Bars that overlap where two clusters cannot be told apart were drawn ({}).",
            "goldstein1995",
        ),
        _say(
            "A funnel plot holds estimates without shrinkage against 95% and 99.8% limits, without "
            "and with additive overdispersion ({}), and rankability is the share of their variance "
            "between clusters at the median standard error ({}).",
            "spiegelhalter2005",
            "dishoeck2011",
        ),
    ]


def _software() -> list[_Said]:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _SOFTWARE)
    text = Markup("The analysis was run with mixedflow {} on Python {} ({}).").format(
        importlib.metadata.version("mixedflow"), platform.python_version(), versions
    )
    return [(text, ())]
