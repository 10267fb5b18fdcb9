"""A data set in files that are reduced in chunks, and its fits in chunks and in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet

from mixedflow import api
from mixedflow.analysis.adding import added
from mixedflow.analysis.chunks import reduce
from mixedflow.analysis.gathering import Gathered
from mixedflow.api import Fit
from mixedflow.artifacts.packing import write_arrays
from mixedflow.config import reading
from mixedflow.config.specs import DatasetSpec
from mixedflow.data.preparation import prepare
from mixedflow.data.prepared import every_level
from mixedflow.data.sources import read_source
from mixedflow.language.asked import Asked
from mixedflow.language.residuals import Residual
from mixedflow.model.chunked import estimate_products
from mixedflow.model.reduced import load_products, save_products

CLOSE = 1e-10
INTERCEPT = "y ~ w + size + girl + (1 | g)"
SLOPE = "y ~ w + size + girl + (1 + w | g)"
APART = "y ~ w + (1 + w || g)"
FORMULAS = {"intercept": INTERCEPT, "slope": SLOPE, "apart": APART}


def rows(n: int = 6000, clusters: int = 120, seed: int = 7) -> pd.DataFrame:
    """Rows of a cluster anywhere; a covariate far from 0; missing values; a level 2 covariate."""
    rng = np.random.default_rng(seed)
    g = rng.integers(0, clusters, n)
    x = 2000.0 + rng.normal(size=n)
    size = np.array(["small", "middle", "large"])[rng.integers(0, 3, clusters)][g]
    girl = rng.integers(0, 2, n)
    u, v = rng.normal(size=clusters), 0.4 * rng.normal(size=clusters)
    y = 500.0 + 0.5 * (x - 2000) + (size == "large") + girl + u[g] + v[g] * (x - 2000)
    y += rng.normal(size=n)
    columns = {"g": g * 3, "x": x, "size": size, "girl": girl, "y": y}
    frame = pd.DataFrame({**columns, "room": np.arange(n) % 7})
    frame["k"] = frame.groupby("g").cumcount()
    frame.loc[::53, "x"] = np.nan
    frame.loc[::71, "y"] = np.nan
    return frame


def nested_rows(n: int = 4000, seed: int = 3) -> pd.DataFrame:
    """Classes that restart in schools, items that are crossed with both; groups may be missing."""
    rng = np.random.default_rng(seed)
    school, room, item = rng.integers(0, 25, n), rng.integers(0, 5, n), rng.integers(0, 40, n)
    x = 100.0 + rng.normal(size=n)
    u, v = rng.normal(size=25), 0.5 * rng.normal(size=25)
    y = 3.0 + 0.5 * x + u[school] + v[school] * (x - 100.0) + rng.normal(size=n)
    y += rng.normal(size=125)[5 * school + room] + rng.normal(size=40)[item]
    kind = np.array(["a", "b", "c"])[rng.integers(0, 3, n)]
    names = np.array([f"item {k}" for k in range(40)])
    frame = pd.DataFrame(
        {"g": school * 3, "room": room + 1, "item": names[item], "kind": kind, "x": x, "y": y}
    )
    frame = frame.astype({"room": "float64"})
    frame.loc[::61, "room"] = np.nan
    frame.loc[::67, "item"] = None
    frame.loc[::71, "y"] = np.nan
    return frame


def configured(
    files: list[Path], chunks: int | None, formula: str = "y ~ w + (1 | g)", **more: object
) -> DatasetSpec:
    source = {"files": [str(f) for f in files]} if chunks else {"file": str(files[0])}
    dataset = {
        "source": source,
        "cluster": "g",
        "derive": {"w": "x - 2000"},
        "filter": "y > 497 or not (y < 600)",
        "levels": {"size": ["small", "middle", "large"]},
        "chunks": chunks,
        **more,
    }
    models = {"m": {"dataset": "d", "formula": formula}}
    return reading.load({"datasets": {"d": dataset}, "models": models}).datasets["d"]


def reduced(
    dataset: DatasetSpec, folder: Path, formulas: Mapping[str, str | Asked] | None = None
) -> list[Path]:
    paths = []
    given = (formulas or FORMULAS).items()
    models = {name: asked if isinstance(asked, Asked) else Asked(asked) for name, asked in given}
    for number, file in enumerate(dataset.source.files, 1):
        one = replace(dataset, source=replace(dataset.source, files=(file,)))
        for part in range(1, int(dataset.chunks or 1) + 1):
            path = folder / f"{number}-{part}.npz"
            write_arrays(reduce(one, models, number, part), path)
            paths.append(path)
    return paths


def fitted(
    gathered: Gathered, model: str, method: str, folder: Path, residual: Residual | None = None
) -> Fit:
    """By way of the file that the workflow keeps; a formula, or the name of one of FORMULAS."""
    text = FORMULAS.get(model, model)
    save_products(added(gathered, "m", Asked(text, residual)), folder / "p.npz")
    products, sample = load_products(folder / "p.npz"), gathered.sample
    like = every_level(gathered.prepared.levels, sample.columns)
    cluster = gathered.spec.cluster
    return Fit(
        estimate_products(text, products, sample, like, method, residual=residual, cluster=cluster)
    )


def in_memory(dataset: DatasetSpec, model: str, method: str) -> Fit:
    raw = read_source(dataset.source, Path(), Path())
    return api.fit(FORMULAS.get(model, model), prepare(dataset, raw).frame, method)


def assert_same(one: Fit, other: Fit) -> None:
    assert one.terms == other.terms
    assert [group.name for group in one.groups] == [group.name for group in other.groups]
    for found, known in zip(one.groups, other.groups, strict=True):
        assert list(found.clusters) == list(known.clusters)
        assert (found.random_terms, found.blocks) == (known.random_terms, known.blocks)
    assert (one.n_obs, one.fitted.n_missing) == (other.n_obs, other.fitted.n_missing)
    pairs = [
        (one.log_likelihood, other.log_likelihood),
        (one.linear_log_likelihood, other.linear_log_likelihood),
        (np.sqrt(np.diag(one.solution.phi)), np.sqrt(np.diag(other.solution.phi))),
    ]
    solutions = one.solution, other.solution
    pairs += [tuple(getattr(s, name) for s in solutions) for name in ("beta", "s2")]
    for effects in zip(*(s.effects for s in solutions), strict=True):
        pairs += [tuple(getattr(e, name) for e in effects) for name in ("G", "u", "C", "B")]
    for found, expected in pairs:
        expected = np.asarray(expected)
        assert found == pytest.approx(expected, rel=CLOSE, abs=CLOSE * np.abs(expected).max())


def write_files(folder: Path) -> None:
    """The same rows as all.parquet, and as one.parquet and two.parquet together."""
    frame = rows()
    frame.to_parquet(folder / "all.parquet", row_group_size=370)
    frame[:2500].to_parquet(folder / "one.parquet", row_group_size=410)
    frame[2500:].to_parquet(folder / "two.parquet", row_group_size=410)


def damaged(source: Path, path: Path) -> Path:
    """The same file, the bytes of one row group overwritten."""
    content = bytearray(source.read_bytes())
    place = parquet.ParquetFile(source).metadata.row_group(5).column(1).data_page_offset
    content[place : place + 60] = bytes(60)
    path.write_bytes(content)
    return path
