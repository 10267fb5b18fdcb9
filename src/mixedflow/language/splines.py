"""The columns of ``poly``, ``bs`` and ``ns``, and what is stored of the data to have them again.

They are those of R (``stats::poly``, ``splines::bs`` and ``ns``). Orthogonal polynomials follow a
recursion with coefficients of the data (Kennedy and Gentle 1980, Statistical Computing, 343-344);
splines are B-splines (de Boor 2001, A Practical Guide to Splines), the natural ones with second
derivatives that vanish at the boundary knots, beyond which they are straight.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mixedflow.arrays import Array
from mixedflow.language.bases import Basis, BasisError

_CUBIC = 3


def stored(basis: Basis, x: Array) -> tuple[float, ...]:
    """What the columns need to know of the data: x (n,), missing values left out.

    Of polynomials alpha and the norms of the recursion, of splines the knots, boundaries last.

    Raises
    ------
    BasisError
        A degree that the values of x do not allow, or knots outside them.
    """
    if basis.kind == "poly":
        return () if basis.raw else _recursion(x[np.isfinite(x)], basis.degree)
    return _knots(basis, x[np.isfinite(x)])


def column(basis: Basis, number: int, known: Sequence[float], x: Array) -> Array:
    """The ``number``-th column (from 1) at x (n,); missing where x is."""
    there = np.isfinite(x)
    found = np.full(len(x), np.nan)
    if there.any():
        found[there] = _columns(basis, known, x[there])[:, number - 1]
    return found


def _columns(basis: Basis, known: Sequence[float], x: Array) -> Array:
    if basis.kind == "bs":
        return _b_splines(known, basis.degree, x)[:, 1:]
    if basis.kind == "ns":
        return _natural(known, x)
    if basis.raw:
        return np.power.outer(x, np.arange(1.0, basis.degree + 1.0))
    return _orthogonal(known, basis.degree, x)


# Polynomials


def _recursion(x: Array, degree: int) -> tuple[float, ...]:
    """alpha_1, ..., alpha_d, then the squared norms of the polynomials of degree 0 to d."""
    distinct = len(np.unique(x))
    if degree >= distinct:
        what = f"a polynomial of degree {degree} needs more than {degree} different values"
        raise BasisError(f"{what}, not {distinct}", "lower the degree")
    middle = float(x.mean())
    z = x - middle  # digits of a large mean would be lost
    before, now = np.zeros(len(x)), np.ones(len(x))
    alphas, norms = [], [float(len(x))]
    for _ in range(degree):
        alpha = float(z @ now**2) / norms[-1]
        ratio = norms[-1] / norms[-2] if len(norms) > 1 else 0.0
        before, now = now, (z - alpha) * now - ratio * before
        alphas.append(alpha + middle)
        norms.append(float(now @ now))
    return (*alphas, *norms)


def _orthogonal(known: Sequence[float], degree: int, x: Array) -> Array:
    alphas, norms = known[:degree], known[degree:]
    before, now = np.zeros(len(x)), np.ones(len(x))
    found = np.empty((len(x), degree))
    for k in range(degree):
        ratio = norms[k] / norms[k - 1] if k else 0.0
        before, now = now, (x - alphas[k]) * now - ratio * before
        found[:, k] = now / np.sqrt(norms[k + 1])
    return found


# Splines


def _knots(basis: Basis, x: Array) -> tuple[float, ...]:
    if len(x) == 0 and basis.needs_data:
        raise BasisError("no values to place knots by")
    lower = float(x.min()) if basis.lower is None else basis.lower
    upper = float(x.max()) if basis.upper is None else basis.upper
    if not lower < upper:
        raise BasisError(f"splines between {lower:g} and {upper:g} need two different ends")
    if basis.knots is not None:
        inner = basis.knots
    else:
        within = x[(x >= lower) & (x <= upper)]
        at = np.linspace(0.0, 1.0, basis.n_knots + 2)[1:-1]
        inner = tuple(np.quantile(within, at).tolist()) if len(at) else ()
    outside = next((knot for knot in inner if not lower < knot < upper), None)
    if outside is not None:
        what = f"the knot {outside:g} does not lie between {lower:g} and {upper:g}"
        raise BasisError(what, "write knots=[...] inside, or a smaller df")
    return (*inner, lower, upper)


def _b_splines(known: Sequence[float], degree: int, x: Array, derivative: int = 0) -> Array:
    """(n, K) all B-splines or derivatives; beyond the boundary the outermost pieces go on."""
    from scipy.interpolate import BSpline

    *inner, lower, upper = known
    order = degree + 1
    t = np.array([*[lower] * order, *inner, *[upper] * order])
    spline = BSpline(t, np.eye(len(t) - order), degree, extrapolate=True)
    return np.asarray(spline(x, nu=derivative))


def _natural(known: Sequence[float], x: Array) -> Array:
    *_, lower, upper = known
    ends = np.array([lower, upper])
    found = _b_splines(known, _CUBIC, np.clip(x, lower, upper))
    slopes = _b_splines(known, _CUBIC, ends, 1)
    found = found + np.minimum(x - lower, 0.0)[:, None] * slopes[0]
    found = found + np.maximum(x - upper, 0.0)[:, None] * slopes[1]
    bent = _b_splines(known, _CUBIC, ends, 2)[:, 1:]
    rotation, _ = np.linalg.qr(bent.T, mode="complete")
    return np.asarray(found[:, 1:] @ rotation[:, 2:])
