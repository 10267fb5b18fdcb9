"""Artifacts below a results folder -> one HTML page that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

import mixedflow
from mixedflow.artifacts import registry, stored
from mixedflow.artifacts.fit_report import ModelReport
from mixedflow.artifacts.storage import write_text
from mixedflow.errors import SourceError
from mixedflow.jobs import provenance
from mixedflow.prose import captions, findings, methods, nesting
from mixedflow.prose.markup import synthetic
from mixedflow.report import paper, structures
from mixedflow.report.card import card_parts, fragment
from mixedflow.report.families import sections
from mixedflow.report.html import environment
from mixedflow.report.model import Model, Shown, read_json, shown_of
from mixedflow.report.tables import records, table

if TYPE_CHECKING:
    import pandas as pd


RESOURCES = ("templates/report/*.j2",)


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
        return findings.data_sentence(self.card, [model.fit for model in self.models])

    @property
    def moves(self) -> list[Shown]:
        """How ranks move between this data set's models, where one of them ranks."""
        if not any(model.rank for model in self.models):
            return []
        return shown_of(self.folder, self.name, registry.section(registry.MOVED))

    @property
    def moves_sentences(self) -> list[str]:
        path = self.folder / "rank_moves.json"
        return list(read_json(path)["sentences"]) if path.exists() else []

    @property
    def side_by_side(self) -> Markup | None:
        """The models in the columns of one table, as papers print them."""
        fitted = [paper.Fitted(m.fit, m.fixed, m.components) for m in self.models]
        return paper.html(paper.side_by_side(fitted)) if fitted else None

    @property
    def synthetic(self) -> bool:
        return synthetic(self.card)

    @property
    def parts(self) -> dict[str, Markup]:
        return card_parts(self.card)

    @property
    def explored(self) -> list[Shown]:
        """What the data showed before any model; nothing that an earlier configuration left."""
        explore = self.spec.get("explore") or {}
        has = {
            registry.TIME: self.spec.get("time"),
            registry.TREND: explore.get("trend"),
            registry.VISITS: explore.get("visit"),
            registry.FACTORS: self._several and not self.spec.get("chunks"),
        }
        asked = [
            one
            for one in registry.section(registry.EXPLORATION)
            if all(has[need] for need in one.needs) and (explore or registry.FACTORS in one.needs)
        ]
        folder = self.folder / "explore"
        # Nested factors alone have no crossing to show.
        asked = [
            one
            for one in asked
            if one.name != "crossings"
            or not (folder / "crossings.csv").exists()
            or len(stored.read(folder / "crossings.csv"))
        ]
        return shown_of(folder, self.name, asked)

    @property
    def _several(self) -> bool:
        """Whether a model has several grouping factors."""
        return any(len(model.fit.groups) > 1 for model in self.models)

    @property
    def levels_sentences(self) -> list[Markup]:
        """How several grouping factors lie to each other."""
        folder = self.folder / "explore"
        if not self._several or not (folder / "levels.csv").exists():
            return []
        levels, crossings = (stored.read(folder / f"{n}.csv") for n in ("levels", "crossings"))
        return nesting.sentences(records(levels), records(crossings))


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
    write_text(out, made)


def page(results_dir: Path, config: Mapping[str, Any]) -> str:
    """The report as text; see :func:`render`."""
    path = results_dir / "comparisons.csv"
    compared = stored.read(path) if config.get("comparisons") and path.exists() else None
    rows = [] if compared is None else records(compared)
    datasets = read_datasets(results_dir, config, rows)
    models = [model for dataset in datasets for model in dataset.models]
    fits = {model.name: model.fit for model in models}
    report = config.get("report") or {}
    script = environment().get_template("report/script.js.j2").render()
    used_cards = [dataset.card for dataset in datasets]
    ranked = {model.name: model.ranks for model in models if model.ranks is not None}
    families = sections(results_dir, config)
    tried = structures.sections(results_dir, config)
    used = (
        list(fits.values()),
        used_cards,
        ranked,
        [family.spec for family in families],
        [one.spec for one in tried],
    )
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
            headlines={d.name: headlines_of(d, rows) for d in datasets},
            families=families,
            structures=tried,
            cautions=[
                *(caution for one in families for caution in one.cautions),
                *(caution for one in tried for caution in one.cautions),
                *cautions,
            ],
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


def headlines_of(dataset: Dataset, rows: list[dict[str, Any]]) -> list[Markup]:
    """What the first screen says of a data set."""
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
    return fragment([{"package": name, "version": text} for name, text in versions.items()])


def read_datasets(
    results_dir: Path, config: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> list[Dataset]:
    """The data sets of a configuration; ``rows`` are those of the comparisons."""
    found = []
    for name in sorted(config["datasets"]):
        folder = results_dir / "datasets" / name
        card = read_json(folder / "data_card.json")
        models = [
            Model(
                results_dir / "models" / key,
                ModelReport.read(results_dir / "models" / key / "fit.json"),
                spec.get("rank"),
                card,
                [row for row in rows if key in (row["null"], row["alternative"])],
                bool(spec.get("means")),
                isinstance(spec["inference"]["gee"], list),
            )
            for key, spec in config["models"].items()
            if spec["dataset"] == name
        ]
        models.sort(key=lambda model: paper.order(model.fit))
        found.append(Dataset(folder, card, config["datasets"][name], models))
    return found


def _overview(models: list[Model]) -> Markup:
    structured = any(model.residual for model in models)
    return fragment(
        [
            {
                "model": findings.named(model.fit),
                "data set": model.fit.dataset,
                "formula": model.fit.formula,
                **({"residuals": _structure(model)} if structured else {}),
                "method": model.fit.method.upper(),
                "parameters": model.fit.n_parameters,
                "log-likelihood": model.fit.log_likelihood,
                "AIC": model.fit.aic,
            }
            for model in models
        ]
    )


def _structure(model: Model) -> str:
    return model.residual.removeprefix("residual: ") or "independent"


def _sources(datasets: list[Dataset]) -> Markup:
    return fragment(
        [
            {
                "data set": dataset.name,
                "source": dataset.card["source"]["description"],
                "SHA-256": dataset.card["source"]["sha256"],
            }
            for dataset in datasets
        ]
    )


def _comparisons(compared: pd.DataFrame, fits: Mapping[str, ModelReport]) -> Markup:
    """The table, models with their marks; a column of warnings only where there is one."""
    shown = compared.copy()
    for column in ("null", "alternative"):
        shown[column] = [
            findings.named(fits[name]) if name in fits else name for name in compared[column]
        ]
    return table(shown.dropna(axis="columns", how="all"))
