"""The comparisons of a configuration: of models that are nested, tested."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mixedflow.artifacts.fit_report import ModelReport
from mixedflow.config.specs import ComparisonSpec
from mixedflow.data.prepared import every_level, levels_of
from mixedflow.inference.comparison import compare
from mixedflow.language.formula import Parsed, parse
from mixedflow.language.residuals import read
from mixedflow.language.weights import read as read_weights
from mixedflow.model.design import Design, chunk_design, cluster_labels, design
from mixedflow.model.nesting import Candidate, check_nested

if TYPE_CHECKING:
    import pandas as pd


def compared(
    comparisons: Mapping[str, ComparisonSpec],
    fits: Mapping[str, ModelReport],
    simulated: Mapping[str, Mapping[str, Any]],
    frames: Mapping[str, pd.DataFrame],
) -> pd.DataFrame:
    """Likelihood-ratio tests, as :func:`mixedflow.inference.comparison.compare` makes them.

    ``frames`` are the prepared rows of each data set, or the sample of one that was read in chunks:
    what columns span is decided on them.

    Raises
    ------
    ComparisonError
        Models that are not nested, or not of the same rows.
    """
    for name, spec in comparisons.items():
        null, alternative = (
            _candidate(role, fits[role], frames[fits[role].dataset])
            for role in (spec.null, spec.alternative)
        )
        check_nested(null, alternative, f"comparisons.{name}")
    return compare(comparisons, fits, simulated)


def _candidate(name: str, fit: ModelReport, frame: pd.DataFrame) -> Candidate:
    where = f"models.{name}.formula"
    parsed = parse(fit.formula, where).in_clusters(fit.groups[0].name)
    if fit.sample is None:
        residual = read(fit.residual, f"models.{name}.residual") if fit.residual else None
        weights = read_weights(fit.weights, f"models.{name}.weights") if fit.weights else None
        built = design(parsed, frame, where)
        return Candidate.designed(name, fit.method, built, frame, residual, weights)
    like = every_level(levels_of(frame), frame.columns)
    found = chunk_design(parsed, frame, like, where)
    return Candidate.designed(name, fit.method, _with_clusters(found, parsed, frame), frame)


def _with_clusters(sample: Design, parsed: Parsed, frame: pd.DataFrame) -> Design:
    groups = tuple(
        replace(group, cluster=cluster_labels(term, frame, sample.rows))
        for term, group in zip(parsed.groups, sample.groups, strict=True)
    )
    return replace(sample, groups=groups)
