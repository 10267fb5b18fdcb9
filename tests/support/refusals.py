"""A small model, what may be wrong with it, and how it is refused: one line, and no search."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from mixedflow import api
from mixedflow.errors import MixedflowError
from mixedflow.model import estimation

J, SIZE = 6, 5
N = J * SIZE
LARGE = 5000  # rows: scales are taken from a sample of them, which misses row 1


def forbid_search(monkeypatch: pytest.MonkeyPatch) -> None:
    def began(*args, **kwargs):
        raise AssertionError("a search began")

    monkeypatch.setattr(estimation, "search", began)


def arrays(n=N, **changed):
    rng = np.random.default_rng(0)
    cluster = np.arange(n) // SIZE
    X = np.column_stack([np.ones(n), rng.normal(size=n)])
    u = rng.normal(size=cluster[-1] + 1)
    y = X @ [1.0, 0.5] + u[cluster] + rng.normal(size=n)
    parts = {"y": y, "X": X, "Z": X[:, :1].copy(), "cluster": cluster}
    for name, value in changed.items():
        parts[name] = value(parts[name]) if callable(value) else value
    return parts


def frame(**changed):
    parts = arrays()
    columns = {"y": parts["y"], "x": parts["X"][:, 1], "g": [f"g{j}" for j in parts["cluster"]]}
    table = pd.DataFrame(columns)
    for name, value in changed.items():
        table[name] = value
    return table


def with_value(value, row=3):
    """The same array with ``value`` in a row's last column."""

    def put(part):
        part = part.astype(object) if value is None or value is pd.NA else part.copy()
        part[(row, *[-1] * (part.ndim - 1))] = value
        return part

    return put


def refused(kind, text, call):
    with warnings.catch_warnings():
        # Numpy's warnings would be further lines, in words that are not the user's.
        warnings.simplefilter("error")
        with pytest.raises(kind, match=text) as caught:
            call()
    line = str(caught.value)
    assert isinstance(caught.value, MixedflowError)
    assert "\n" not in line and 10 < len(line) < 250


def refused_arrays(kind, text, **changed):
    parts = arrays(**changed)
    refused(kind, text, lambda: api.fit_arrays(**parts))


def refused_frame(kind, text, table, formula="y ~ x + (1 | g)", **options):
    refused(kind, text, lambda: api.fit(formula, table, **options))


X0 = arrays()["X"]
ONE, COVARIATE = X0[:, 0], X0[:, 1]
