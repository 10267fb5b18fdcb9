"""What posterior.npz leaves out of numbers is nothing that a ranking rests on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mixedflow
from mixedflow.arrays import rounded, square_root
from mixedflow.inference.posterior import posterior
from mixedflow.inference.posterior_digits import shortened


def fit_over(start: float):
    """Lines over ten years that begin at ``start``, and the posterior of their effects."""
    rng = np.random.default_rng(5)
    u = rng.standard_normal((40, 2))
    frame = pd.DataFrame(
        [
            {"g": g, "x": start + t, "y": u[g, 0] + (0.5 + 0.2 * u[g, 1]) * (t - 5) + e}
            for g in range(40)
            for t, e in zip(range(11), rng.standard_normal(11), strict=True)
        ]
    )
    fitted = mixedflow.fit("y ~ x + (1 + x | g)", frame).fitted
    every = posterior(fitted)
    return every, shortened(every, fitted)


@pytest.mark.parametrize("start", [-5.0, 2000.0, 20000.0])
def test_sums_of_effects_keep_their_digits_wherever_zero_is(start):
    every, short = fit_over(start)
    c = np.array([1.0, start + 7])
    for name in ("0/u", "0/theta", "0/variance_factor", "0/theta_factor"):
        own, cut = (np.tensordot(c, found[name], axes=(0, 1)) for found in (every, short))
        error = np.sqrt(np.einsum("a,jab,b->j", c, every["0/theta_own"], c)).mean()
        assert not np.array_equal(every[name], short[name])
        assert np.abs(own - cut).max() < 1e-7 * error
    for name in ("0/C", "0/theta_own"):
        own, cut = (np.einsum("a,jab,b->j", c, found[name], c) for found in (every, short))
        assert cut == pytest.approx(own, rel=2e-7)


def test_names_and_counts_stay():
    every, short = fit_over(-5.0)
    assert every.keys() == short.keys()
    for name in ("terms", "groups", "0/clusters", "0/n", "0/z_quantiles", "0/covariates"):
        assert np.array_equal(every[name], short[name])


def test_digits_below_a_hundred_millionth_of_the_scale_are_cut():
    values = np.array([0.1, -2.5, 3e-12, np.nan, 1e9])
    cut = rounded(values, 1.0)
    noise = rounded(values + 1e-15, 1.0)
    assert np.array_equal(cut, noise, equal_nan=True)
    assert cut[:2] == pytest.approx(values[:2], abs=5e-9) and cut[2] == 0 and cut[4] == 1e9
    assert np.array_equal(rounded(values, 0.0), values, equal_nan=True)


def test_a_root_is_that_of_the_matrix_and_no_choice_of_vectors():
    rng = np.random.default_rng(2)
    half = rng.standard_normal((7, 4, 2)) * np.array([1e4, 1.0, 1e-5, 3.0])[:, None]
    S = half @ half.swapaxes(1, 2)  # singular, in units far apart
    root, unit = square_root(S), np.sqrt(np.einsum("jaa->ja", S))
    both = unit[:, :, None] * unit[:, None, :]
    assert (root @ root.swapaxes(1, 2)) / both == pytest.approx(S / both, abs=1e-12)
    # Two equal eigenvalues: any turned basis is as good, and the root is still the known one.
    assert square_root(np.diag([4.0, 4.0, 9.0])) == pytest.approx(np.diag([2.0, 2.0, 3.0]))
    assert square_root(np.array([[5.0, 4.0], [4.0, 5.0]])) == pytest.approx(
        np.array([[2, 1], [1, 2]])
    )
    assert not square_root(np.zeros((2, 2))).any()
