"""A fitted model's part of the page, from its artifacts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from csv import reader
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from mixedflow.artifacts import formatting, registry, stored
from mixedflow.artifacts.fit_report import GroupReport, ModelReport
from mixedflow.artifacts.registry import Artifact
from mixedflow.language.names import INTERCEPT, RESIDUAL
from mixedflow.prose import (
    agreement,
    captions,
    checks,
    equations,
    findings,
    interpretation,
    residual_names,
)
from mixedflow.prose.captions import Caption
from mixedflow.prose.latex import latex
from mixedflow.prose.levels import described
from mixedflow.prose.markup import number
from mixedflow.prose.stata import Tables, text
from mixedflow.report import facts
from mixedflow.report.html import inline_svg
from mixedflow.report.tables import (
    components_table,
    records,
    residual_table,
    shares_table,
    table,
)

if TYPE_CHECKING:
    import pandas as pd

_MOST_RANKED = 2000  # clusters of a ranking on the page
_WIDE = 560.0  # points; from here a figure takes the whole width, not one of two columns
_RANKING_COLUMNS = (
    "rank",
    "cluster",
    "selected",
    "n",
    "estimate",
    "conf_low",
    "conf_high",
    "rank_low",
    "rank_high",
    "rank_set_low",
    "rank_set_high",
    "rank_set_low_marginal",
    "rank_set_high_marginal",
    "p_top",
)


@dataclass(frozen=True)
class Shown:
    """A figure or table with its place on the page and its caption."""

    key: str
    caption: Caption
    body: Markup
    wide: bool = False
    table: bool = False


@dataclass(frozen=True)
class Model:
    """A fitted model's artifacts: ``folder`` of the run, ``fit`` = fit.json.

    It is long because the page's template has many slots, and each is a property of few lines.
    """

    folder: Path
    fit: ModelReport
    rank: Mapping[str, Any] | None
    card: Mapping[str, Any]
    compared: Sequence[Mapping[str, Any]]  # rows of comparisons that name the model
    has_means: bool = False  # the configuration asks for marginal means
    has_agreement: bool = False  # and lists working correlations of GEE

    @property
    def name(self) -> str:
        return str(self.fit.model)

    @property
    def warnings(self) -> list[str]:
        return [*self.fit.warnings, *findings.outcome_caution(self.fit)]

    @property
    def marks(self) -> list[str]:
        return findings.marks(self.fit)

    @cached_property
    def fixed(self) -> pd.DataFrame:
        return stored.read(self.folder / "fixed_effects.csv")

    @cached_property
    def components(self) -> pd.DataFrame:
        return stored.read(self.folder / "variance_components.csv")

    @cached_property
    def ranks(self) -> pd.DataFrame | None:
        path = self.folder / "ranking.csv"
        return stored.read(path) if self.rank and path.exists() else None

    @property
    def interpretations(self) -> list[Markup]:
        """What the numbers mean in plain words, a sentence each."""
        fixed, components = records(self.fixed), records(self.components)
        told = [
            *interpretation.coefficients(self.fit, fixed, components, self.card),
            *interpretation.variance(self.fit, components, self.card, fixed),
            *interpretation.tests(self.fit, self.compared, self.card),
        ]
        return [one.sentence for one in told]

    @property
    def intercept_means(self) -> list[Markup]:
        """What a cluster's intercept is beside its slope, where the two are correlated."""
        fixed, components = records(self.fixed), records(self.components)
        told = interpretation.variance(self.fit, components, self.card, fixed)
        return [one.sentence for one in told if one.term == interpretation.EB_INTERCEPT]

    @property
    def share(self) -> Markup | None:
        return findings.share_between(self.fit, self.card)

    @property
    def share_depends(self) -> str:
        """Why the share is none that holds everywhere."""
        slopes = any(term != INTERCEPT for term in self.fit.random_terms)
        why = "With a random slope" if slopes else "With several residual variances"
        on = "the covariate" if slopes else "them"
        return (
            f"{why} this share depends on {on}, so that one intraclass correlation does not exist."
        )

    @property
    def symbolic(self) -> list[Markup]:
        return equations.symbolic(self.fit, records(self.components))

    @property
    def fitted(self) -> list[Markup]:
        estimates = dict(zip(self.fixed["term"], self.fixed["estimate"], strict=True))
        return equations.fitted(self.fit, estimates, records(self.components))

    @property
    def headings(self) -> tuple[list[str], list[str]]:
        """What the blocks of the two are called."""
        return equations.headings(self.fit)

    @property
    def latex(self) -> str:
        """The equations for a paper."""
        return latex([*self.symbolic, *self.fitted])

    @property
    def what_is_row(self) -> Markup:
        """What the subscripts of the equations stand for."""
        return described(self.fit)

    @property
    def fixed_table(self) -> Markup:
        shown = self.fixed.drop(columns=["df"]) if self.fixed["df"].isna().all() else self.fixed
        symbols = equations.symbols(list(self.fixed["term"]))
        return table(shown.assign(symbol=symbols)[["symbol", *shown.columns]])

    @property
    def components_table(self) -> Markup:
        return components_table(self.components)

    @property
    def residual_table(self) -> Markup | None:
        """Correlation, range, ratios and powers of a residual structure."""
        return residual_table(self.components)

    @property
    def residual_caption(self) -> Caption:
        residuals = self.components[self.components["group"] == RESIDUAL]
        return captions.of_residuals(residuals["scale"], self.fit.marginal)

    @property
    def residual(self) -> str:
        """The residual structure as the configuration has it."""
        return residual_names.written(self.fit)

    @property
    def structure(self) -> str:
        return self.residual.removeprefix("residual: ") or "independent"

    @property
    def empty_ends(self) -> str:
        return findings.empty_ends(self.fit, self.fixed, self.components)

    @property
    def shares_table(self) -> Markup | None:
        """The share between clusters at values of the covariate, where it depends on one."""
        if not self.fit.variance_function:
            return None
        function = stored.read(self.folder / "variance_function.csv")
        return shares_table(function, str(self.fit.x))

    @property
    def stata(self) -> str:
        """The fit as Stata prints it."""
        return text(self.fit, Tables(self.fixed, self.components, outcome=self.fit.outcome))

    @property
    def contrasts_table(self) -> Markup | None:
        found = stored.read(self.folder / "contrasts.csv")
        return None if found.empty else table(found.dropna(axis="columns", how="all"))

    @property
    def means_tables(self) -> list[Shown]:
        """Marginal means and their differences, if the configuration asks for them."""
        if not self.has_means:
            return []
        names = ("marginal_means", "marginal_means_pairs")
        found = {name: stored.read(self.folder / f"{name}.csv") for name in names}
        return [
            Shown(f"{self.name}-{name}-table", captions.ALL[name], table(_filled(shown)))
            for name, shown in found.items()
            if len(shown)
        ]

    @cached_property
    def agreement(self) -> tuple[Shown, list[Markup]] | None:
        """The mean by a random intercept, a marginal model and GEE, and where these agree."""
        if not self.has_agreement:
            return None
        found = stored.read(self.folder / "agreement.csv")
        rows = [{str(k): v for k, v in row.items()} for row in found.to_dict("records")]
        shown = table(_filled(found.drop(columns="failure")))
        of = Shown(f"{self.name}-agreement-table", captions.ALL["agreement"], shown)
        return of, agreement.sentences(rows)

    @property
    def alternatives_table(self) -> Markup:
        shown = stored.read(self.folder / "alternatives.csv")
        if self.fit.marginal:
            shown["method"] = shown["method"].replace("mixed model", "model")
        return table(shown[["term", "method", "estimate", "std_error", "conf_low", "conf_high"]])

    def pictures(self, *names: str) -> list[Markup]:
        """Those of these figures that the model has, once more on another page."""
        found = {shown.key: shown.body for shown in [*self.figures, *self.diagnostics]}
        keys = [f"{self.name}-{name}" for name in names]
        return [found[key] for key in keys if key in found]

    @property
    def figures(self) -> list[Shown]:
        return self._figures(registry.PICTURES)

    @property
    def diagnostics(self) -> list[Shown]:
        """Of a pseudo-likelihood without the influence of clusters, which is not known then."""
        hidden = f"{self.name}-influence" if self.fit.lr_vs_linear is None else ""
        return [one for one in self._figures(registry.DIAGNOSTICS) if one.key != hidden]

    def _figures(self, section: str) -> list[Shown]:
        found = shown_of(self.folder, self.name, self._own(section, registry.FIGURE))
        told = {f"{self.name}-{name}": caption for name, caption in self.captions.items()}
        return [replace(shown, caption=told[shown.key]) for shown in found]

    @property
    def captions(self) -> dict[str, Caption]:
        """By artifact, as they hold of this model."""
        return captions.of_model(self.fit.marginal, bool(self.fit.residual))

    def _own(self, section: str, *formats: str) -> list[Artifact]:
        """Those of a part of the report that the model can have, whatever an earlier run left."""
        lacks = {registry.EFFECTS} if self.fit.marginal else set()
        lacks |= set() if self.has_means else {registry.MEANS}
        lacks |= set() if self.has_agreement else {registry.AGREEMENT}
        lacks |= {registry.COURSE} if self.fit.residual is None else set()
        return [one for one in registry.section(section, *formats) if not lacks & {*one.needs}]

    @property
    def checks(self) -> list[tuple[checks.Verdict, str]]:
        """Verdicts on the assumptions, each with the place of its figure, empty without one."""
        path = self.folder / "checks.csv"
        rows = records(stored.read(path)) if path.exists() else []
        there = {shown.key for shown in self.diagnostics}
        found = []
        for one in checks.verdicts(rows, self.card):
            key = f"{self.name}-{one.figure}"
            found.append((one, f"appendix/model-{self.name}.html#{key}" if key in there else ""))
        return found

    @property
    def ranking(self) -> list[Shown]:
        """Every figure of the ranking that exists."""
        return self._figures(registry.ORDER)

    @property
    def ranking_tables(self) -> list[Shown]:
        """Every table of the ranking that exists, but for the ranking and what a figure shows."""
        return shown_of(self.folder, self.name, registry.section(registry.ORDER, registry.TABLE))

    @property
    def ranking_words(self) -> Mapping[str, list[str]]:
        """``sentences`` and ``cautions`` of ranking.json, where there is one."""
        path = self.folder / "ranking.json"
        found = read_json(path) if path.exists() else {}
        return {key: list(found.get(key, [])) for key in ("sentences", "cautions")}

    @property
    def ranking_table(self) -> Markup:
        assert self.ranks is not None
        shown = self.ranks[[c for c in _RANKING_COLUMNS if c in self.ranks.columns]]
        return Markup(formatting.html_table(shown, most=_MOST_RANKED))

    @property
    def ranked_group(self) -> GroupReport:
        """The grouping factor whose clusters are ranked: the first, unless another is named."""
        wanted = (self.rank or {}).get("group")
        for group in self.fit.groups:
            if wanted in (group.name, group.name.rsplit(":", 1)[-1]):
                return group
        return self.fit.groups[0]

    @property
    def ranked_by(self) -> str:
        by = (self.rank or {}).get("by") or INTERCEPT
        if isinstance(by, str):
            return by
        if sorted([INTERCEPT, *by["at"]]) != sorted(self.ranked_group.random_terms):
            values = (
                f"{name} = {x if isinstance(x, str) else number(x)}"
                for name, x in sorted(by["at"].items())
            )
            return f"value at {', '.join(values)}"
        return " + ".join(
            [
                INTERCEPT,
                *(f"{number(x)} × {term}" for term, x in sorted(by["at"].items())),
            ]
        )

    @property
    def facts(self) -> list[tuple[str, Any]]:
        return facts.facts(self.fit)

    @property
    def convergence(self) -> str:
        return facts.convergence(self.fit)

    @property
    def evidence_table(self) -> Markup:
        return facts.evidence_table(self.fit)

    @property
    def files(self) -> list[str]:
        further, printed = self._own(registry.FURTHER), registry.published(registry.MODEL)
        names = [*(f"{one.name}.csv" for one in further), *(f"{one.name}.tex" for one in printed)]
        return [name for name in names if (self.folder / name).exists()]


def _filled(shown: pd.DataFrame) -> pd.DataFrame:
    """Without columns that are empty in every row."""
    empty = shown.isna() | (shown == "")
    return shown.loc[:, ~empty.all()]


def shown_of(folder: Path, of: str, artifacts: Iterable[Artifact]) -> list[Shown]:
    """Those of ``artifacts`` that are there, each with its caption.

    ``folder`` is that of their stage, ``of`` the name of the data set or model.
    """
    found = []
    for artifact in artifacts:
        key, caption = f"{of}-{artifact.name}", captions.ALL[artifact.name]
        path = folder / artifact.files[0].place
        if path.exists() and artifact.format == registry.FIGURE:
            found.append(figure(path, key, caption))
        elif path.exists():
            body = Markup(html_of(path))
            found.append(Shown(f"{key}-table", caption, body, table=True))
    return found


def html_of(csv: Path) -> str:
    """An HTML table of the first rows of a table as it is stored."""
    with csv.open(encoding="utf-8", newline="") as file:
        total = sum(1 for _ in reader(file)) - 1
    return formatting.html_table(stored.read(csv, most=formatting.MOST_ROWS), total=total)


def figure(path: Path, key: str, caption: Caption) -> Shown:
    """An SVG artifact, with ids of its own on the page."""
    body = inline_svg(path.read_text(encoding="utf-8"), f"fig-{key}", caption.title)
    box = re.search(r'viewBox="\S+ \S+ ([\d.]+) ', body[:500])
    return Shown(key, caption, body, wide=box is not None and float(box[1]) > _WIDE)


def read_json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))
