"""What is published of a fit: its tables, report and posterior without the withheld clusters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mixedflow.arrays import Array
from mixedflow.artifacts.fit_report import GroupReport, Sizes
from mixedflow.data import disclosure
from mixedflow.data.disclosure import Grouping, Rule
from mixedflow.inference.diagnostics import normal_quantiles
from mixedflow.model.fitted import Fitted

if TYPE_CHECKING:
    import pandas as pd

# Of a factor's arrays in posterior.npz those that are not by its clusters.
_OF_THE_FACTOR = ("G", "z_quantiles", "random_terms", "covariates", "theta_df", "whole")


def withheld(fit: Fitted, rule: Rule | None, frame: pd.DataFrame) -> list[Array]:
    """(J,) of each grouping factor, which of its clusters are withheld; ``frame`` has all rows."""
    if rule is None:  # rows of chunks are not at hand
        return [np.zeros(len(group.clusters), dtype=bool) for group in fit.groups]
    factors = [Grouping(g.name, g.codes, np.asarray(g.clusters)) for g in fit.groups]
    return disclosure.withheld(factors, rule, frame)


def tables(
    made: Mapping[str, pd.DataFrame], fit: Fitted, hidden: Sequence[Array]
) -> dict[str, pd.DataFrame]:
    """The tables without rows of withheld clusters.

    Places that would tell of them are counted anew: numbers of rows and normal quantiles.
    """
    if not any(mask.any() for mask in hidden):
        return dict(made)
    names = {
        group.name: {str(name) for name in np.asarray(group.clusters)[mask]}
        for group, mask in zip(fit.groups, hidden, strict=True)
    }
    first = fit.groups[0].name
    found = {}
    for key, table in made.items():
        shown = np.ones(len(table), dtype=bool)
        if "cluster" in table:
            group = table["group"] if "group" in table else [first] * len(table)
            pairs = zip(group, table["cluster"].astype(str), strict=True)
            shown &= np.array([name not in names.get(of, ()) for of, name in pairs], bool)
        for of, hidden_names in names.items():
            if f"cluster_{of}" in table:
                shown &= ~table[f"cluster_{of}"].astype(str).isin(hidden_names).to_numpy(bool)
        found[key] = table if shown.all() else table[shown].reset_index(drop=True)
    if "predictions" in found:
        rows = found["predictions"]
        places = normal_quantiles(rows["standardised"].to_numpy(float)).round(3)
        found["predictions"] = rows.assign(row=np.arange(1, len(rows) + 1), quantile=places)
    if "effects_diagnostic" in found:
        effects = found["effects_diagnostic"]
        again = effects.groupby(["group", "term"], sort=False)["standardised"].transform(
            lambda values: normal_quantiles(values.to_numpy(float))
        )
        found["effects_diagnostic"] = effects.assign(quantile=again)
    return found


def groups(
    reports: Sequence[GroupReport], fit: Fitted, hidden: Sequence[Array]
) -> tuple[GroupReport, ...]:
    """Of each factor the smallest and largest of those published, and how many are withheld.

    Where none is published the mean, which is that of all, stands for both.
    """
    found = []
    for report, group, mask in zip(reports, fit.groups, hidden, strict=True):
        if mask.any():
            n = np.bincount(group.codes, minlength=len(mask))
            mean = report.group_size.mean
            kept = n[~mask] if not mask.all() else np.array([round(mean)])
            sizes = Sizes(int(kept.min()), mean, int(kept.max()))
            told = {"clusters": int(mask.sum()), "rows": int(n[mask].sum())}
            report = replace(report, group_size=sizes, withheld=told)
        found.append(report)
    return tuple(found)


def posterior(arrays: Mapping[str, Array], hidden: Sequence[Array]) -> dict[str, Array]:
    """posterior.npz without the withheld clusters; places of others in it are moved up."""
    if not any(mask.any() for mask in hidden):
        return dict(arrays)
    places = [np.where(mask, -1, np.cumsum(~mask) - 1) for mask in hidden]
    found = {}
    for key, values in arrays.items():
        g, _, name = key.partition("/")
        if name and name.rsplit("+", 1)[-1].lstrip("0123456789") not in _OF_THE_FACTOR:
            values = values[~hidden[int(g)]]
        if name == "parents":
            columns = [
                np.where(column < 0, -1, place[column])
                for column, place in zip(values.T, places, strict=True)
            ]
            values = np.column_stack(columns)
        found[key] = values
    return found
