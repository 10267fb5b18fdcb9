"""Artifacts below a results folder -> one HTML page that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

import mixedflow
from mixedflow import (
    captions,
    cards,
    equations,
    family_report,
    files,
    findings,
    interpret,
    methods,
    provenance,
    publication,
    summary,
    tables,
)
from mixedflow.captions import Caption
from mixedflow.errors import SourceError
from mixedflow.pages import count, environment, inline_svg, number, p_value

if TYPE_CHECKING:
    import pandas as pd

# Name of an artifact below explore, and how it is shown; sizes are in the data card.
_EXPLORED = (
    ("cluster_sizes", "svg"),
    ("trajectories", "svg"),
    ("examples", "svg"),
    ("cluster_lines", "svg"),
    ("intercepts_slopes", "svg"),
    ("residual_scatter", "svg"),
    ("residual_acf", "svg"),
    ("residual_correlation", "csv"),
    ("residual_acf", "csv"),
)
_MODEL_FIGURES = ("means", "variance", "shrinkage", "fitted_lines")
_DIAGNOSTIC_FIGURES = ("residual_qq", "residuals_fitted", "effects_qq", "influence")
_TESTS = {
    "normal": "normal (z)",
    "satterthwaite": "t, Satterthwaite",
    "kenward-roger": "t, Kenward-Roger",
}
_INTERVALS = {
    "wald": "Wald",
    "profile": "profile likelihood",
    "bootstrap": "bootstrap percentiles",
}
_MOST_RANKED = 2000  # clusters of a ranking on the page
_MOST_SHARES = 5  # rows of the table of VPC by covariate
_WIDE = 560.0  # points; from here a figure takes the whole width, not one of two columns
_FILES = (
    "cluster_effects",
    "predictions",
    "curves",
    "variance_function",
    "alternatives",
    "effects_diagnostic",
    "influence",
    "bootstrap",
)
_PUBLISHED = ("fixed_effects", "variance_components")
_SCALES = {
    "variance": "variance",
    "variance_se": "SE",
    "variance_ci": "95% CI",
    "sd": "SD",
    "sd_se": "SE",
    "sd_ci": "95% CI",
}
_SHARES = {"vpc": "VPC", "vpc_low": "95% low", "vpc_high": "95% high"}
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
    """A fitted model's artifacts: ``folder`` of the run, ``fit`` = fit.json."""

    folder: Path
    fit: Mapping[str, Any]
    rank: Mapping[str, Any] | None
    card: Mapping[str, Any]
    compared: Sequence[Mapping[str, Any]]  # rows of comparisons that name the model

    @property
    def name(self) -> str:
        return str(self.fit["model"])

    @property
    def marks(self) -> list[str]:
        return findings.marks(self.fit)

    @cached_property
    def fixed(self) -> pd.DataFrame:
        return tables.read(self.folder / "fixed_effects.csv")

    @cached_property
    def components(self) -> pd.DataFrame:
        return tables.read(self.folder / "variance_components.csv")

    @cached_property
    def ranks(self) -> pd.DataFrame | None:
        path = self.folder / "ranking.csv"
        return tables.read(path) if self.rank and path.exists() else None

    @property
    def interpretations(self) -> list[Markup]:
        """What the numbers mean in plain words, a sentence each."""
        fixed, components = records(self.fixed), records(self.components)
        told = [
            *interpret.coefficients(self.fit, fixed, components, self.card),
            *interpret.variance(self.fit, components, self.card, fixed),
            *interpret.tests(self.fit, self.compared, self.card),
        ]
        return [one.sentence for one in told]

    @property
    def share(self) -> Markup | None:
        return findings.share_between(self.fit, self.card)

    @property
    def symbolic(self) -> list[Markup]:
        return equations.two_level(self.fit, records(self.components))

    @property
    def fitted(self) -> list[Markup]:
        estimates = dict(zip(self.fixed["term"], self.fixed["estimate"], strict=True))
        return equations.fitted(self.fit, estimates, records(self.components))

    @property
    def fixed_table(self) -> Markup:
        shown = self.fixed.drop(columns=["df"]) if self.fixed["df"].isna().all() else self.fixed
        symbols = equations.symbols(list(self.fixed["term"]))
        return table(shown.assign(symbol=symbols)[["symbol", *shown.columns]])

    @property
    def components_table(self) -> Markup:
        """A row a component: variance or covariance, and standard deviation or correlation."""
        import pandas as pd

        scales = {"var": "variance", "cov": "variance", "sd": "sd", "corr": "sd"}
        rows: dict[tuple[str, str, str], dict[str, Any]] = {}
        for row in records(self.components):
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
        return Markup(tables.html_table(numeric, _SCALES))

    @property
    def shares_table(self) -> Markup | None:
        """The share between clusters at values of the covariate, where it depends on one."""
        if not self.fit.get("variance_function"):
            return None
        found = tables.read(self.folder / "variance_function.csv")
        shown = found.iloc[
            [round(k * (len(found) - 1) / (_MOST_SHARES - 1)) for k in range(_MOST_SHARES)]
        ]
        columns = ["x", "between", "residual", "total", "vpc", "vpc_low", "vpc_high"]
        return Markup(tables.html_table(shown[columns], {"x": self.fit["x"], **_SHARES}))

    @property
    def stata(self) -> str:
        """The fit as Stata prints it."""
        return summary.text(self.fit, self.fixed, self.components)

    @property
    def contrasts_table(self) -> Markup | None:
        found = tables.read(self.folder / "contrasts.csv")
        return None if found.empty else table(found.dropna(axis="columns", how="all"))

    @property
    def alternatives_table(self) -> Markup:
        shown = tables.read(self.folder / "alternatives.csv")
        return table(shown[["term", "method", "estimate", "std_error", "conf_low", "conf_high"]])

    @property
    def figures(self) -> list[Shown]:
        return self._figures(_MODEL_FIGURES, captions.MODEL)

    @property
    def diagnostics(self) -> list[Shown]:
        return self._figures(_DIAGNOSTIC_FIGURES, captions.MODEL)

    def _figures(self, keys: tuple[str, ...], told: Mapping[str, Caption]) -> list[Shown]:
        folder = self.folder / "figures"
        return [
            figure(folder / f"{key}.svg", f"{self.name}-{key}", told[key])
            for key in keys
            if (folder / f"{key}.svg").exists()
        ]

    @property
    def ranking(self) -> list[Shown]:
        """Every figure of the ranking that exists, in the captions' order."""
        return self._figures(tuple(captions.RANKING), captions.RANKING)

    @property
    def ranking_tables(self) -> list[Shown]:
        """Every table of the ranking that exists, but for the ranking and what a figure shows."""
        return [
            Shown(f"{self.name}-{key}-table", caption, Markup(tables.html_of(path)), table=True)
            for key, caption in captions.RANKING.items()
            if key not in ("ranking", "ranking_probabilities")
            and (path := self.folder / f"{key}.csv").exists()
        ]

    @property
    def ranking_words(self) -> Mapping[str, list[str]]:
        """``sentences`` and ``cautions`` of ranking.json, where there is one."""
        path = self.folder / "ranking.json"
        found = _json(path) if path.exists() else {}
        return {key: list(found.get(key, [])) for key in ("sentences", "cautions")}

    @property
    def ranking_table(self) -> Markup:
        assert self.ranks is not None
        shown = self.ranks[[c for c in _RANKING_COLUMNS if c in self.ranks.columns]]
        return Markup(tables.html_table(shown, most=_MOST_RANKED))

    @property
    def ranked_by(self) -> str:
        by = (self.rank or {}).get("by") or equations.INTERCEPT
        if isinstance(by, str):
            return by
        return " + ".join(
            [
                equations.INTERCEPT,
                *(f"{number(x)} × {term}" for term, x in sorted(by["at"].items())),
            ]
        )

    @property
    def facts(self) -> list[tuple[str, Any]]:
        """What Stata prints above and below its tables."""
        fit = self.fit
        sizes, wald, lr, r2 = (fit[key] for key in ("group_size", "wald", "lr_vs_linear", "r2"))
        how = fit["inference"]
        spread = (count(sizes["min"]), number(sizes["mean"]), count(sizes["max"]))
        found = [
            ("Method", {"ml": "ML", "reml": "REML"}.get(fit["method"], fit["method"])),
            ("Number of observations", count(fit["n_obs"])),
            ("Rows with missing values", count(fit["n_missing"]) if fit["n_missing"] else None),
            (f"Number of groups ({fit['group']})", count(fit["n_groups"])),
            ("Rows a group: min, mean, max", ", ".join(spread)),
            ("Log-likelihood", tables.number(fit["log_likelihood"], digits=8)),
            ("AIC, BIC", f"{number(fit['aic'])}, {number(fit['bic'])}"),
            ("Tests; intervals", f"{_TESTS[how['df']]}; {_INTERVALS[how['intervals']]}"),
        ]
        if kept := fit.get("sample"):
            text = f"{count(kept['rows'])} rows of {count(kept['clusters'])} clusters"
            found.append(("Sample that residuals and predictions are of", text))
        if wald:
            text = f"{number(wald['chi2'])}, {p_value(wald['p_value'])}"
            found.append((f"Wald chi2({wald['df']})", text))
        if lr:
            text = f"{lr['distribution']} = {number(lr['statistic'])}, {p_value(lr['p_value'])}"
            found.append(("LR test vs. linear model", text))
        if r2:
            text = f"{number(r2['marginal'])}, {number(r2['conditional'])}"
            found.append(("R² marginal, conditional", text))
            if "level1" in r2:
                text = f"{number(r2['level1'])}, {number(r2['level2'])}"
                found.append(("Explained at level 1, level 2 (Snijders and Bosker)", text))
        minimum = (fit.get("variance_function") or {}).get("minimum_at")
        if minimum is not None:
            predictor = fit["variance_function"]["predictor"]
            found.append((f"Total variance smallest at {predictor}", number(minimum)))
        return found

    @property
    def convergence(self) -> str:
        """The verdict on the optimum, in words."""
        evidence = self.fit["evidence"]
        starts, audit = evidence.get("starts") or {}, evidence.get("mixedlm") or {}
        if not self.fit["converged"]:
            return "No: " + "; ".join(self.fit["warnings"]) + "."
        text = "Yes: gradient and curvature say so"
        if len(starts) > 1:
            text += f", {count(len(starts))} starts end at the same log-likelihood"
        if audit.get("difference") is not None:
            text += (
                f", and that of statsmodels MixedLM ({audit['how']}) differs from it by "
                f"{number(audit['difference'])}"
            )
        if self.fit["singular"]:
            text += (
                ". The optimum lies on the boundary of the variances, where they have no "
                "standard errors"
            )
        return text + "."

    @property
    def evidence_table(self) -> Markup:
        flat = {**self.fit["evidence"]}
        starts, audit = flat.pop("starts", None) or {}, flat.pop("mixedlm", None) or {}
        for words in ("diagnosis", "next_step"):
            flat.pop(words, None)
        rows = [{"what": key.replace("_", " "), "value": flat[key]} for key in sorted(flat)]
        for name, start in sorted(starts.items()):
            rows += [
                {"what": f"start {name}: {key.replace('_', ' ')}", "value": start[key]}
                for key in sorted(start)
            ]
        rows += [
            {"what": f"MixedLM: {key.replace('_', ' ')}", "value": audit[key]}
            for key in ("log_likelihood", "difference", "tolerance")
            if audit.get(key) is not None
        ]
        return cards.fragment(
            [{**row, "value": tables.number(row["value"], digits=10)} for row in rows]
        )

    @property
    def files(self) -> list[str]:
        names = [f"{name}.csv" for name in _FILES] + [f"{name}.tex" for name in _PUBLISHED]
        return [name for name in names if (self.folder / name).exists()]


@dataclass(frozen=True)
class Dataset:
    """A prepared data set's artifacts, with its models from simple to complex."""

    folder: Path
    card: Mapping[str, Any]
    spec: Mapping[str, Any]
    models: list[Model]

    @property
    def name(self) -> str:
        return str(self.card["dataset"])

    @cached_property
    def sentence(self) -> Markup:
        return findings.data_sentence(self.card)

    @property
    def moves(self) -> list[Shown]:
        """How ranks move between this data set's models, where one of them ranks."""
        if not any(model.rank for model in self.models):
            return []
        path, caption = self.folder / "rank_moves.svg", captions.MOVES["rank_moves"]
        found = [figure(path, f"{self.name}-rank_moves", caption)] if path.exists() else []
        for key, caption in captions.MOVES.items():
            if (path := self.folder / f"{key}.csv").exists():
                body = Markup(tables.html_of(path))
                found.append(Shown(f"{self.name}-{key}-table", caption, body, table=True))
        return found

    @property
    def moves_sentences(self) -> list[str]:
        path = self.folder / "rank_moves.json"
        return list(_json(path)["sentences"]) if path.exists() else []

    @property
    def side_by_side(self) -> Markup | None:
        """The models in the columns of one table, as papers print them."""
        fitted = [publication.Fitted(m.fit, m.fixed, m.components) for m in self.models]
        return publication.html(publication.side_by_side(fitted)) if fitted else None

    @property
    def synthetic(self) -> bool:
        return cards.synthetic(self.card)

    @property
    def parts(self) -> dict[str, Markup]:
        return cards.card_parts(self.card)

    @property
    def explored(self) -> list[Shown]:
        """What the data showed before any model; nothing that an earlier configuration left."""
        explore, found = self.spec.get("explore") or {}, []
        wanted = {
            "trajectories": explore and self.spec.get("time"),
            "residual": explore and explore.get("trend"),
        }
        for key, kind in _EXPLORED:
            if not wanted.get(key.split("_")[0], explore):
                continue
            path = self.folder / "explore" / f"{key}.{kind}"
            place, caption = f"{self.name}-{key}", captions.EXPLORE[key]
            if path.exists() and kind == "svg":
                found.append(figure(path, place, caption))
            elif path.exists():
                body = Markup(tables.html_of(path))
                found.append(Shown(f"{place}-table", caption, body, table=True))
        return found


def render(results_dir: Path, config: Mapping[str, Any], out: Path) -> None:
    """Write the report of the run in ``results_dir`` to ``out``.

    ``config`` is the run's configuration in its canonical JSON form. Data sets come
    alphabetically, the models of each from few parameters to many.

    Raises
    ------
    SourceError
        An artifact is missing or unreadable.
    """
    try:
        made = page(results_dir, config)
    except (OSError, ValueError, KeyError) as error:
        what = f"an artifact is missing or unreadable ({error})"
        raise SourceError(str(results_dir), what, "run the workflow again") from error
    files.write_text(out, made)


def page(results_dir: Path, config: Mapping[str, Any]) -> str:
    """The report as text; see :func:`render`."""
    path = results_dir / "comparisons.csv"
    compared = tables.read(path) if config.get("comparisons") and path.exists() else None
    rows = [] if compared is None else records(compared)
    datasets = _datasets(results_dir, config, rows)
    models = [model for dataset in datasets for model in dataset.models]
    fits = {model.name: model.fit for model in models}
    report = config.get("report") or {}
    script = environment().get_template("report/script.js.j2").render()
    used_cards = [dataset.card for dataset in datasets]
    ranked = {model.name: model.ranks for model in models if model.ranks is not None}
    families = family_report.sections(results_dir, config)
    used = list(fits.values()), used_cards, ranked, [family.spec for family in families]
    cautions = findings.cautions([d.card for d in datasets], list(fits.values()), rows)
    return (
        environment()
        .get_template("report/report.html.j2")
        .render(
            title=report.get("title") or "Multilevel analysis",
            author=report.get("author") or "",
            datasets=datasets,
            models=models,
            overview=_overview(models),
            headlines={d.name: _headlines(d, rows) for d in datasets},
            families=families,
            cautions=[*(caution for one in families for caution in one.cautions), *cautions],
            methods=methods.paragraphs(*used),
            citations=methods.citations(*used),
            comparison_sentences=[findings.comparison_sentence(row, fits) for row in rows],
            comparisons_table=None if compared is None else _comparisons(compared, fits),
            compared_sentence=lambda row: findings.comparison_sentence(row, fits),
            ranking_sentence=lambda m: findings.ranking_sentence(m.fit, m.ranks),
            marked=findings.marked,
            captions=captions.ALL,
            sources=_sources(datasets),
            config=json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False),
            version=mixedflow.__version__,
            packages=_packages(),
            script=Markup(script),
            script_hash=_hash(script),
        )
    )


def _hash(script: str) -> str:
    """What a Content-Security-Policy allows a script by: of the text between its tags."""
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")


def _headlines(dataset: Dataset, rows: list[dict[str, Any]]) -> list[Markup]:
    names = {model.name for model in dataset.models}
    return findings.headlines(
        dataset.card,
        [model.fit for model in dataset.models],
        {model.name: records(model.fixed) for model in dataset.models},
        [row for row in rows if row["alternative"] in names],
        {m.name: m.ranks for m in dataset.models if m.ranks is not None},
    )


def _packages() -> Markup:
    """Versions of what made the artifacts."""
    versions = {"python": platform.python_version(), **provenance.environment()["packages"]}
    return cards.fragment([{"package": name, "version": text} for name, text in versions.items()])


def figure(path: Path, key: str, caption: Caption) -> Shown:
    """An SVG artifact, with ids of its own on the page."""
    body = inline_svg(path.read_text(encoding="utf-8"), f"fig-{key}", caption.title)
    box = re.search(r'viewBox="\S+ \S+ ([\d.]+) ', body[:500])
    return Shown(key, caption, body, wide=box is not None and float(box[1]) > _WIDE)


def table(frame: pd.DataFrame) -> Markup:
    return Markup(tables.html_table(frame))


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dictionaries, None for what is missing."""
    columns = {str(name): frame[name].tolist() for name in frame.columns}
    return [
        {name: None if value != value else value for name, value in zip(columns, row, strict=True)}
        for row in zip(*columns.values(), strict=True)
    ]


def _datasets(
    results_dir: Path, config: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> list[Dataset]:
    found = []
    for name in sorted(config["datasets"]):
        folder = results_dir / "datasets" / name
        card = _json(folder / "data_card.json")
        models = [
            Model(
                results_dir / "models" / key,
                _json(results_dir / "models" / key / "fit.json"),
                spec.get("rank"),
                card,
                [row for row in rows if key in (row["null"], row["alternative"])],
            )
            for key, spec in config["models"].items()
            if spec["dataset"] == name
        ]
        models.sort(key=lambda model: publication.order(model.fit))
        found.append(Dataset(folder, card, config["datasets"][name], models))
    return found


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _overview(models: list[Model]) -> Markup:
    return cards.fragment(
        [
            {
                "model": findings.named(model.fit),
                "data set": model.fit["dataset"],
                "formula": model.fit["formula"],
                "method": model.fit["method"].upper(),
                "parameters": model.fit["n_parameters"],
                "log-likelihood": model.fit["log_likelihood"],
                "AIC": model.fit["aic"],
            }
            for model in models
        ]
    )


def _sources(datasets: list[Dataset]) -> Markup:
    return cards.fragment(
        [
            {
                "data set": dataset.name,
                "source": dataset.card["source"]["description"],
                "SHA-256": dataset.card["source"]["sha256"],
            }
            for dataset in datasets
        ]
    )


def _comparisons(compared: pd.DataFrame, fits: Mapping[str, Mapping[str, Any]]) -> Markup:
    """The table, models with their marks; a column of warnings only where there is one."""
    shown = compared.copy()
    for column in ("null", "alternative"):
        shown[column] = [
            findings.named(fits[name]) if name in fits else name for name in compared[column]
        ]
    return table(shown.dropna(axis="columns", how="all"))
