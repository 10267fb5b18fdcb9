"""Fixed sums against the rows that they were summed from."""

import numpy as np
import pytest

from mixedflow.model.residual_by_visit import toeplitz, unstructured
from mixedflow.model.residual_structures import Exchangeable, Markov, Visits
from mixedflow.model.whitened import Rows
from mixedflow.model.whitening import (
    ByRows,
    ExchangeableSums,
    MarkovSums,
    VisitSums,
    markov_sums,
    whitening,
)

V, J = 4, 40


def rows_of(gaps, q, seed=1):
    """Rows of J clusters whose neighbouring visits are one of ``gaps`` apart, some of one row."""
    rng = np.random.default_rng(seed)
    n = rng.integers(1, 9, J)
    codes = np.repeat(np.arange(J), n)
    X = np.column_stack([np.ones(len(codes)), rng.normal(size=len(codes))])
    y = 2.0 + X[:, 1] + rng.normal(size=J)[codes] + rng.normal(size=len(codes))
    first = np.append(True, codes[1:] != codes[:-1])
    return Rows(y, X, X[:, :q], codes, (q,) if q else ()), first, rng.choice(gaps, len(codes))


def both(gaps, q, discrete):
    rows, first, apart = rows_of(gaps, q)
    total = rows.reduced()
    columns = rows.columns(total.scales)
    markov = Markov(first, apart, discrete)
    exact = markov_sums(columns, total, markov, np.unique(apart[~first]))
    return exact, ByRows(columns, q, total.n, markov, np.zeros((len(first), 0)))


@pytest.fixture(scope="module", params=[(1.0,), (1.0, 2.0, 5.0)], ids=str)
def gaps(request):
    return request.param


@pytest.mark.parametrize("q", [0, 1, 2])
@pytest.mark.parametrize(("discrete", "tau"), [(True, -0.7), (True, 0.0), (False, 0.4)])
def test_sums_of_a_markov_structure_are_those_of_its_rows(gaps, q, discrete, tau):
    sums_are_those_of_the_rows(*both(gaps, q, discrete), q, np.array([tau]))


def sums_are_those_of_the_rows(sums, by_rows, q, theta):
    rng = np.random.default_rng(2)
    found, known = sums.freed(theta), by_rows.freed(theta)
    for name in ("zz", "zf", "FF", "log_det"):
        assert getattr(found, name) == pytest.approx(getattr(known, name), rel=1e-11, abs=1e-11)
    f = len(found.FF)
    zz, FF = rng.normal(size=(q, q, J)), rng.normal(size=(f, f))
    bars = zz + zz.transpose(1, 0, 2), rng.normal(size=(q, f, J)), FF + FF.T
    slope = sums.back(theta, found, *bars)
    assert slope == pytest.approx(by_rows.back(theta, known, *bars), rel=1e-10)


def exchangeable(q):
    rows, first, _ = rows_of((1.0,), q)
    total = rows.reduced()
    columns, none = rows.columns(total.scales), np.zeros((len(first), 0))
    structure = Exchangeable(rows.codes, int(total.n.max()))
    return whitening(columns, total, structure, none), ByRows(columns, q, total.n, structure, none)


@pytest.mark.parametrize("q", [0, 1, 2])
@pytest.mark.parametrize("tau", [-4.0, -1.0, 2.0])
def test_sums_of_exchangeable_rows_are_those_of_the_rows(q, tau):
    sums, by_rows = exchangeable(q)
    assert isinstance(sums, ExchangeableSums)
    sums_are_those_of_the_rows(sums, by_rows, q, np.array([tau]))


def second_by_differences(sums, theta, FF, h=1e-5):
    """Of log|R| + tr(FF_bar FF) and of FF, FF_bar held."""
    none = np.zeros((0, 0, 0))
    slopes, moved = [], []
    for step in h * np.eye(len(theta)):
        up, down = sums.freed(theta + step), sums.freed(theta - step)
        slopes.append(
            sums.back(theta + step, up, none, none, FF)
            - sums.back(theta - step, down, none, none, FF)
        )
        moved.append(up.FF - down.FF)
    return np.array(slopes) / (2 * h), np.array(moved) / (2 * h)


@pytest.mark.parametrize("discrete", [True, False])
def test_second_derivatives_of_markov_sums_are_differences(gaps, discrete):
    second_derivatives_are_differences(both(gaps, 0, discrete)[0])


def test_second_derivatives_of_exchangeable_sums_are_differences():
    second_derivatives_are_differences(exchangeable(0)[0])


def second_derivatives_are_differences(sums):
    theta, FF = np.array([0.4]), np.diag([1.0, 2.0, 3.0])
    assert sums.exact
    found, known = (
        sums.second(theta, sums.freed(theta), FF),
        second_by_differences(sums, theta, FF),
    )
    for one, other in zip(found, known, strict=True):
        assert one == pytest.approx(other, rel=1e-7, abs=1e-6)


@pytest.mark.parametrize("make", [unstructured, toeplitz])
def test_second_derivatives_of_sums_by_visit_are_differences(make):
    rng = np.random.default_rng(4)
    visit = [np.sort(rng.choice(V, rng.integers(1, V + 1), replace=False)) for _ in range(J)]
    starts = np.concatenate([[0], np.cumsum([len(v) for v in visit])])
    matrix, start = make(V)
    visits = Visits(starts, np.concatenate(visit), matrix, start, start, make is unstructured)
    sums = VisitSums(visits, rng.normal(size=(3, starts[-1])))
    theta, FF = 0.3 * rng.normal(size=len(start)), np.eye(3) + 0.5
    found, known = (
        sums.second(theta, sums.freed(theta), FF),
        second_by_differences(sums, theta, FF),
    )
    for one, other in zip(found, known, strict=True):
        assert one == pytest.approx(other, rel=1e-6, abs=1e-5)


def test_sums_are_fixed_where_they_are_fewer_than_the_rows():
    rows, first, apart = rows_of((1.0,), 1)
    total = rows.reduced()
    columns, none = rows.columns(total.scales), np.zeros((len(first), 0))
    assert isinstance(whitening(columns, total, Markov(first, apart, True), none), MarkovSums)
    uneven = Markov(first, np.random.default_rng(3).uniform(0.5, 1.5, len(first)), False)
    assert isinstance(whitening(columns, total, uneven, none), ByRows)
    variances = np.ones((len(first), 1))
    assert isinstance(whitening(columns, total, Markov(first, apart, True), variances), ByRows)
