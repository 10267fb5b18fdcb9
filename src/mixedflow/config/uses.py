"""What a configuration takes the columns of a data set for: names, or numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from mixedflow.config.specs import Config, DatasetSpec
from mixedflow.language import expressions, formula
from mixedflow.language.scanning import CATEGORY_CALLS

_CALLED = tuple(f"{name}(" for name in CATEGORY_CALLS)


def noted(
    config: Config,
    models: Mapping[str, formula.Parsed],
    families: Mapping[str, Iterable[formula.Parsed]],
) -> Config:
    """The configuration with the ``categories`` of its data sets; the formulas are those of it."""
    formulas: dict[str, list[formula.Parsed]] = {name: [] for name in config.datasets}
    texts: dict[str, list[str]] = {name: [] for name in config.datasets}
    for name, parsed in models.items():
        formulas[config.models[name].dataset].append(parsed)
    for name, several in families.items():
        for dataset in config.families[name].datasets:
            formulas[dataset] += several
            texts[dataset] += [text for _, text in config.families[name].subsets]
    found = {
        name: replace(one, categories=_categories(one, formulas[name], texts[name]))
        for name, one in config.datasets.items()
    }
    return replace(config, datasets=found)


def _categories(
    dataset: DatasetSpec, formulas: Iterable[formula.Parsed], texts: Iterable[str]
) -> dict[str, bool]:
    """Columns that are names somewhere, and whether they are numbers nowhere."""
    apart = {mine for join in dataset.join for mine, _ in join.by}
    numbers = set(_numbers(dataset))
    for parsed in formulas:
        numbers.add(parsed.outcome)
        for shown, text in parsed.atoms.items():
            used = expressions.names(text)
            called = shown.startswith(_CALLED) and text.strip("` ") in used
            (apart if called else numbers).update(used)
    own = [text for _, text in dataset.derive] + ([dataset.filter] if dataset.filter else [])
    for text in (*own, *texts):
        only, other = expressions.told_apart(text)
        apart |= only
        numbers |= other
    apart -= {dataset.cluster, *dataset.levels}  # which are names anyway
    return {name: name not in numbers for name in sorted(apart)}


def _numbers(dataset: DatasetSpec) -> Iterator[str]:
    if dataset.time:
        yield dataset.time
    if explore := dataset.explore:
        yield from filter(None, (explore.outcome, explore.predictor, explore.visit))
        if explore.trend:
            yield from formula.parse(explore.trend).variables
