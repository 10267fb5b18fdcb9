"""Diagnostics of a fit: residuals of the rows, and effects of the clusters against their spread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import chdtrc, ndtri

from mixedflow.arrays import Z95, Array
from mixedflow.inference.effects import diagnostic_covariance
from mixedflow.inference.influence import ROUNDING
from mixedflow.inference.prediction import covariance_of_factors
from mixedflow.model.fitted import Fitted, Group
from mixedflow.model.objective import Effects
from mixedflow.model.solution import Solution

if TYPE_CHECKING:
    import pandas as pd

_NO_RELIABILITY = 1e-8


def normal_quantiles(values: Array) -> Array:
    """Expected normal order statistics of ``values`` (n,), in their order; NaN stays NaN.

    The i-th smallest of m is expected near the quantile of (i - 3/8) / (m + 1/4) (Blom 1958,
    Statistical Estimates and Transformed Beta-Variables); ties share the mean of their i.
    """
    present = np.flatnonzero(np.isfinite(values))
    m = len(present)
    quantile = np.full(len(values), np.nan)
    order = present[np.argsort(values[present], kind="stable")]
    # What only rounding tells apart shares the middle of its places.
    new = np.diff(values[order], prepend=-np.inf) > ROUNDING
    ends = np.append(np.flatnonzero(new), m)
    place = 0.5 * (ends[:-1] + 1 + ends[1:])[np.cumsum(new) - 1]
    quantile[order] = ndtri((place - 0.375) / (m + 0.25))
    return quantile


def residual_table(fit: Fitted) -> pd.DataFrame:
    """Level-1 residuals, a row for each row of the fit, in its order.

    ``fitted`` is x'b + z'u and ``residual`` y - fitted, in the outcome's units. ``standardised``
    divides by the residual's own standard deviation, not by sigma: fitting b and u takes up
    variance, most of it in small clusters and at the ends of x. The conditional residuals are
    s2 P y with variance s2^2 P, P = V^-1 - V^-1 X phi X' V^-1 (Gregoire, Schabenberger and Barrett
    1995, Can. J. For. Res. 25; Nobre and Singer 2007, Biometrical J. 49), here in the equal form
    s2 - z'Cz - (x - B'z)' phi (x - B'z). It is NaN in a row that is always fitted exactly. With a
    residual structure it is that of R^-1/2 times the rows: what a row adds to those before it.
    ``quantile`` is the normal quantile of its rank. ``cluster`` is that of the first grouping
    factor; those of further factors stand in ``cluster_<name>``.
    """
    import pandas as pd

    at = fit.solution
    fitted, left, taken = fit.X @ at.beta, fit.X, np.zeros(len(fit.y))
    for group, effects in zip(fit.groups, at.effects, strict=True):
        Z, codes = group.Z, group.codes
        fitted = fitted + np.einsum("nq,nq->n", Z, effects.u[codes])
        left = left - np.einsum("nq,nqp->np", Z, effects.B[codes])
        taken += np.einsum("na,nab,nb->n", Z, effects.C[codes], Z, optimize=True)
    if len(fit.groups) > 1:
        columns, codes_of = [g.Z for g in fit.groups], [g.codes for g in fit.groups]
        taken += covariance_of_factors(at, columns, codes_of)
    residual = fit.y - fitted
    taken += np.einsum("np,np->n", left @ at.phi, left)
    standardised = residual / _deviation(at.s2 - taken, at.s2)
    if at.sandwich is not None:
        standardised = residual / np.sqrt(at.s2)  # how much a fit by them takes up is not known
    if fit.whitened is not fit:
        standardised = residual_table(fit.whitened)["standardised"].to_numpy()
    clusters = cluster_columns(fit.groups)
    return pd.DataFrame(
        {
            **clusters,
            "fitted": fitted,
            "residual": residual,
            "standardised": standardised,
            "quantile": normal_quantiles(standardised),
        }
    ).astype(dict.fromkeys(clusters, "str"))


def normalised_residuals(fit: Fitted) -> Array:
    """(N,) R^-1/2 (y - X b - Z u) / s, in the order of the fit's rows.

    If the residual structure is right they are about independent with variance 1: nlme's
    ``residuals(type = "normalized")``. R^-1/2 of ordered structures and visits takes from a row
    what those before it in its cluster say of it.
    """
    return _conditional(fit.whitened) / np.sqrt(fit.solution.s2)


def _conditional(fit: Fitted) -> Array:
    """(N,) y - X b - Z u."""
    left = fit.y - fit.X @ fit.solution.beta
    for group, effects in zip(fit.groups, fit.solution.effects, strict=True):
        left = left - np.einsum("nq,nq->n", group.Z, effects.u[group.codes])
    return np.asarray(left)


def autocorrelation(
    fit: Fitted, time: Array | None = None, most: int | None = None
) -> pd.DataFrame:
    """Correlation of residuals by lag, before the residual structure and after it.

    A row a ``lag``, counted in rows of a cluster in the order of ``time`` (N,), by default of the
    structure's, with the ``pairs`` of rows so far apart. ``before`` is of y - X b - Z u over their
    SDs, ``after`` of :func:`normalised_residuals`: the mean product over the pairs over the mean
    square, as nlme's ``ACF`` has it, up to lag ``most`` (nlme's by default: 10 log10 of the largest
    cluster's rows, or one less than these). Correlations of independent residuals stay within
    +- ``limit`` 19 times of 20, 1.96 / sqrt(pairs). The lag 0 is left out: it is 1.
    """
    import pandas as pd

    residuals, (group, *_) = fit.residuals, fit.groups
    codes, sd, order = group.codes, np.ones(len(fit.y)), np.argsort(group.codes, kind="stable")
    if fit.weights is not None:
        sd = np.sqrt(fit.weights.relative_variance)
    if residuals is not None:
        sd = np.sqrt(residuals.relative_variance(fit.solution.covariance.residual))
        order = residuals.order
    if time is not None:
        order = np.lexsort((time, codes))
    before = _conditional(fit) / (sd * np.sqrt(fit.solution.s2))
    both = np.column_stack([before, normalised_residuals(fit)])[order]
    codes = codes[order]
    largest = int(np.bincount(codes).max())
    if most is None:
        most = min(largest - 1, int(10.0 * np.log10(largest)))
    square, rows = (both**2).mean(axis=0), []
    for lag in range(1, most + 1):
        together = codes[lag:] == codes[:-lag]
        pairs = int(together.sum())
        products = (both[lag:] * both[:-lag])[together]
        found = products.sum(axis=0) / square / pairs if pairs else np.full(2, np.nan)
        limit = Z95 / np.sqrt(pairs) if pairs else np.nan
        rows.append((lag, pairs, *found.tolist(), limit))
    return pd.DataFrame(rows, columns=["lag", "pairs", "before", "after", "limit"])


def cluster_columns(groups: Sequence[Group]) -> dict[str, Array]:
    """The rows' clusters: ``cluster`` of the first factor, ``cluster_<name>`` of others."""
    names = ["cluster", *(f"cluster_{group.name}" for group in groups[1:])]
    return {name: group.clusters[group.codes] for name, group in zip(names, groups, strict=True)}


def _deviation(variance: Array, scale: Array | float) -> Array:
    """Square roots, NaN where rounding is all that there is."""
    return np.sqrt(np.where(variance > ROUNDING * scale, variance, np.nan))


def effect_table(fit: Fitted) -> pd.DataFrame:
    """Level-2 residuals: a row for each grouping factor, cluster and random term.

    ``estimate`` is the EB effect, in units of the outcome per unit of the term, and
    ``se_diagnostic`` the standard deviation of that estimate, sqrt diag(G - C - B phi B')
    (Langford and Lewis 1998, J. R. Stat. Soc. A 161); ``standardised`` is their ratio, NaN where
    the standard error is 0, and ``quantile`` its normal quantile within the term: the Q-Q plot of
    Lange and Ryan (1989, Ann. Stat. 17), without their weights.

    ``distance`` u' Var(u_hat)^- u takes a cluster's effects together (Waternaux, Laird and Ware
    1989, J. Am. Stat. Assoc. 84), with ``df`` the rank of Var(u_hat), less than q where a
    cluster's rows cannot tell its effects apart, and ``p_value`` from chi-squared(df). Both repeat
    in a cluster's rows. P values are for one cluster, not for the largest of J.
    """
    import pandas as pd

    frames = [
        _effects_of(fit.solution, group, effects)
        for group, effects in zip(fit.groups, fit.solution.effects, strict=True)
    ]
    frame = pd.concat(frames, ignore_index=True)
    return frame.astype({"group": "str", "cluster": "str", "term": "str"})


def _effects_of(at: Solution, group: Group, effects: Effects) -> pd.DataFrame:
    import pandas as pd

    n_clusters, q = effects.u.shape
    covariance = diagnostic_covariance(effects, at.phi)
    prior = np.diag(effects.G)
    error = np.nan_to_num(_deviation(np.einsum("jkk->jk", covariance), prior))
    standardised = np.divide(effects.u, error, out=np.full_like(effects.u, np.nan), where=error > 0)
    distance, df = _distance(at, effects)
    by_cluster = {"distance": distance, "df": df, "p_value": chdtrc(df, distance)}
    return pd.DataFrame(
        {
            "group": group.name,
            "cluster": np.repeat(group.clusters, q),
            "n": np.repeat(effects.n, q),
            "term": np.tile(np.array(group.random_terms, dtype=object), n_clusters),
            "estimate": effects.u.ravel(),
            "se_diagnostic": error.ravel(),
            "standardised": standardised.ravel(),
            "quantile": _by_column(standardised).ravel(),
            **{name: np.repeat(values, q) for name, values in by_cluster.items()},
        }
    )


def _by_column(standardised: Array) -> Array:
    """(J, q) normal quantiles of each column's entries; of a marginal model q is 0."""
    columns = [normal_quantiles(column) for column in standardised.T]
    return np.array(columns).reshape(standardised.shape[::-1]).T


def _distance(at: Solution, effects: Effects) -> tuple[Array, Array]:
    """u' Var(u_hat)^- u and the ranks, both (J,), for effects that would be N(0, I).

    With E = s2 Z'V^-1 [X y] and P = s2 Z'V^-1 Z in the core's scales, L'E (-b, 1) / s are those
    effects, and L'(P - E_X S_xx^-1 E_X')L their covariance.
    """
    L, inside, E = effects.L, effects.P, effects.E
    cross = E[:, :, :-1]
    effect = (E @ at.at.v) @ L / np.sqrt(at.s2_scaled)
    shared = cross @ at.at.S_xx_inverse @ cross.transpose(0, 2, 1)
    covariance = L.T @ (inside - shared) @ L
    reliability, vectors = np.linalg.eigh(covariance)
    turned = np.einsum("jkl,jk->jl", vectors, effect)
    able = reliability > _NO_RELIABILITY
    squares = np.divide(turned**2, reliability, out=np.zeros_like(turned), where=able)
    df = able.sum(axis=1)
    return np.where(df > 0, squares.sum(axis=1), np.nan), df
