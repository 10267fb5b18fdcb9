"""A model of a configuration: the fit, and every table that its artifacts hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mixedflow.analysis import curves, disclosure, variance_curve
from mixedflow.analysis.curves import Axes
from mixedflow.analysis.estimating import estimated
from mixedflow.arrays import Array
from mixedflow.artifacts import tables
from mixedflow.artifacts.fit_report import ModelReport
from mixedflow.artifacts.storage import replacing
from mixedflow.config.specs import DatasetSpec, ModelSpec
from mixedflow.data.prepared import Prepared
from mixedflow.errors import FormulaError, ModelError
from mixedflow.inference import diagnostics, gee, posterior_digits, robust
from mixedflow.inference.contextual import contextual
from mixedflow.inference.influence import influence
from mixedflow.inference.posterior import posterior
from mixedflow.inference.results import Reporting, Results, known_df, known_intervals
from mixedflow.model.fitted import Fitted
from mixedflow.model.reduced import Products

if TYPE_CHECKING:
    import pandas as pd

# Six digits: more than an eye or most outcomes have, and small differences of large numbers.
_SIX_DIGITS = ("predictions", "curves", "variance_function", "influence")


@dataclass(frozen=True)
class ModelResult:
    """A configured model's fit, its report, and its tables by the name of their artifact.

    A marginal model has no effects of clusters, and so no posterior.
    """

    fit: Results
    report: ModelReport
    tables: dict[str, pd.DataFrame]
    posterior: dict[str, Array]

    def write(self, folder: Path) -> None:
        """Write fit.json, the tables as CSV, and posterior.npz into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, frame in self.tables.items():
            tables.write(frame, folder / f"{name}.csv", 6 if name in _SIX_DIGITS else 8)
        self.report.write(folder / "fit.json")
        if self.posterior:
            with replacing(folder / "posterior.npz") as path, path.open("wb") as file:
                np.savez(file, allow_pickle=False, **self.posterior)


def fit_model(
    spec: ModelSpec,
    prepared: Prepared,
    dataset: DatasetSpec,
    drawn: Iterable[Path] = (),
    products: Products | None = None,
) -> ModelResult:
    """Fit a configured model and compute what its tables and figures show.

    ``drawn`` are the files of a bootstrap that was made in parts; without them it is made here.
    ``products`` are those of a data set reduced in chunks, and ``prepared`` then the sample of it.

    Raises
    ------
    FormulaError, DataError, ModelError
        As :func:`mixedflow.model.estimation.estimate`, and contrasts that the model cannot have.
    """
    where, wanted = f"models.{spec.name}", spec.inference
    reporting = Reporting(
        df=known_df(wanted.df),
        intervals=known_intervals(wanted.intervals),
        draws=wanted.draws,
        seed=wanted.seed,
        drawn=tuple(drawn),
    )
    reporting.check(spec.method, f"{where}.formula", spec.residual)
    fitted = estimated(spec, prepared, products)
    found, axes = Results(fitted, reporting), Axes.of(fitted, prepared, dataset)
    try:
        contrasts = found.contrast_table(wanted.contrasts)
    except (FormulaError, ModelError) as error:
        raise error.located(f"{where}.inference") from None
    gees = gee.estimates(fitted, wanted.workings, f"{where}.inference.gee")
    made = {
        "fixed_effects": found.fixed_effects,
        "variance_components": found.variance_components,
        "predictions": curves.rounded(curves.predictions(fitted, axes)),
        "curves": curves.curves(fitted, axes),
        "variance_function": variance_curve.variance_table(
            fitted, found.covariance_inference, axes
        ),
        "contrasts": contrasts,
        "term_tests": found.term_tests(),
        "fixed_correlations": found.fixed_correlations,
        "alternatives": robust.alternatives(fitted, gee.as_methods(fitted, gees)),
    }
    if fitted.random_terms:
        made["cluster_effects"] = found.cluster_effects
        made["effects_diagnostic"] = diagnostics.effect_table(fitted)
    if products is None:  # it needs every row
        made["influence"] = influence(fitted) if spec.weights is None else _influence(spec, fitted)
    if wanted.intervals == "bootstrap":
        made["bootstrap"] = found.bootstrap
    notes = (*axes.warnings, *(one.failure for one in gees if one.failure))
    beside = gee.beside_the_model(fitted, gees) if gees else None
    ranked = _joint(fitted, dataset) if fitted.random_terms else {}
    sample = None if products is None else _sample(fitted, prepared, dataset)
    report = _report(spec, found, axes, beside, notes, sample)
    return _published(ModelResult(found, report, made, ranked), axes)


def _joint(fitted: Fitted, dataset: DatasetSpec) -> dict[str, Array]:
    return posterior_digits.shortened(posterior(fitted, dataset.derive), fitted)


def _influence(spec: ModelSpec, fitted: Fitted) -> pd.DataFrame:
    """The table of a weighted fit; missing where sampling weights leave none."""
    import pandas as pd

    if spec.weights is None or not spec.weights.sampling:
        return influence(fitted)
    (group,) = fitted.groups
    columns = ["cooks_distance", "covratio", *(f"dfbeta_{term}" for term in fitted.terms)]
    columns += [*(f"log_sd_{term}" for term in group.random_terms), "log_sigma"]
    sizes = fitted.solution.effects[0].n
    known = {"group": group.name, "cluster": group.clusters, "n": sizes}
    found = pd.DataFrame(known | dict.fromkeys(columns, np.nan))
    return found.astype({"group": "str", "cluster": "str"})


def _published(result: ModelResult, axes: Axes) -> ModelResult:
    """The result without the withheld clusters; the fit itself has all."""
    fitted, hidden = result.fit.fitted, axes.hidden
    return ModelResult(
        result.fit,
        replace(result.report, groups=disclosure.groups(result.report.groups, fitted, hidden)),
        disclosure.tables(result.tables, fitted, hidden),
        disclosure.posterior(result.posterior, hidden),
    )


def _sample(fitted: Fitted, prepared: Prepared, dataset: DatasetSpec) -> dict[str, int] | None:
    """The rows and clusters at hand of a data set in chunks."""
    if fitted.rows is None:
        return None
    rows = prepared.frame.iloc[fitted.rows]
    return {"rows": len(rows), "clusters": rows[dataset.cluster].nunique()}


def _report(
    spec: ModelSpec,
    found: Results,
    axes: Axes,
    beside: dict[str, float] | None,
    notes: tuple[str, ...],
    sample: dict[str, int] | None,
) -> ModelReport:
    fitted = found.fitted
    core = found.report().core()
    return ModelReport(
        **{**core, "warnings": (*core["warnings"], *notes)},
        model=spec.name,
        title=spec.title or spec.name,
        dataset=spec.dataset,
        formula=spec.formula,
        outcome=fitted.parsed.outcome if fitted.parsed else "",
        x=axes.x,
        by=axes.by,
        inference={"df": spec.inference.df, "intervals": spec.inference.intervals},
        gee=beside,
        vpc=variance_curve.vpc_at_mean(fitted, found.covariance_inference, axes),
        variance_function=variance_curve.variance_parts(fitted, axes),
        sample=sample,
        robust=robust.note(fitted) or None,
        contextual=contextual(fitted) or None,
    )
