"""Models: formulas that fit their data set, and methods that fit each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mixedflow.config.checks import chunks
from mixedflow.config.grouping import ranked
from mixedflow.config.specs import AtSpec, DatasetSpec, ModelSpec
from mixedflow.errors import ConfigError, nearest, quote
from mixedflow.language import expressions, formula, residuals, terms, weights, working
from mixedflow.language.residuals import NOT_LINEAR, Residual


def parsed(where: str, model: ModelSpec, datasets: Mapping[str, DatasetSpec]) -> formula.Parsed:
    """The formula of a model.

    Raises
    ------
    ConfigError, FormulaError, ExpressionError
        The first fault, at its key below ``where``.
    """
    known_dataset(f"{where}.dataset", model.dataset, datasets)
    dataset = datasets[model.dataset]
    found = mixed_formula(f"{where}.formula", model.formula, dataset.cluster, model.residual)
    kenward_roger(f"{where}.inference.df", model.inference.df, model.method, model.residual)
    _weighted(where, model)
    if model.inference.agreement and len(found.groups) > 1:
        raise ConfigError(
            f"{where}.inference.gee", "a list is for models of one grouping factor",
            "write gee: true, or leave it out",
        )  # fmt: skip
    fixed = {atom for term in found.fixed_terms for atom in term}
    known = set[str]().union(*(expressions.row_names(found.atoms[atom]) for atom in fixed))
    for name, asked in (model.means or {}).items():
        asked.check(known, f"{where}.means.{name}")
    if dataset.chunks:
        chunks.check_model(where, model, dataset, found)
    if model.rank is not None and not any(group.blocks for group in found.groups):
        raise ConfigError(
            f"{where}.rank", "in a marginal model nothing varies between clusters",
            f"leave it out, or add a random part: + (1 | {dataset.cluster})",
        )  # fmt: skip
    if model.rank is not None:
        beside = [(f"beside.{name}", by) for name, by in model.rank.beside]
        groups = ranked(f"{where}.rank", model.rank, found)
        for key, by in (("by", model.rank.by), *beside):
            _ranked(f"{where}.rank.{key}", by, found, groups, dataset)
    return found


def _weighted(where: str, model: ModelSpec) -> None:
    """Refuse what does not go with weights."""
    if model.weights is None:
        return
    here, how = f"{where}.weights", model.inference
    if model.residual is not None:
        what = "weights and a residual structure are not supported together yet"
        raise ConfigError(here, what, "leave one of them out")
    if how.gee:
        what = "it is not available with weights"
        raise ConfigError(f"{where}.inference.gee", what, "leave it out")
    model.weights.check(here, model.method, how.df, how.intervals)


def known_dataset(where: str, name: str, datasets: Mapping[str, DatasetSpec]) -> None:
    if name not in datasets:
        hint = nearest(name, datasets, "datasets")
        raise ConfigError(where, f"unknown dataset {quote(name)}", hint)


def check_residual(where: str, given: object) -> None:
    """Refuse what is no residual structure."""
    if given is not None:
        residuals.read(given, where)


def check_weights(where: str, given: object) -> None:
    """Refuse what are no weights."""
    if given is not None:
        weights.read(given, where)


def check_gee(where: str, given: object) -> None:
    """Refuse what are no working correlations."""
    working.read(given, where)


def with_clusters(
    models: Mapping[str, ModelSpec], parsed: Mapping[str, formula.Parsed]
) -> dict[str, ModelSpec]:
    """The models, those without a random part with the column of their clusters."""
    found = {}
    for name, model in models.items():
        (first, *others) = parsed[name].groups
        marginal = not first.blocks and not others
        found[name] = replace(model, cluster=first.columns[0]) if marginal else model
    return found


def mixed_formula(
    where: str, text: str, cluster: str, residual: Residual | None = None
) -> formula.Parsed:
    """A formula with random effects of the data set's clusters, others beside them or not.

    With a ``residual`` structure it may have none: a marginal model.
    """
    found = formula.parse(text, where)
    if residual is not None:
        found = found.in_clusters(cluster)
    if not found.groups:
        hint = f"add a random part: + (1 | {cluster}), or residual: for a marginal model"
        raise ConfigError(where, "no grouping factor", hint)
    if cluster not in found.grouping:
        names = [quote(group.name) for group in found.groups]
        several = f"none of the grouping factors {', '.join(names)} is"
        raise ConfigError(
            where, f"{several if names[1:] else f'the grouping factor {names[0]} is not'} the data "
            "set's cluster", f"did you mean {quote(cluster)}?",
        )  # fmt: skip
    return found


def kenward_roger(where: str, df: str, method: str, residual: Residual | None = None) -> None:
    if df == "kenward-roger" and method != "reml":
        raise ConfigError(
            where, "Kenward-Roger needs a REML fit", "use method: reml, or df: satterthwaite"
        )
    if df == "kenward-roger" and residual is not None and not residual.linear:
        raise ConfigError(where, NOT_LINEAR, "use df: satterthwaite, or unstructured residuals")


def _ranked(
    where: str,
    by: str | AtSpec,
    found: formula.Parsed,
    groups: Sequence[formula.GroupTerm],
    dataset: DatasetSpec,
) -> None:
    """A random effect, ``f[a]`` for a level of a factor, or covariates with random effects.

    ``groups`` is the ranked factor, whose effect it has to be, and those added to it.
    """
    if isinstance(by, str):
        factors = terms.split([by], found)[by]
        plain = formula.show(tuple(factor.name for factor in factors))
        if by not in groups[0].random_terms and plain not in groups[0].random_terms:
            hint = nearest(by, groups[0].random_terms, "random terms")
            raise ConfigError(where, f"unknown random term {quote(by)}", hint)
        return
    blocks = [block for group in groups for block in group.blocks]
    atoms = {a for block in blocks for term in block.terms for a in term}
    used = set[str]().union(*(expressions.row_names(found.atoms[atom]) for atom in atoms))
    above: dict[str, set[str]] = {}
    for name, text in dataset.derive:
        if expressions.within_groups(text):  # another number in each cluster
            continue
        direct = expressions.row_names(text)
        above[name] = set(direct).union(*(above.get(d, set()) for d in direct))
    known = used.union(*(above.get(name, set()) for name in used))
    for name in by.at:
        if name in atoms - known:
            of = " and ".join(map(quote, sorted(expressions.row_names(found.atoms[name]))))
            raise ConfigError(where, f"{quote(name)} is computed of {of}", f"set {of}")
        if name not in known:
            what = f"no random effect depends on {quote(name)}"
            raise ConfigError(where, what, nearest(name, known, "covariates with one"))
