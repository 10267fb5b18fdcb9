"""Comparisons: two models whose likelihoods can be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mixedflow.config.specs import ComparisonSpec, DatasetSpec, ModelSpec
from mixedflow.errors import ComparisonError, ConfigError, nearest, quote
from mixedflow.language import expressions, formula
from mixedflow.language.nesting import Comparand, Written, check_comparable


def check(
    where: str,
    spec: ComparisonSpec,
    models: Mapping[str, ModelSpec],
    datasets: Mapping[str, DatasetSpec],
    parsed: Mapping[str, formula.Parsed],
) -> None:
    """Refuse models that a likelihood-ratio test cannot compare.

    ``parsed`` are the models' formulas.

    Raises
    ------
    ConfigError
        The first fault, at its key below ``where``.
    """
    for role, name in (("null", spec.null), ("alternative", spec.alternative)):
        if name not in models:
            hint = nearest(name, models, "models")
            raise ConfigError(f"{where}.{role}", f"unknown model {quote(name)}", hint)
    null, alternative = models[spec.null], models[spec.alternative]
    if spec.bootstrap and datasets[null.dataset].chunks:
        raise ConfigError(
            f"{where}.bootstrap", "needs all rows at once, and chunks have not", "leave it out"
        )
    if spec.null == spec.alternative:
        raise ConfigError(where, "compares a model with itself")
    if null.dataset != alternative.dataset:
        raise ConfigError(where, "the models are of different data sets")
    derive = datasets[null.dataset].derive
    one, other = (_comparand(model, parsed[model.name], derive) for model in (null, alternative))
    try:
        check_comparable(one, other, where)
    except ComparisonError as error:
        raise ConfigError(error.where, error.what, error.hint) from None


def _comparand(
    model: ModelSpec, parsed: formula.Parsed, derive: Sequence[tuple[str, str]]
) -> Comparand:
    """What is known without data: neither rows nor what the columns span."""
    return Comparand(
        name=model.name,
        method=model.method,
        outcome=parsed.outcome,
        groups=frozenset(group.name for group in parsed.groups),
        columns=_columns(parsed, derive),
        written=Written.of(parsed, model.residual),
        weights=model.weights,
    )


def _columns(parsed: formula.Parsed, derive: Sequence[tuple[str, str]]) -> frozenset[str]:
    """The columns of the file that the fixed part is computed of."""
    behind: dict[str, set[str]] = {}
    for name, text in derive:
        direct = expressions.names(text)
        behind[name] = set[str]().union(*(behind.get(one, {one}) for one in direct))
    atoms = {atom for term in parsed.fixed_terms for atom in term}
    used = set[str]().union(*(expressions.names(parsed.atoms[atom]) for atom in atoms))
    return frozenset(set[str]().union(*(behind.get(one, {one}) for one in used)))
