"""Residual structures of data reduced in chunks: the fit of all rows in memory.

Its own correctness other tests hold against nlme and dense matrices of the rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from chunk_data import assert_same, configured, fitted, reduced

from mixedflow import api
from mixedflow.analysis.gathering import Gathered, gather
from mixedflow.errors import MixedflowError
from mixedflow.language.asked import Asked
from mixedflow.language.residuals import read
from mixedflow.model import segments
from mixedflow.model.residual_audit import audit_residuals

MORE = {"derive": {}, "filter": None, "levels": {"kind": ["a", "unseen", "b"]}}
AR1, CAR1 = {"correlation": {"ar1": "t"}}, {"correlation": {"car1": "age"}}
EXCHANGEABLE = {"correlation": {"exchangeable": True}}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "marginal AR(1)": ("y ~ x + kind", AR1),
    "AR(1) and intercept": ("y ~ x + kind + (1 | g)", AR1),
    "CAR(1) and slope": ("y ~ x + (1 + x | g)", CAR1),
    "marginal CAR(1)": ("y ~ x", CAR1),
    "exchangeable": ("y ~ x + kind", EXCHANGEABLE),
    "exchangeable and slope": ("y ~ x + (0 + w | g)", EXCHANGEABLE),
}


def rows(J: int = 60, seed: int = 5) -> pd.DataFrame:
    """Sorted by cluster, in no order of time; visits are missed, ages in tenths, y missing."""
    rng = np.random.default_rng(seed)
    n = rng.integers(2, 12, J)
    g = np.repeat(np.arange(J), n)
    t = np.concatenate([np.sort(rng.choice(14, k, replace=False)) for k in n])
    e = rng.normal(size=len(g))
    for k in range(1, len(g)):
        if g[k] == g[k - 1]:
            phi = 0.6 ** (t[k] - t[k - 1])
            e[k] = phi * e[k - 1] + np.sqrt(1 - phi**2) * e[k]
    x = 100.0 + rng.normal(size=len(g))
    kind = np.array(["a", "b"])[rng.integers(0, 2, J)][g]
    y = 5.0 + 0.5 * x + (kind == "b") + rng.normal(size=J)[g]
    y += 0.6 * rng.normal(size=J)[g] * (x - 100.0) + e
    frame = pd.DataFrame({"g": g, "t": t, "age": 6.0 + t / 10.0, "x": x, "kind": kind, "y": y})
    frame.loc[::23, "y"] = np.nan
    frame["w"] = x - 100.0
    frame = frame.assign(turn=rng.permutation(len(frame))).sort_values(["g", "turn"])
    return frame.drop(columns="turn").reset_index(drop=True)


def chunked(folder: Path, frame: pd.DataFrame, parts: int, *models: str) -> Gathered:
    """By way of two files in ``parts`` chunks each."""
    folder.mkdir(exist_ok=True)
    files, cut = [folder / "one.parquet", folder / "two.parquet"], len(frame) // 3
    for part, file in zip((frame[:cut], frame[cut:]), files, strict=True):
        part.to_parquet(file, row_group_size=17)
    dataset = configured(files, parts, "y ~ x + (1 | g)", **MORE)
    asked = {m: Asked(MODELS[m][0], read(MODELS[m][1], "m")) for m in models or MODELS}
    return gather(dataset, reduced(dataset, folder, asked))


def in_time(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values(["g", "t"], ignore_index=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("residual")


@pytest.fixture(scope="module")
def gathered(folder: Path) -> Gathered:
    """Cuts lie within clusters, whose rows are in the order of time."""
    return chunked(folder, in_time(rows()), 5)


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("name", MODELS)
def test_the_fit_is_that_of_all_rows(
    gathered: Gathered, folder: Path, name: str, method: str
) -> None:
    text, written = MODELS[name]
    residual = read(written, "m")
    found = fitted(gathered, text, method, folder, residual)
    frame = rows().assign(g=lambda f: f["g"].astype(str))
    expected = api.fit(text, frame, method, residual=written, cluster="g")
    if found.random_terms:
        assert_same(found, expected)
    one, other = found.solution, expected.solution
    assert found.log_likelihood == pytest.approx(expected.log_likelihood, rel=1e-12)
    assert found.linear_log_likelihood == pytest.approx(expected.linear_log_likelihood, rel=1e-12)
    assert one.beta == pytest.approx(other.beta, rel=1e-9)
    assert np.sqrt(np.diag(one.phi)) == pytest.approx(np.sqrt(np.diag(other.phi)), rel=1e-9)
    for name in ("variance_components", "fixed_effects"):
        pd.testing.assert_frame_equal(
            getattr(found, name), getattr(expected, name), rtol=1e-6, atol=1e-9
        )


@pytest.mark.parametrize("name", ["AR(1) and intercept", "marginal CAR(1)", "exchangeable"])
def test_neither_size_nor_order_of_chunks_matters(
    gathered: Gathered, tmp_path: Path, name: str
) -> None:
    text, written = MODELS[name]
    residual = read(written, "m")
    # By time, a cluster has rows in all chunks; those of one chunk in any order.
    by_time = rows().sort_values("t", kind="stable", ignore_index=True)
    other = chunked(tmp_path, by_time, 2, name)
    turned = gather(other.spec, [chunk.path for chunk in other.chunks[::-1]])
    one, same = (fitted(of, text, "reml", tmp_path, residual) for of in (turned, gathered))
    assert one.solution.beta == pytest.approx(same.solution.beta, rel=1e-9)
    assert one.log_likelihood == pytest.approx(same.log_likelihood, rel=1e-12)


@pytest.mark.parametrize("name", ["AR(1) and intercept", "exchangeable"])
def test_dense_matrices_of_the_sample_agree(gathered: Gathered, folder: Path, name: str) -> None:
    text, written = MODELS[name]
    found = audit_residuals(fitted(gathered, text, "reml", folder, read(written, "m")).fitted)
    assert abs(found["difference"]) < found["tolerance"] < 1e-5


def test_a_sample_of_clusters_is_audited_on_its_own_rows(
    gathered: Gathered, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mixedflow.analysis import gathering

    monkeypatch.setattr(gathering, "SAMPLED", 9)
    few = Gathered(gathered.spec, gathered.chunks, gathered.labels, gathered.n)
    text, written = MODELS["AR(1) and intercept"]
    fit = fitted(few, text, "reml", folder, read(written, "m")).fitted
    found = audit_residuals(fit)
    assert not fit.complete and "on 9 of the 60 clusters" in found["how"]
    assert abs(found["difference"]) < found["tolerance"] < 1e-5


# Bad input


def refused(tmp_path: Path, frame: pd.DataFrame, name: str, parts: int = 2) -> str:
    text, written = MODELS[name]
    with pytest.raises(MixedflowError) as caught:
        fitted(chunked(tmp_path, frame, parts, name), text, "reml", tmp_path, read(written, "m"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_rows_that_stand_between_those_of_another_chunk_are_named(tmp_path: Path) -> None:
    message = refused(tmp_path, rows().sort_values("x", ignore_index=True), "marginal AR(1)")
    assert "chunk" in message and "stand between those of another chunk in t" in message
    assert "sort the files by t, or by g and t" in message


def test_two_rows_at_one_time_are_named_in_a_chunk_and_between_two(tmp_path: Path) -> None:
    frame = in_time(rows()).dropna(ignore_index=True)
    twice = frame.assign(t=frame["t"].where(frame.index != 1, frame["t"][0]))
    message = refused(tmp_path, twice, "marginal AR(1)")
    assert f"cluster '0' has two rows at t = {frame['t'][0]}" in message
    # The last row of the first file once more, as the first row of the second.
    k = len(frame) // 3 - 1
    frame = frame[: 3 * k + 2]
    again = pd.concat([frame[: k + 1], frame[k:]])
    other = refused(tmp_path / "other", again, "AR(1) and intercept", parts=1)
    assert f"cluster '{frame['g'][k]}' has two rows at t = {frame['t'][k]}" in other


def test_too_many_gaps_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "MOST_GAPS", 3)
    assert "distinct gaps of 'age' between rows" in refused(tmp_path, rows(), "marginal CAR(1)", 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"t": np.nan}, "'t', which the residuals depend on, is missing in"),
        ({"t": 0.5}, "ar1 needs whole numbers of visits"),
    ],
)
def test_times_of_a_chunk_that_are_none(
    tmp_path: Path, change: dict[str, float], message: str
) -> None:
    frame = in_time(rows()).astype({"t": float})
    frame.loc[7, "t"] = change["t"]
    assert message in refused(tmp_path, frame, "marginal AR(1)")
