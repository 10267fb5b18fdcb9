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
from mixedflow.language.residuals import Residual
from mixedflow.model.clusters import combinations
from mixedflow.model.design import chunk_design
from mixedflow.model.estimation import check_method, solved
from mixedflow.model.fitted import Fitted, Group
from mixedflow.model.many_factors import ManyFactors, TooLargeError
from mixedflow.model.objective import Objective
from mixedflow.model.one_factor import OneFactor
from mixedflow.model.posing import (
    beside,
    check_posed,
    check_sizes,
    check_together,
    no_room,
    same_clusters,
)
from mixedflow.model.reduced import Factor, Products
from mixedflow.model.residual_chunks import laid_on_some, relative_to
from mixedflow.model.residual_design import Residuals
from mixedflow.model.segments import one_row_each
from mixedflow.model.whitened import Whitened
from mixedflow.model.whitened_sums import WhitenedSums

if TYPE_CHECKING:
    import pandas as pd


def estimate_products(
    text: str,
    products: Products,
    sample: pd.DataFrame,
    like: pd.DataFrame,
    method: str = "reml",
    where: str = "formula",
    residual: Residual | None = None,
    cluster: str | None = None,
) -> Fitted:
    """Fit a model to the cross-products of rows that were reduced in chunks.

    Estimates, standard errors and empirical Bayes are those of a fit to all rows together.
    ``sample`` are the rows that were kept, for residuals, predictions and the audit; ``like`` holds
    every level of the categorical columns that rows have. ``residual`` and ``cluster`` are those of
    :func:`mixedflow.model.estimation.estimate`.

    Raises
    ------
    FormulaError, DataError, ModelError
        As :func:`mixedflow.model.estimation.estimate`.
    """
    import pandas as pd

    check_method(method, where)
    parsed = parse(text, where)
    if residual is not None and cluster is not None:
        parsed = parsed.in_clusters(cluster)
    objective = _posed(parsed, products, method == "reml", where, residual)
    solution, searches = solved(objective, where)
    types = {n: t for n, t in like.dtypes.items() if isinstance(t, pd.CategoricalDtype)}
    sample = sample.astype(types)
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
        residuals=_laid_out(residual, products, groups[0].codes, rows, where),
    )


def _laid_out(
    residual: Residual | None, products: Products, codes: Array, rows: pd.DataFrame, where: str
) -> Residuals | None:
    """The structure on the ``rows`` of the sample, relative to all rows."""
    found = products.residual
    if residual is None or found is None:
        return None
    layout = relative_to(found.unit, found.nearest, found.largest)
    rows = rows.reset_index(drop=True)
    return laid_on_some(residual, rows, codes, beside(where), layout)


def _posed(
    parsed: Parsed, products: Products, reml: bool, where: str, residual: Residual | None
) -> Objective:
    """The objective of the cross-products, which has one optimum."""
    sums, factors, names = products.sums, products.factors, [g.name for g in parsed.groups]
    for part, name in zip(sums.parts, names, strict=True):
        check_sizes(part.n, part.p, part.q, name, where)
    for g, h in sums.crossings:
        if sums.within(g, h) and sums.within(h, g):
            one, other = (parsed.groups[k].columns for k in (g, h))
            raise same_clusters(one, other, len(factors[g].labels), where)
    objective: OneFactor | ManyFactors | Whitened
    if residual is not None and products.residual is not None:
        check_together(residual, {names[0]: factors[0].random_terms}, where)
        found, (total,) = products.residual, sums.parts
        if found.largest == 1:
            raise one_row_each(beside(where))
        structure = found.structure(residual)
        fixed = found.whitening(structure, total)
        objective = WhitenedSums(total, factors[0].blocks, structure, fixed, reml)
    elif len(factors) == 1:
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
