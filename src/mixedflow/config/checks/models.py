"""Models: formulas that fit their data set, and methods that fit each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mixedflow.config.checks import chunks
from mixedflow.config.specs import AtSpec, DatasetSpec, ModelSpec
from mixedflow.errors import ConfigError, nearest, quote
from mixedflow.language import formula
from mixedflow.language.names import INTERCEPT


def parsed(where: str, model: ModelSpec, datasets: Mapping[str, DatasetSpec]) -> formula.Parsed:
    """The formula of a model.

    Raises
    ------
    ConfigError, FormulaError, ExpressionError
        The first fault, at its key below ``where``.
    """
    known_dataset(f"{where}.dataset", model.dataset, datasets)
    dataset = datasets[model.dataset]
    found = mixed_formula(f"{where}.formula", model.formula, dataset.cluster)
    kenward_roger(f"{where}.inference.df", model.inference.df, model.method)
    if dataset.chunks:
        chunks.check_model(where, model, dataset, found)
    if model.rank is not None:
        beside = [(f"beside.{name}", by) for name, by in model.rank.beside]
        for key, by in (("by", model.rank.by), *beside):
            _ranked(f"{where}.rank.{key}", by, found.random_terms)
    return found


def known_dataset(where: str, name: str, datasets: Mapping[str, DatasetSpec]) -> None:
    if name not in datasets:
        hint = nearest(name, datasets, "datasets")
        raise ConfigError(where, f"unknown dataset {quote(name)}", hint)


def mixed_formula(where: str, text: str, cluster: str) -> formula.Parsed:
    """A formula with random effects of the data set's clusters; ConfigError for another group."""
    found = formula.parse(text, where)
    if not found.groups:
        raise ConfigError(where, "no grouping factor", f"add a random part: + (1 | {cluster})")
    for group in found.groups:
        if group.name != cluster:
            raise ConfigError(
                where, f"the grouping factor {quote(group.name)} is not the data set's cluster",
                f"did you mean {quote(cluster)}?",
            )  # fmt: skip
    return found


def kenward_roger(where: str, df: str, method: str) -> None:
    if df == "kenward-roger" and method != "reml":
        raise ConfigError(
            where, "Kenward-Roger needs a REML fit", "use method: reml, or df: satterthwaite"
        )


def _ranked(where: str, by: str | AtSpec, terms: Sequence[str]) -> None:
    for term in [by] if isinstance(by, str) else [INTERCEPT, *by.at]:
        if term not in terms:
            hint = nearest(term, terms, "random terms")
            raise ConfigError(where, f"unknown random term {quote(term)}", hint)
