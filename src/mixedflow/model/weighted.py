"""Cross-products of weighted rows.

A row of weight w is sqrt(w) [X Z y] of a row whose residual has variance s2; what that does to the
likelihood beside it is -1/2 sum log w. Means over the rows are those of the rows as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mixedflow.arrays import Array
from mixedflow.model.crossproducts import CrossProducts, reduce
from mixedflow.model.factor_products import FactorProducts, reduce_factors
from mixedflow.model.fitted import Group
from mixedflow.model.unweighted import Unweighted
from mixedflow.model.weights import RowWeights


def reduced(
    y: Array, X: Array, groups: Sequence[Group], weights: RowWeights
) -> CrossProducts | FactorProducts:
    """Cross-products of the weighted rows of one grouping factor, or of several.

    Raises
    ------
    CollinearError, NotFiniteError
        As :func:`mixedflow.model.crossproducts.reduce`.
    """
    root = weights.root[:, None]
    turned = tuple(replace(group, Z=group.Z * root) for group in groups)
    both = y * weights.root, X * root
    if len(groups) > 1:
        products = reduce_factors(*both, turned)
        parts = zip(products.parts, groups, strict=True)
        found = tuple(_as_they_are(part, X, group.Z, weights) for part, group in parts)
        return FactorProducts(found, products.crossings)
    (group,) = turned
    part = reduce(*both, group.Z, group.codes, len(group.labels), group.blocks)
    return _as_they_are(part, X, groups[0].Z, weights)


def _as_they_are(part: CrossProducts, X: Array, Z: Array, weights: RowWeights) -> CrossProducts:
    F, Zs = X @ part.scales.R_inverse, Z @ part.scales.T_inverse
    sums = Unweighted(
        XX=F.T @ F,
        X_sum=F.sum(axis=0),
        ZZ=Zs.T @ Zs,
        Z_sum=Zs.sum(axis=0),
        log_weights=float(np.log(weights.w).sum()),
        known=weights.spec.known,
    )
    return replace(part, unweighted=sums)
