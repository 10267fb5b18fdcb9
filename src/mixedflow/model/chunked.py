"""A fit to cross-products of rows that were reduced in chunks, which are never together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from mixedflow.arrays import Array
from mixedflow.data.raw import as_text
from mixedflow.language.formula import Parsed, parse
from mixedflow.language.grouping import effects
from mixedflow.model.clusters import combinations
from mixedflow.model.design import chunk_design
from mixedflow.model.estimation import check_method, solved
from mixedflow.model.fitted import Fitted, Group
from mixedflow.model.many_factors import ManyFactors, TooLargeError
from mixedflow.model.objective import Objective
from mixedflow.model.one_factor import OneFactor
from mixedflow.model.posing import check_posed, check_sizes, no_room, same_clusters
from mixedflow.model.reduced import Factor, Products

if TYPE_CHECKING:
    import pandas as pd


def estimate_products(
    text: str,
    products: Products,
    sample: pd.DataFrame,
    like: pd.DataFrame,
    method: str = "reml",
    where: str = "formula",
) -> Fitted:
    """Fit a model to the cross-products of rows that were reduced in chunks.

    Estimates, standard errors and empirical Bayes are those of a fit to all rows together.
    ``sample`` are the rows that were kept, for residuals, predictions and the audit; ``like`` holds
    every level of the categorical columns.

    Raises
    ------
    FormulaError, DataError, ModelError
        As :func:`mixedflow.model.estimation.estimate`.
    """
    import pandas as pd

    check_method(method, where)
    parsed = parse(text, where)
    objective = _posed(parsed, products, method == "reml", where)
    solution, searches = solved(objective, where)
    kept = chunk_design(parsed, sample, like, where)
    rows = sample.iloc[kept.rows]
    groups = tuple(
        Group(
            part.name, factor.labels, factor.random_terms, factor.blocks, part.Z,
            _codes(factor, [rows[column] for column in part.columns]), factor.parts,
        )
        for part, factor in zip(kept.groups, products.factors, strict=True)
    )  # fmt: skip
    return Fitted(
        solution=solution,
        searches=searches,
        method=method,
        terms=products.terms,
        groups=groups,
        y=kept.y,
        X=kept.X,
        parsed=parsed,
        # Levels that no row of the sample has are known too.
        frame=pd.concat([sample, like], ignore_index=True),
        rows=kept.rows,
        n_missing=products.n_missing,
    )


def _posed(parsed: Parsed, products: Products, reml: bool, where: str) -> Objective:
    """The objective of the cross-products, which has one optimum."""
    sums, factors, names = products.sums, products.factors, [g.name for g in parsed.groups]
    for part, name in zip(sums.parts, names, strict=True):
        check_sizes(part.n, part.p, part.q, name, where)
    for g, h in sums.crossings:
        if sums.within(g, h) and sums.within(h, g):
            one, other = (parsed.groups[k].columns for k in (g, h))
            raise same_clusters(one, other, len(factors[g].labels), where)
    objective: OneFactor | ManyFactors
    if len(factors) == 1:
        objective = OneFactor(sums.parts[0], factors[0].blocks, reml)
    else:
        blocks = tuple(factor.blocks for factor in factors)
        try:
            objective = ManyFactors.of_products(sums, tuple(names), blocks, reml)
        except TooLargeError as error:
            raise no_room(error, where) from None
    each = zip(names, factors, strict=True)
    random_terms = tuple(chain(*effects({name: factor.random_terms for name, factor in each})))
    check_posed(objective, products.terms, random_terms, products.constant, where)
    return objective


def _codes(factor: Factor, columns: Sequence[pd.Series]) -> Array:
    """(n,) which of the factor's clusters each row belongs to."""
    import pandas as pd

    texts = [as_text(column).to_numpy(dtype=object) for column in columns]
    if factor.parts is None:
        place = pd.Index(factor.labels.astype(str).astype(object))
        return np.asarray(place.get_indexer(texts[0]))
    codes, found = combinations([pd.factorize(text) for text in texts])
    known = {part: j for j, part in enumerate(factor.parts)}
    return np.array([known[part] for part in found], dtype=np.int64)[codes]
