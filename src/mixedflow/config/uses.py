"""What a configuration takes the columns of a data set for: names, or numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from mixedflow.config.specs import Config, DatasetSpec
from mixedflow.language import expressions, formula
from mixedflow.language.residuals import Residual
from mixedflow.language.scanning import CATEGORY_CALLS
from mixedflow.language.weights import Weights

_CALLED = tuple(f"{name}(" for name in CATEGORY_CALLS)


def noted(
    config: Config,
    models: Mapping[str, formula.Parsed],
    families: Mapping[str, Iterable[formula.Parsed]],
    of_structures: Mapping[str, Iterable[formula.Parsed]],
) -> Config:
    """The configuration with ``categories`` and ``grouping`` of its data sets, of its formulas."""
    formulas: dict[str, list[formula.Parsed]] = {name: [] for name in config.datasets}
    texts: dict[str, list[str]] = {name: [] for name in config.datasets}
    structures: dict[str, list[Residual | Weights]] = {name: [] for name in config.datasets}
    for name, parsed in models.items():
        model = config.models[name]
        formulas[model.dataset].append(parsed)
        of_gee = [one.structure for one in model.inference.workings]
        structures[model.dataset] += [
            one for one in (model.residual, model.weights, *of_gee) if one is not None
        ]
    for name, several in of_structures.items():
        of = config.structures[name]
        formulas[of.dataset] += several
        structures[of.dataset] += [fit.residual for fit in of.fits if fit.residual is not None]
    for name, several in families.items():
        structure = config.families[name].residual
        for dataset in config.families[name].datasets:
            structures[dataset] += [structure] if structure else []
            formulas[dataset] += several
            texts[dataset] += [text for _, text in config.families[name].subsets]
    found = {}
    for name, one in config.datasets.items():
        kinds = [(called, n) for each in structures[name] for n, called in each.uses]
        apart = {column for called, column in kinds if called}
        numbers = {column for called, column in kinds if not called}
        grouped = replace(one, grouping=_grouping(one, formulas[name], numbers))
        categories = _categories(grouped, formulas[name], texts[name], apart, numbers)
        found[name] = replace(grouped, categories=categories)
    return replace(config, datasets=found)


def _grouping(
    dataset: DatasetSpec, models: list[formula.Parsed], numbers: set[str]
) -> tuple[str, ...]:
    """Columns beside the cluster by which the models group, and which are a number nowhere."""
    named = set[str]().union(*(parsed.grouping for parsed in models))
    counted = {dataset.cluster, dataset.time, *numbers}
    if dataset.explore is not None:
        explore = dataset.explore
        counted |= {explore.outcome, explore.predictor, explore.visit, explore.by}
        if explore.trend is not None:
            models = [*models, formula.parse(explore.trend)]
    for parsed in models:
        counted |= parsed.outcome_columns.union(*map(expressions.row_names, parsed.atoms.values()))
    return tuple(sorted(named - counted))


def _categories(
    dataset: DatasetSpec,
    formulas: Iterable[formula.Parsed],
    texts: Iterable[str],
    named: set[str],
    counted: set[str],
) -> dict[str, bool]:
    """Columns that are names somewhere, and whether they are numbers nowhere.

    Residual structures take those ``named`` for names and those ``counted`` for numbers.
    """
    apart = {mine for join in dataset.join for mine, _ in join.by} | named
    numbers = counted.union(_numbers(dataset))
    for parsed in formulas:
        numbers |= parsed.outcome_columns
        for shown, text in parsed.atoms.items():
            used = expressions.names(text)
            called = shown.startswith(_CALLED) and text.strip("` ") in used
            (apart if called else numbers).update(used)
    own = [text for _, text in dataset.derive] + ([dataset.filter] if dataset.filter else [])
    for text in (*own, *texts):
        only, other = expressions.told_apart(text)
        apart |= only
        numbers |= other
    apart -= {dataset.cluster, *dataset.grouping, *dataset.levels}  # which are names anyway
    return {name: name not in numbers for name in sorted(apart)}


def _numbers(dataset: DatasetSpec) -> Iterator[str]:
    if dataset.time:
        yield dataset.time
    if explore := dataset.explore:
        yield from filter(None, (explore.outcome, explore.predictor, explore.visit))
        if explore.trend:
            yield from formula.parse(explore.trend).variables
