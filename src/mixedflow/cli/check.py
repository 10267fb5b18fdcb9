"""``mixedflow check``: hold a configuration against its data without running anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mixedflow.analysis import exploration, ranking
from mixedflow.analysis import structures as tried
from mixedflow.config.reading import read, working_folder
from mixedflow.data import disclosure
from mixedflow.data.disclosure import Grouping, Rule
from mixedflow.data.download import DOWNLOADS
from mixedflow.data.preparation import prepare
from mixedflow.data.prepared import Prepared
from mixedflow.data.raw import RawData
from mixedflow.data.sources import read_dataset
from mixedflow.errors import FormulaError, MixedflowError, RankingError, plain, quote
from mixedflow.inference import gee
from mixedflow.inference.results import Reporting, known_df, known_intervals
from mixedflow.language import contrasts, formula
from mixedflow.model import crossing, estimation, factor_notes, outcome
from mixedflow.model.clusters import index
from mixedflow.model.covariates_of import covariates_in
from mixedflow.model.nesting import Candidate, check_nested
from mixedflow.prose import notes, outcomes
from mixedflow.ranking import distribution, factors
from mixedflow.ranking.together import Together

if TYPE_CHECKING:
    from mixedflow.config.specs import (
        ComparisonSpec,
        Config,
        DatasetSpec,
        ModelSpec,
        RankSpec,
        StructuresSpec,
    )
    from mixedflow.language.formula import Parsed
    from mixedflow.language.residuals import Residual
    from mixedflow.language.weights import Weights
    from mixedflow.model.covariates import Covariates
    from mixedflow.model.design import Design


@dataclass(frozen=True)
class Checked:
    """What a check found: ``lines`` sum up what is in order, ``faults`` are one line each."""

    lines: list[str]
    faults: list[str]


@dataclass(frozen=True)
class Data:
    """A data set as a run would prepare it."""

    spec: DatasetSpec
    prepared: Prepared

    @classmethod
    def of(cls, dataset: DatasetSpec, raw: RawData) -> Data:
        """Prepare and explore, as the workflow does; raises what these raise."""
        prepared = prepare(dataset, raw)
        if dataset.explore is not None:
            exploration.explore(prepared, dataset)
        return cls(dataset, prepared)

    def describe(self) -> str:
        card = self.prepared.card
        sizes = card["cluster_sizes"]
        return (
            f"datasets.{self.spec.name}: {card['rows_read']} rows read, {card['rows']} prepared, "
            f"{sizes['n']} clusters ({quote(self.spec.cluster)}) of {sizes['min']:g} to "
            f"{sizes['max']:g} rows"
        )


def check(path: Path) -> Checked:
    """Check a configuration: its keys, and, where the data are at hand, the data and each model.

    Files are read and prepared; what stands behind an url is not downloaded. Nothing is written.

    Raises
    ------
    ConfigError
        The configuration itself is wrong; nothing else can be checked then.
    """
    settings, base = read(path), working_folder(path)
    lines: list[str] = []
    faults: list[str] = []
    data: dict[str, Data] = {}
    for name, dataset in settings.datasets.items():
        where = f"datasets.{name}"
        if dataset.chunks:
            lines.append(f"{where}: is read in chunks, so only the configuration is checked")
            continue
        if dataset.source.url:
            lines.append(f"{where}: is not downloaded, so only the configuration is checked")
            continue
        try:
            raw = read_dataset(dataset, base, base / DOWNLOADS)
            data[name] = Data.of(dataset, raw)
            lines.append(data[name].describe())
            lines += [f"{where}: {note}" for note in raw.notes]
            told = notes.sentences(data[name].prepared.card)
            lines += [plain(f"{where}: note: {text}") for text in told]
        except MixedflowError as error:
            faults.append(str(error))
    designs: dict[str, Design] = {}
    for name, wanted in settings.models.items():
        if wanted.dataset not in data:
            continue
        try:
            designs[name] = model(wanted, data[wanted.dataset])
            lines.append(_describe(wanted, designs[name]))
            lines += _factors(wanted, designs[name])
            crossed = formula.parse(wanted.formula).notes
            lines += [f"models.{name}.formula: note: {note}" for note in crossed]
            lines += _negative(wanted, designs[name], data[wanted.dataset])
            lines += _caution(wanted, designs[name])
        except MixedflowError as error:
            faults.append(str(error))
    for listed in settings.structures.values():
        if listed.dataset in data:
            told, wrong = structures(listed, data[listed.dataset])
            lines += told
            faults += wrong
    for pair in settings.comparisons.values():
        try:
            comparison(pair, settings, designs, data)
            lines.append(f"comparisons.{pair.name}: {pair.null} within {pair.alternative}")
        except MixedflowError as error:
            faults.append(str(error))
    return Checked(lines, faults)


def model(wanted: ModelSpec, data: Data) -> Design:
    """The matrices of a configured model, and whether its contrasts and ranking can be had.

    Raises
    ------
    FormulaError, DataError, ModelError
        As ``api.fit`` before its search, and a contrast of coefficients that do not exist.
    RankingError
        Too few clusters, or clusters that do not exist.
    """
    where = f"models.{wanted.name}"
    frame, how = data.prepared.frame, wanted.inference
    reporting = Reporting(known_df(how.df), known_intervals(how.intervals))
    reporting.check(wanted.method, f"{where}.inference", wanted.residual)
    design = estimation.examine(
        wanted.formula,
        frame,
        wanted.method,
        f"{where}.formula",
        wanted.residual,
        wanted.cluster,
        wanted.weights,
    )
    for name, expressions in wanted.inference.contrasts.items():
        here = f"{where}.inference.contrasts.{name}"
        for text in expressions:
            if not contrasts.parse(text, design.terms, here).any():
                raise FormulaError(here, "a contrast that is 0 whatever the coefficients")
    for one in how.workings if len(design.groups) == 1 else ():
        codes, labels = index(design.groups[0].cluster)
        gee.structure(one, frame.iloc[design.rows], codes, labels, f"{where}.inference.gee")
    if wanted.rank is not None:
        _rank(wanted, wanted.rank, design, data)
    return design


def _rank(wanted: ModelSpec, rank: RankSpec, design: Design, data: Data) -> None:
    where, parsed = f"models.{wanted.name}.rank", formula.parse(wanted.formula)
    codes = [index(part.cluster)[0] for part in design.groups]
    lying = {f"{g}/parents": crossing.parents(codes, g) for g in range(len(codes))}
    names = np.array([part.name for part in design.groups])
    line = factors.line_of({"groups": names, **lying}, rank.group, rank.added, where)
    ranked, labels = design.groups[line[0]], index(design.groups[line[0]].cluster)[1]
    factor = Grouping(ranked.name, codes[line[0]], np.asarray(labels))
    rule = Rule.of(data.spec)
    (hidden,) = disclosure.withheld([factor], rule, data.prepared.frame)
    distribution.check_clusters(int((~hidden).sum()), where)
    _published(rank, {str(name) for name in factor.labels[hidden]}, where)
    covariates = Together(tuple(_covariates(parsed, design, data, g) for g in line))
    for key, by in (("by", rank.by), *((f"beside.{name}", by) for name, by in rank.beside)):
        distribution.weights_of(covariates, ranking.by_of(by), f"{where}.{key}")


def _published(rank: RankSpec, hidden: set[str], where: str) -> None:
    """Refuse to single out clusters that are withheld."""
    for key, names in (("highlight", rank.highlight), ("pairs", rank.pairs or ())):
        for name in names:
            if name in hidden:
                what = f"{quote(name)} is withheld by the data set's suppress"
                raise RankingError(f"{where}.{key}", what, "name clusters that are published")


def _covariates(parsed: Parsed, design: Design, data: Data, g: int) -> Covariates:
    """Those of a grouping factor's random part."""
    part = design.groups[g]
    return covariates_in(
        parsed,
        data.prepared.frame,
        design.rows,
        g,
        part.random_terms,
        part.Z,
        part.Z.mean(0),
        data.spec.derive,
    )


def structures(spec: StructuresSpec, data: Data) -> tuple[list[str], list[str]]:
    """A line for a list of structures, and its faults, one a structure that cannot be fitted."""
    where, faults = f"structures.{spec.name}", []
    try:
        rows = tried.complete(spec, data.prepared.frame)
        tried.effect_weights(spec, rows)
    except MixedflowError as error:
        return [], [str(error)]
    for one in spec.fits:
        here = f"{where}.fits.{one.name}.formula"
        text, residual = spec.text(one), one.residual
        try:
            estimation.examine(text, rows, spec.method, here, residual, spec.cluster)
        except MixedflowError as error:
            faults.append(str(error))
    missing = len(data.prepared.frame) - len(rows)
    left_out = f", {missing} left out (missing values)" if missing else ""
    names = ", ".join(one.name for one in spec.fits)
    return [f"{where}: {len(rows)} rows{left_out}; {len(spec.fits)} structures: {names}"], faults


def comparison(
    pair: ComparisonSpec,
    settings: Config,
    designs: Mapping[str, Design],
    data: Mapping[str, Data],
) -> None:
    """Are two models of the same rows, and one within the other?

    Raises
    ------
    ComparisonError
        They are not. Models whose data are not at hand pass.
    """
    if pair.null not in designs or pair.alternative not in designs:
        return
    models = [settings.models[name] for name in (pair.null, pair.alternative)]
    null, alternative = (
        Candidate.designed(
            model.name,
            model.method,
            designs[model.name],
            data[model.dataset].prepared.frame,
            model.residual,
            model.weights,
        )
        for model in models
    )
    check_nested(null, alternative, f"comparisons.{pair.name}")


def _clusters(design: Design) -> int:
    return len(set(design.groups[0].cluster))


def _factors(wanted: ModelSpec, design: Design) -> list[str]:
    """Of several grouping factors, the clusters of each, and how they lie to each other."""
    if len(design.groups) == 1:
        return []
    factors, where = factor_notes.designed(design), f"models.{wanted.name}"
    sizes = [
        f"{quote(factor.name)} has {len(factor.labels)} clusters of {factor.sizes.min()} to "
        f"{factor.sizes.max()} rows"
        for factor in factors
    ]
    told = [*sizes, *factor_notes.relations(factors)]
    noted = [f"note: {text}" for text in factor_notes.notes(factors)]
    return [plain(f"{where}: {text}") for text in (*told, *noted)]


def _caution(wanted: ModelSpec, design: Design) -> list[str]:
    found = outcome.doubt(design.y)
    if found is None:
        return []
    text = outcomes.caution(formula.parse(wanted.formula).outcome, found)
    return [plain(f"models.{wanted.name}: caution: {text}")]


def _describe(wanted: ModelSpec, design: Design) -> str:
    left_out = f", {design.n_missing} left out (missing values)" if design.n_missing else ""
    several = len(design.groups) > 1
    grouped = (
        f"{len(design.groups)} grouping factors" if several else f"{_clusters(design)} clusters"
    )
    random = f"random: {len(design.random_terms)}" if design.random_terms else "marginal"
    residual = f"; residuals: {_structure(wanted.residual)}" if wanted.residual else ""
    weights = f"; weights: {_weights(wanted.weights)}" if wanted.weights else ""
    return plain(
        f"models.{wanted.name}: {len(design.rows)} rows{left_out}, {grouped}; fixed effects: "
        f"{len(design.terms)}, {random}{residual}{weights}"
    )


def _weights(weights: Weights) -> str:
    """``sampling w1, cluster_sampling w2, scale size``."""
    return ", ".join(f"{key} {value}" for key, value in weights.written().items())


def _structure(residual: Residual) -> str:
    """``car1 age, variance by girl``."""
    parts = []
    if (correlation := residual.correlation) is not None:
        nugget = "with nugget" if correlation.nugget else None
        parts = [" ".join(filter(None, (correlation.kind, correlation.over, nugget)))]
    if residual.variance is not None:
        parts.append(f"variance {residual.variance.kind} {residual.variance.over}")
    return ", ".join(parts)


def _negative(wanted: ModelSpec, design: Design, data: Data) -> list[str]:
    """Times below 0 are no fault, as a centred time has them, but may be a code for missing."""
    correlation = wanted.residual.correlation if wanted.residual else None
    if correlation is None or correlation.over is None or correlation.kind == "unstructured":
        return []
    times = data.prepared.frame[correlation.over].iloc[design.rows].astype(float)
    below = int((times < 0).sum())
    if not below:
        return []
    text = (
        f"models.{wanted.name}.residual: note: {quote(correlation.over)} is negative in "
        f"{below} of {len(times)} rows, down to {times.min():g}: right if it is centred"
    )
    return [plain(text)]
