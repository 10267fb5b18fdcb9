"""Lists of covariance structures: one mean model, and structures that can be told apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mixedflow.config.checks import names
from mixedflow.config.checks.models import kenward_roger, known_dataset, mixed_formula
from mixedflow.config.specs import DatasetSpec, StructureSpec, StructuresSpec
from mixedflow.errors import ConfigError, quote
from mixedflow.language import formula
from mixedflow.language.nesting import Written

_EXAMPLE = "random: (1 | {}), or residual: {{correlation: {{car1: age}}}}"


def parsed(
    where: str, spec: StructuresSpec, datasets: Mapping[str, DatasetSpec]
) -> list[formula.Parsed]:
    """The formulas of all structures.

    Raises
    ------
    ConfigError, FormulaError
        The first fault, at its key below ``where``.
    """
    known_dataset(f"{where}.dataset", spec.dataset, datasets)
    dataset = datasets[spec.dataset]
    if dataset.chunks:
        raise ConfigError(
            f"{where}.dataset", f"{quote(spec.dataset)} is read in chunks, which structures are "
            "not", "make each structure a model of its own",
        )  # fmt: skip
    fixed = formula.parse(spec.formula, f"{where}.formula")
    if fixed.groups:
        raise ConfigError(
            f"{where}.formula", "the fixed effects that all structures share have no bar",
            "random parts stand under fits",
        )  # fmt: skip
    names.distinct(f"{where}.fits", [fit.name for fit in spec.fits])
    if len(spec.fits) < 2:
        raise ConfigError(f"{where}.fits", "has one structure only", "list two or more")
    found = [_formula(f"{where}.fits.{fit.name}", spec, fit, fixed, dataset) for fit in spec.fits]
    _apart(f"{where}.fits", spec, found)
    for fit in spec.fits:
        kenward_roger(f"{where}.df", spec.df, spec.method, fit.residual)
    return found


def _formula(
    where: str,
    spec: StructuresSpec,
    fit: StructureSpec,
    fixed: formula.Parsed,
    dataset: DatasetSpec,
) -> formula.Parsed:
    if not fit.random and fit.residual is None:
        hint = _EXAMPLE.format(dataset.cluster)
        raise ConfigError(where, "has neither a random part nor a residual structure", hint)
    here = f"{where}.random" if fit.random else where
    found = mixed_formula(here, spec.text(fit), dataset.cluster, fit.residual)
    grouped = any(group.blocks for group in found.groups)
    if fit.random and (found.fixed_key != fixed.fixed_key or not grouped):
        raise ConfigError(
            here, f"{quote(fit.random)} is more than random effects",
            f"such as (1 | {dataset.cluster}); fixed effects stand under formula",
        )  # fmt: skip
    return found


def _apart(where: str, spec: StructuresSpec, found: list[formula.Parsed]) -> None:
    """No structure stands twice."""
    seen: dict[object, str] = {}
    for fit, one in zip(spec.fits, found, strict=True):
        other = seen.setdefault((Written.of(one).blocks, fit.residual), fit.name)
        if other != fit.name:
            what = f"{quote(other)} and {quote(fit.name)} are the same structure"
            raise ConfigError(where, what, "leave one out")


def placed(
    structures: Mapping[str, StructuresSpec], datasets: Mapping[str, DatasetSpec]
) -> dict[str, StructuresSpec]:
    """The same with what they are shown along: clusters, time and visits."""
    found = {}
    for name, spec in structures.items():
        dataset = datasets[spec.dataset]
        visit = dataset.explore.visit if dataset.explore else None
        time = dataset.time or _over(spec, "car1", "exponential", "ar1", "toeplitz", "unstructured")
        visit = visit or _over(spec, "unstructured", "toeplitz", "ar1")
        found[name] = replace(spec, cluster=dataset.cluster, time=time, visit=visit)
    return found


def _over(spec: StructuresSpec, *kinds: str) -> str | None:
    """The column of the first of these correlations that a structure has, uneven times first."""
    correlations = [fit.residual.correlation for fit in spec.fits if fit.residual]
    over = {one.kind: one.over for one in reversed(correlations) if one is not None}
    return next((over[kind] for kind in kinds if kind in over), None)
