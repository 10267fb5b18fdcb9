"""The methods section of a paper for what a run used, and its references.

Facts about the references are facts; the sentences are for pasting. Nothing is said of a method
that no model of the run used.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

import mixedflow
from mixedflow.cards import synthetic
from mixedflow.pages import count, isolated

_SOFTWARE = ("numpy", "scipy", "pandas", "statsmodels", "snakemake")


@dataclass(frozen=True)
class Citation:
    """An article: ``authors`` as "Family, Given" each, ``pages`` with an en dash.

    ``doi`` is empty where there is none.
    """

    key: str
    authors: tuple[str, ...]
    year: int
    title: str
    journal: str
    volume: str
    pages: str
    doi: str

    @property
    def short(self) -> str:
        """``Kenward and Roger 1997``, as the text cites it."""
        *first, last = [name.split(",")[0] for name in self.authors]
        if len(first) > 2:
            return f"{first[0]} et al. {self.year}"
        return f"{', '.join(first)} and {last} {self.year}" if first else f"{last} {self.year}"

    @property
    def text(self) -> str:
        """One line of a list of references."""
        *first, last = self.authors
        names = f"{'; '.join(first)} and {last}" if first else last
        said = f"{names} ({self.year}). {self.title}. {self.journal} {self.volume}, {self.pages}."
        return f"{said} doi:{self.doi}" if self.doi else said

    @property
    def bibtex(self) -> str:
        """The same as an entry of a BibTeX file."""
        fields = {
            "author": " and ".join(self.authors),
            "year": str(self.year),
            "title": f"{{{self.title}}}",
            "journal": self.journal,
            "volume": self.volume,
            "pages": self.pages.replace("–", "--"),
            "doi": self.doi,
        }
        told = {name: value for name, value in fields.items() if value}
        inside = "".join(f"  {name} = {{{_tex(value)}}},\n" for name, value in told.items())
        return f"@article{{{self.key},\n{inside}}}"


_TEX = str.maketrans({"&": r"\&", "%": r"\%"})


def _tex(text: str) -> str:
    return text.translate(_TEX)


_ALL = (
    Citation(
        "bates2015",
        ("Bates, Douglas", "Mächler, Martin", "Bolker, Ben", "Walker, Steve"),
        2015,
        "Fitting linear mixed-effects models using lme4",
        "Journal of Statistical Software",
        "67(1)",
        "1–48",
        "10.18637/jss.v067.i01",
    ),
    Citation(
        "benjamini1995",
        ("Benjamini, Yoav", "Hochberg, Yosef"),
        1995,
        "Controlling the false discovery rate: a practical and powerful approach to multiple "
        "testing",
        "Journal of the Royal Statistical Society, Series B",
        "57(1)",
        "289–300",
        "10.1111/j.2517-6161.1995.tb02031.x",
    ),
    Citation(
        "benjamini2001",
        ("Benjamini, Yoav", "Yekutieli, Daniel"),
        2001,
        "The control of the false discovery rate in multiple testing under dependency",
        "Annals of Statistics",
        "29(4)",
        "1165–1188",
        "10.1214/aos/1013699998",
    ),
    Citation(
        "giesbrecht1985",
        ("Giesbrecht, F. G.", "Burns, J. C."),
        1985,
        "Two-stage analysis based on a mixed model: large-sample asymptotic theory and "
        "small-sample simulation results",
        "Biometrics",
        "41(2)",
        "477–486",
        "10.2307/2530872",
    ),
    Citation(
        "goldstein1995",
        ("Goldstein, Harvey", "Healy, Michael J. R."),
        1995,
        "The graphical presentation of a collection of means",
        "Journal of the Royal Statistical Society, Series A",
        "158(1)",
        "175–177",
        "10.2307/2983411",
    ),
    Citation(
        "gu2023",
        ("Gu, Jiaying", "Koenker, Roger"),
        2023,
        "Invidious comparisons: ranking and selection as compound decisions",
        "Econometrica",
        "91(1)",
        "1–41",
        "10.3982/ECTA19304",
    ),
    Citation(
        "holm1979",
        ("Holm, Sture",),
        1979,
        "A simple sequentially rejective multiple test procedure",
        "Scandinavian Journal of Statistics",
        "6(2)",
        "65–70",
        "",
    ),
    Citation(
        "johnson2014",
        ("Johnson, Paul C. D.",),
        2014,
        "Extension of Nakagawa & Schielzeth's R²GLMM to random slopes models",
        "Methods in Ecology and Evolution",
        "5(9)",
        "944–946",
        "10.1111/2041-210X.12225",
    ),
    Citation(
        "kenward1997",
        ("Kenward, Michael G.", "Roger, James H."),
        1997,
        "Small sample inference for fixed effects from restricted maximum likelihood",
        "Biometrics",
        "53(3)",
        "983–997",
        "10.2307/2533558",
    ),
    Citation(
        "kuznetsova2017",
        ("Kuznetsova, Alexandra", "Brockhoff, Per B.", "Christensen, Rune H. B."),
        2017,
        "lmerTest package: tests in linear mixed effects models",
        "Journal of Statistical Software",
        "82(13)",
        "1–26",
        "10.18637/jss.v082.i13",
    ),
    Citation(
        "laird1982",
        ("Laird, Nan M.", "Ware, James H."),
        1982,
        "Random-effects models for longitudinal data",
        "Biometrics",
        "38(4)",
        "963–974",
        "10.2307/2529876",
    ),
    Citation(
        "laird1989",
        ("Laird, Nan M.", "Louis, Thomas A."),
        1989,
        "Empirical Bayes ranking methods",
        "Journal of Educational Statistics",
        "14(1)",
        "29–46",
        "10.3102/10769986014001029",
    ),
    Citation(
        "liang1986",
        ("Liang, Kung-Yee", "Zeger, Scott L."),
        1986,
        "Longitudinal data analysis using generalized linear models",
        "Biometrika",
        "73(1)",
        "13–22",
        "10.1093/biomet/73.1.13",
    ),
    Citation(
        "mogstad2024",
        ("Mogstad, Magne", "Romano, Joseph P.", "Shaikh, Azeem M.", "Wilhelm, Daniel"),
        2024,
        "Inference for ranks with applications to mobility across neighbourhoods and academic "
        "achievement across countries",
        "Review of Economic Studies",
        "91(1)",
        "476–518",
        "10.1093/restud/rdad006",
    ),
    Citation(
        "nakagawa2013",
        ("Nakagawa, Shinichi", "Schielzeth, Holger"),
        2013,
        "A general and simple method for obtaining R² from generalized linear mixed-effects models",
        "Methods in Ecology and Evolution",
        "4(2)",
        "133–142",
        "10.1111/j.2041-210x.2012.00261.x",
    ),
    Citation(
        "patterson1971",
        ("Patterson, H. D.", "Thompson, R."),
        1971,
        "Recovery of inter-block information when block sizes are unequal",
        "Biometrika",
        "58(3)",
        "545–554",
        "10.1093/biomet/58.3.545",
    ),
    Citation(
        "self1987",
        ("Self, Steven G.", "Liang, Kung-Yee"),
        1987,
        "Asymptotic properties of maximum likelihood estimators and likelihood ratio tests under "
        "nonstandard conditions",
        "Journal of the American Statistical Association",
        "82(398)",
        "605–610",
        "10.1080/01621459.1987.10478472",
    ),
    Citation(
        "snijders1994",
        ("Snijders, Tom A. B.", "Bosker, Roel J."),
        1994,
        "Modeled variance in two-level models",
        "Sociological Methods & Research",
        "22(3)",
        "342–363",
        "10.1177/0049124194022003004",
    ),
    Citation(
        "stram1994",
        ("Stram, Daniel O.", "Lee, Jae Won"),
        1994,
        "Variance components testing in the longitudinal mixed effects model",
        "Biometrics",
        "50(4)",
        "1171–1177",
        "10.2307/2533455",
    ),
    Citation(
        "venzon1988",
        ("Venzon, D. J.", "Moolgavkar, S. H."),
        1988,
        "A method for computing profile-likelihood-based confidence intervals",
        "Applied Statistics",
        "37(1)",
        "87–94",
        "10.2307/2347496",
    ),
)
_BY_KEY = {citation.key: citation for citation in _ALL}

Ranks = Mapping[str, Any] | Sequence[Any]
Families = Sequence[Mapping[str, Any]]


def paragraphs(
    fits: Sequence[Mapping[str, Any]],
    cards: Sequence[Mapping[str, Any]],
    ranks: Ranks = (),
    families: Families = (),
) -> list[Markup]:
    """The methods text of a run, a paragraph each for models, inference, clusters, software.

    ``fits`` are the models' fit.json, ``cards`` the data sets' data_card.json; ``ranks`` holds the
    rows of ranking.csv of each ranked model (by name or in a list), and nothing where none is.
    ``families`` are the families of models as the run had them.
    """
    parts = _parts(fits, cards, ranks, families)
    return [Markup(" ").join(said for said, _ in part) for part in parts]


def citations(
    fits: Sequence[Mapping[str, Any]] | None = None,
    cards: Sequence[Mapping[str, Any]] = (),
    ranks: Ranks = (),
    families: Families = (),
) -> list[Citation]:
    """The references that :func:`paragraphs` cites for the same arguments; without any, all.

    In the order of a list of references: by first author and year.
    """
    used = set(_BY_KEY)
    if fits is not None:
        parts = _parts(fits, cards, ranks, families)
        used = {key for part in parts for _, keys in part for key in keys}
    found = [_BY_KEY[key] for key in used]
    return sorted(found, key=lambda c: (c.authors[0].casefold(), c.year, c.key))


_Said = tuple[Markup, tuple[str, ...]]  # a sentence, and the keys of what it cites


def _say(text: str, *keys: str, models: Markup | str = "") -> _Said:
    """A sentence whose ``{}`` are citations of ``keys`` in order, and ``{models}`` is given."""
    return Markup(text).format(*(_BY_KEY[key].short for key in keys), models=models), keys


def _parts(
    fits: Sequence[Mapping[str, Any]],
    cards: Sequence[Mapping[str, Any]],
    ranks: Ranks,
    families: Families,
) -> list[list[_Said]]:
    # What the members of a family share is told as of a model with the family's name.
    shared = [
        {
            "model": one["name"],
            "method": one["method"],
            "inference": {"df": one["df"], "intervals": "wald"},
        }
        for one in families
    ]
    every = [*fits, *shared]
    tests = [*_inference(every), *_families(families)]
    parts = [_models(every, cards), tests, _clusters(every), _ranking(ranks), _software()]
    return [part for part in parts if part]


def _with(fits: Sequence[Mapping[str, Any]], kind: str, value: str) -> Markup | None:
    """Which models have ``value`` in their inference: None, all (empty), or some by name."""
    chosen = [fit for fit in fits if (fit.get("inference") or {}).get(kind) == value]
    if not chosen:
        return None
    if len(chosen) == len(fits):
        return Markup("")
    names = Markup(", ").join(Markup("<code>{}</code>").format(fit["model"]) for fit in chosen)
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


def _models(fits: Sequence[Mapping[str, Any]], cards: Sequence[Mapping[str, Any]]) -> list[_Said]:
    found: list[_Said] = []
    for card in cards:
        made = " These data are simulated." if synthetic(card) else ""
        text = Markup("{} rows in {} clusters ({}) of {} were analysed.{}").format(
            count(card["rows"]), count(card["clusters"]), isolated(card["cluster"]),
            isolated(card["title"]), made,
        )  # fmt: skip
        found.append((text, ()))
    if not fits:
        return found
    methods = {fit["method"] for fit in fits}
    reml = "restricted maximum likelihood (REML; {})"
    names = {
        frozenset(("reml",)): reml,
        frozenset(("ml",)): "maximum likelihood (ML)",
    }
    how = names.get(frozenset(methods), f"{reml} or, where a model says so, maximum likelihood")
    found.append(
        _say(
            f"Linear mixed models with one grouping factor ({{}}) were fitted by {how}.",
            "laird1982",
            *(("patterson1971",) if "reml" in methods else ()),
        )
    )
    found.append(
        _say(
            "The profiled likelihood ({}) was maximised from more than one start, and a fit was "
            "accepted if gradient, curvature, the agreement of the starts and the likelihood of an "
            "independent implementation supported the optimum.",
            "bates2015",
        )
    )
    missing = sum(fit.get("n_missing") or 0 for fit in fits)
    if missing:
        found.append(
            _say("Rows with a missing value in a variable of a model were left out of it.")
        )
    return found


def _inference(fits: Sequence[Mapping[str, Any]]) -> list[_Said]:
    found: list[_Said] = []
    for kind, sentences in (("df", _TESTS), ("intervals", _INTERVALS)):
        for value, (text, keys) in sentences.items():
            models = _with(fits, kind, value)
            if models is not None:
                found.append(_say(text, *keys, models=models))
    tests = [fit["lr_vs_linear"] for fit in fits if fit.get("lr_vs_linear")]
    if any(test["df"] == 1 for test in tests):
        found.append(
            _say(
                "The likelihood-ratio test of a single variance against 0 used the mixture of "
                "chi-squared distributions that holds at the boundary ({}; {}).",
                "self1987",
                "stram1994",
            )
        )
    if any(test["df"] > 1 for test in tests):
        found.append(
            _say(
                "Likelihood-ratio tests of several covariance parameters at once against 0 used "
                "the chi-squared distribution with as many degrees of freedom, which is "
                "conservative at the boundary ({}).",
                "self1987",
            )
        )
    if any(fit.get("gee") for fit in fits):
        found.append(
            _say(
                "Generalised estimating equations with exchangeable correlations ({}) were fitted "
                "for comparison.",
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


def _clusters(fits: Sequence[Mapping[str, Any]]) -> list[_Said]:
    if not fits:
        return []
    found = [
        _say(
            "Effects of single clusters are empirical-Bayes estimates, the means of their "
            "distribution given the data at the estimated parameters ({}); comparative standard "
            "errors count the error of the fixed effects.",
            "laird1982",
        )
    ]
    explained = [fit["r2"] for fit in fits if fit.get("r2")]
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
    ]


def _software() -> list[_Said]:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _SOFTWARE)
    text = Markup("The analysis was run with mixedflow {} on Python {} ({}).").format(
        mixedflow.__version__, platform.python_version(), versions
    )
    return [(text, ())]
