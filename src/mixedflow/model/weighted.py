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
from mixedflow.model.unweighted import Sampling, Unweighted
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
    if weights.clusters is not None:
        return _sampled(y, X, groups, weights)
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


def _sampled(y: Array, X: Array, groups: Sequence[Group], weights: RowWeights) -> CrossProducts:
    """Sums over clusters that count by their weights, which zz and zf leave to those who sum."""
    assert weights.clusters is not None
    (group,) = groups
    codes, J = group.codes, len(group.labels)
    both = weights.w * weights.clusters[codes]
    root = np.sqrt(both)[:, None]
    part = reduce(y * root[:, 0], X * root, group.Z * root, codes, J, group.blocks)
    F, Zs = X @ part.scales.R_inverse, group.Z @ part.scales.T_inverse
    share = (both / both.mean())[:, None]
    columns = np.column_stack([F, (y - X @ part.scales.b0) / part.scales.y])
    FF = np.array(
        [[np.bincount(codes, weights.w * a * b, J) for b in columns.T] for a in columns.T]
    )
    sums = Unweighted(
        XX=F.T @ (share * F),
        X_sum=(share * F).sum(axis=0),
        ZZ=Zs.T @ (share * Zs),
        Z_sum=(share * Zs).sum(axis=0),
        log_weights=0.0,
        sampling=Sampling(weights.clusters, np.bincount(codes, weights.w, J), FF),
    )
    zz, zf = part.zz / weights.clusters, part.zf / weights.clusters
    return replace(part, zz=zz, zf=zf, unweighted=sums)


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
