"""A fit to cross-products of rows that were reduced in chunks, which are never together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mixedflow.language.formula import parse
from mixedflow.model.design import chunk_design
from mixedflow.model.estimation import check_method, solved
from mixedflow.model.fitted import Fitted, Group
from mixedflow.model.one_factor import OneFactor
from mixedflow.model.posing import check_objective, check_range, check_residual, check_sizes
from mixedflow.model.reduced import Products

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
    parsed, sums = parse(text, where), products.sums
    (name,) = (group.name for group in parsed.groups)
    check_sizes(sums.n, sums.p, sums.q, name, where)
    check_range(sums, products.terms, products.random_terms, where)
    check_residual(sums, products.constant, where)
    objective = OneFactor(sums, products.blocks, method == "reml")
    check_objective(objective, products.random_terms, where)
    solution, searches = solved(objective, where)
    kept = chunk_design(parsed, sample, like, where)
    place = pd.Index(products.labels.astype(str).astype(object))
    codes = place.get_indexer(sample[name].astype(str).to_numpy(dtype=object)[kept.rows])
    (part,) = kept.groups
    group = Group(
        name, products.labels, products.random_terms, products.blocks, part.Z, np.asarray(codes)
    )
    return Fitted(
        solution=solution,
        searches=searches,
        method=method,
        terms=products.terms,
        groups=(group,),
        y=kept.y,
        X=kept.X,
        parsed=parsed,
        # Levels that no row of the sample has are known too.
        frame=pd.concat([sample, like], ignore_index=True),
        rows=kept.rows,
        n_missing=products.n_missing,
    )
