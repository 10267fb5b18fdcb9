"""A run's artifacts, as the pages show them: data sets with their models, comparisons, lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from mixedflow.artifacts import registry, stored
from mixedflow.artifacts.fit_report import ModelReport
from mixedflow.prose import findings, nesting
from mixedflow.prose.markup import synthetic
from mixedflow.report import families, paper, structures
from mixedflow.report.card import card_parts
from mixedflow.report.model import Model, Shown, read_json, shown_of
from mixedflow.report.ranking import Ranking
from mixedflow.report.tables import records

if TYPE_CHECKING:
    import pandas as pd


# Of the exploration, what tells most of the data: the first of these that there are.
_FIRST_LOOKS = ("nesting", "trajectories", "examples", "cluster_lines", "cluster_sizes")
_MOST_LOOKS = 3
_MOST_CHECKED = 2  # pictures beside the verdicts on assumptions


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

    def headlines(self, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """What was asked of the data set and found; ``rows`` are those of all comparisons."""
        names = {model.name for model in self.models}
        return findings.headlines(
            self.card,
            [model.fit for model in self.models],
            {model.name: records(model.fixed) for model in self.models},
            [row for row in rows if row["alternative"] in names],
            {m.name: m.ranks for m in self.models if m.ranks is not None},
        )

    @property
    def ranking(self) -> Model | None:
        """The model whose ranking the report leads with."""
        ranks = {m.name: m.ranks for m in self.models if m.ranks is not None}
        leading = findings.leading_ranking([model.fit for model in self.models], ranks)
        return next((m for m in self.models for fit in leading if m.name == fit.model), None)

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
    def models_at_once(self) -> Markup | None:
        """The same with labels and fewer digits, for a reader of the report."""
        fitted = [paper.Fitted(m.fit, m.fixed, m.components) for m in self.models]
        if not fitted:
            return None
        names = {v["name"]: v["label"] for v in self.card["variables"] if v.get("label")}

        def called(term: str) -> str:
            """A term by the labels of its columns."""
            return " \N{MULTIPLICATION SIGN} ".join(map(labelled, term.split(":")))

        def labelled(factor: str) -> str:
            column, _, level = factor.rstrip("]").partition("[")
            return f"{names.get(column, column)}{': ' if level else ''}{level}"

        rows = paper.relabelled(fitted, called)
        table = paper.side_by_side(fitted, (3, 2))
        return paper.html(table, " ", lambda row: rows.get(row, row))

    @property
    def lead(self) -> Model | None:
        """The model whose assumptions the report looks at."""
        return self.ranking or (self.models[-1] if self.models else None)

    @property
    def looked_at(self) -> list[Shown]:
        """The first diagnostics of that model; its page has all of them."""
        found = self.lead.diagnostics if self.lead else []
        return [replace(one, key=f"{one.key}-seen", wide=False) for one in found[:_MOST_CHECKED]]

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
    def first_looks(self) -> list[Shown]:
        """The pictures of the exploration that the report itself shows."""
        pictures = [shown for shown in self.explored if not shown.table]
        wanted = [f"{self.name}-{name}" for name in _FIRST_LOOKS]
        found = [shown for key in wanted for shown in pictures if shown.key == key]
        return [replace(shown, wide=False) for shown in found[:_MOST_LOOKS]]

    @cached_property
    def shown_ranking(self) -> Ranking | None:
        lead = self.ranking
        others = [model for model in self.models if model.ranks is not None and model is not lead]
        return Ranking(lead, self.folder, others, self.moves_sentences) if lead else None

    @cached_property
    def pictured(self) -> tuple[Markup, str, str] | None:
        """The one picture of the first screen, where there is more of it, and its style."""
        if self.shown_ranking:
            at = f"#ranking-{self.shown_ranking.model.name}"
            return self.shown_ranking.small, at, "order"
        for model in reversed(self.models):
            for shown in model.pictures("means"):
                return shown, f"appendix/model-{model.name}.html#{model.name}-means", "plot"
        return None

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


@dataclass(frozen=True)
class Run:
    """All below a results folder; data sets alphabetically, models from simple to complex."""

    datasets: list[Dataset]
    compared: pd.DataFrame | None
    families: list[families.Section]
    structures: list[structures.Section]

    @property
    def models(self) -> list[Model]:
        return [model for dataset in self.datasets for model in dataset.models]

    @cached_property
    def fits(self) -> dict[str, ModelReport]:
        return {model.name: model.fit for model in self.models}

    @property
    def convergence(self) -> str:
        """Of all fits, in one line."""
        n, stuck = len(self.models), [m.name for m in self.models if not m.fit.converged]
        singular = [m.name for m in self.models if m.fit.singular and m.fit.converged]
        said = f"{n - len(stuck)} of {n} fits are at their optimum"
        if stuck:
            said += f"; not {', '.join(f'{name} (not converged)' for name in stuck)}"
        if singular:
            said += f"; at a boundary {', '.join(f'{name} (singular)' for name in singular)}"
        return said + "."

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Those of the comparisons."""
        return [] if self.compared is None else records(self.compared)


def read(results_dir: Path, config: Mapping[str, Any]) -> Run:
    """The run in a results folder, of this configuration in its canonical JSON form."""
    path = results_dir / "comparisons.csv"
    compared = stored.read(path) if config.get("comparisons") and path.exists() else None
    rows = [] if compared is None else records(compared)
    return Run(
        _datasets(results_dir, config, rows),
        compared,
        families.sections(results_dir, config),
        structures.sections(results_dir, config),
    )


def _datasets(
    results_dir: Path, config: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> list[Dataset]:
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
