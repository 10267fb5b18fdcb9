"""Models: formulas that fit their data set, and methods that fit each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mixedflow.config.specs import AtSpec, DatasetSpec, ModelSpec
from mixedflow.errors import ConfigError, nearest, quote
from mixedflow.language import expressions, formula


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
        _in_chunks(where, model, dataset, found)
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


def _in_chunks(where: str, model: ModelSpec, dataset: DatasetSpec, found: formula.Parsed) -> None:
    """What needs all rows at once is refused for a data set that is read in chunks."""
    how = model.inference
    for key, asked in (("intervals", how.intervals == "bootstrap"), ("gee", how.gee)):
        if asked:
            raise ConfigError(
                f"{where}.inference.{key}", "needs all rows at once, and chunks have not",
                "use profile intervals" if key == "intervals" else "leave it out",
            )  # fmt: skip
    for atom, text in found.atoms.items():
        used = expressions.summaries(text)
        if used:
            raise ConfigError(
                f"{where}.formula", f"{used[0]}() needs all rows at once, and chunks have not",
                "compute it where the files are made",
            )  # fmt: skip
        if atom != text and atom.startswith(("C(", "factor(")) and text not in dataset.levels:
            raise ConfigError(
                f"{where}.formula", f"a chunk does not know all levels of {atom}",
                f"list them under datasets.{dataset.name}.levels",
            )  # fmt: skip


def _ranked(where: str, by: str | AtSpec, terms: Sequence[str]) -> None:
    for term in [by] if isinstance(by, str) else [formula.INTERCEPT, *by.at]:
        if term not in terms:
            hint = nearest(term, terms, "random terms")
            raise ConfigError(where, f"unknown random term {quote(term)}", hint)
