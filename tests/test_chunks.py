"""Data reduced in chunks: the same fit as in memory, and a chunk that fails is named and alone.

The numbers to hold against are those of the fit to all rows at once, whose own correctness other
tests hold against lme4 and the lecture. Both compute the same sums in another order, so that 1e-10,
relative, leaves room for rounding and for nothing else.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyreadstat
import pytest
import yaml
from pyarrow import parquet

from mixedflow import data, mixed, scatter
from mixedflow.cli import main
from mixedflow.config import reading
from mixedflow.config.specs import DatasetSpec
from mixedflow.errors import ConfigError, DataError, MixedflowError, SourceError

ROOT = Path(__file__).resolve().parents[1]
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
    frame = pd.DataFrame({"g": g * 3, "x": x, "size": size, "girl": girl, "y": y})
    frame.loc[::53, "x"] = np.nan
    frame.loc[::71, "y"] = np.nan
    return frame


def configured(files: list[Path], chunks: int | None, **more: object) -> DatasetSpec:
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
    models = {"m": {"dataset": "d", "formula": "y ~ w + (1 | g)"}}
    return reading.load({"datasets": {"d": dataset}, "models": models}).datasets["d"]


def reduced(
    dataset: DatasetSpec, folder: Path, formulas: dict[str, str] | None = None
) -> list[Path]:
    paths = []
    for number, file in enumerate(dataset.source.files, 1):
        one = replace(dataset, source=replace(dataset.source, files=(file,)))
        for part in range(1, int(dataset.chunks or 1) + 1):
            path = folder / f"{number}-{part}.npz"
            scatter.write(scatter.reduce(one, formulas or FORMULAS, number, part), path)
            paths.append(path)
    return paths


def fitted(gathered: scatter.Gathered, model: str, method: str, folder: Path) -> mixed.Fit:
    """By way of the file that the workflow keeps."""
    scatter.save_products(gathered.products(model, FORMULAS[model]), folder / "p.npz")
    products, sample = scatter.load_products(folder / "p.npz"), gathered.sample
    like = data.every_level(data.levels_of(sample), sample.columns)
    return mixed.fit_products(FORMULAS[model], products, sample, like, method)


def in_memory(dataset: DatasetSpec, model: str, method: str) -> mixed.Fit:
    raw = data.read_source(dataset.source, Path(), Path())
    return mixed.fit(FORMULAS[model], data.prepare(dataset, raw).frame, method)


def assert_same(one: mixed.Fit, other: mixed.Fit) -> None:
    assert one.terms == other.terms
    assert list(one.clusters) == list(other.clusters)
    assert (one.n_obs, one.n_missing) == (other.n_obs, other.n_missing)
    pairs = [
        (one.log_likelihood, other.log_likelihood),
        (one.linear_log_likelihood, other.linear_log_likelihood),
        (np.sqrt(np.diag(one.solution.phi)), np.sqrt(np.diag(other.solution.phi))),
    ]
    pairs += [
        (getattr(one.solution, name), getattr(other.solution, name))
        for name in ("beta", "G", "s2", "u", "C", "B")
    ]
    for found, expected in pairs:
        expected = np.asarray(expected)
        assert found == pytest.approx(expected, rel=CLOSE, abs=CLOSE * np.abs(expected).max())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chunks")
    frame = rows()
    frame.to_parquet(folder / "all.parquet", row_group_size=370)
    frame[:2500].to_parquet(folder / "one.parquet", row_group_size=410)
    frame[2500:].to_parquet(folder / "two.parquet", row_group_size=410)
    return folder


@pytest.fixture(scope="module")
def gathered(folder: Path) -> scatter.Gathered:
    dataset = configured([folder / "one.parquet", folder / "two.parquet"], 4)
    return scatter.gather(dataset, reduced(dataset, folder))


@pytest.fixture(scope="module")
def whole(folder: Path) -> DatasetSpec:
    return configured([folder / "all.parquet"], None)


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("model", FORMULAS)
def test_the_fit_is_that_of_all_rows(
    gathered: scatter.Gathered, whole: DatasetSpec, model: str, method: str, tmp_path: Path
) -> None:
    assert_same(fitted(gathered, model, method, tmp_path), in_memory(whole, model, method))


def test_tables_and_report_are_those_of_all_rows(
    gathered: scatter.Gathered, whole: DatasetSpec, tmp_path: Path
) -> None:
    one = fitted(gathered, "intercept", "reml", tmp_path)
    other = in_memory(whole, "intercept", "reml")
    for name in ("fixed_effects", "variance_components", "cluster_effects"):
        pd.testing.assert_frame_equal(
            getattr(one, name), getattr(other, name), rtol=1e-8, atol=1e-10
        )
    told, expected = one.report(), other.report()
    assert told["r2"] == pytest.approx(expected["r2"], rel=1e-9)
    assert told["converged"]
    assert told["evidence"]["mixedlm"]["difference"] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(("chunks", "order"), [(1, 1), (23, -1)])
def test_neither_size_nor_order_of_chunks_matters(
    folder: Path, gathered: scatter.Gathered, chunks: int, order: int, tmp_path: Path
) -> None:
    dataset = configured([folder / "all.parquet"], chunks)
    other = scatter.gather(dataset, reduced(dataset, tmp_path)[::order])
    assert_same(
        fitted(other, "slope", "reml", tmp_path), fitted(gathered, "slope", "reml", tmp_path)
    )
    if order > 0:
        pd.testing.assert_frame_equal(other.sample, gathered.sample)


def test_the_card_counts_all_rows(gathered: scatter.Gathered, whole: DatasetSpec) -> None:
    raw = data.read_source(whole.source, Path(), Path())
    expected, card = data.prepare(whole, raw).card, gathered.card()
    for key in ("rows_read", "rows", "clusters", "cluster_sizes"):
        assert card[key] == expected[key]
    assert [s["rows"] for s in card["steps"]] == [s["rows"] for s in expected["steps"]]
    variables = {v["name"]: v for v in expected["variables"]}
    for found in card["variables"]:
        known = variables[found["name"]]
        for key in ("mean", "sd", "min", "max"):
            if known[key] is None:
                assert found[key] is None
            else:
                assert found[key] == pytest.approx(known[key], rel=1e-11)
        for key in ("kind", "n", "missing", "derived", "depends_on"):
            assert found[key] == known[key]


def test_the_sample_is_of_whole_clusters(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scatter, "SAMPLED", 10)
    monkeypatch.setattr(scatter, "ROWS_SAMPLED", 30)
    frame = pd.read_parquet(folder / "all.parquet")
    sizes = frame["g"].astype(str).value_counts()
    samples = []
    for chunks in (3, 11):
        dataset = configured([folder / "all.parquet"], chunks, filter=None)
        part = tmp_path / str(chunks)
        gathered = scatter.gather(dataset, reduced(dataset, part))
        samples.append(gathered.sample)
        fit = fitted(gathered, "slope", "reml", part)
        assert not fit.complete
        assert fit.report()["evidence"]["mixedlm"]["difference"] == pytest.approx(0.0, abs=1e-6)
    found = samples[0]["g"].value_counts()
    assert len(found) == 10
    assert (found == sizes[found.index].clip(upper=30)).all()
    pd.testing.assert_frame_equal(*samples)


def test_text_labels_and_levels_that_no_row_has(tmp_path: Path) -> None:
    """A level that is declared and has no row is no term in memory either."""
    frame = rows(2000, 40).assign(g=lambda f: "school " + f["g"].astype(str))
    frame.to_parquet(tmp_path / "a.parquet", row_group_size=300)
    levels = {"size": ["small", "middle", "huge", "large"]}
    dataset = configured([tmp_path / "a.parquet"], 6, levels=levels)
    gathered = scatter.gather(dataset, reduced(dataset, tmp_path))
    assert_same(
        fitted(gathered, "slope", "reml", tmp_path),
        in_memory(configured([tmp_path / "a.parquet"], None, levels=levels), "slope", "reml"),
    )


def test_a_covariate_that_is_constant_within_chunks(tmp_path: Path) -> None:
    """Sorted data: a chunk alone cannot tell the covariate from the intercept."""
    frame = rows(3000, 60).dropna().sort_values(["girl", "size", "g"])
    frame["x"] = 2000.0 + (np.arange(len(frame)) // 500)
    frame.to_parquet(tmp_path / "a.parquet", row_group_size=100)
    dataset = configured([tmp_path / "a.parquet"], 40)
    gathered = scatter.gather(dataset, reduced(dataset, tmp_path))
    other = in_memory(configured([tmp_path / "a.parquet"], None), "intercept", "ml")
    assert_same(fitted(gathered, "intercept", "ml", tmp_path), other)


@pytest.mark.parametrize("suffix", [".dta", ".sav"])
def test_files_of_stata_and_spss(suffix: str, tmp_path: Path) -> None:
    path, frame = tmp_path / f"a{suffix}", rows(1500, 40)
    labels = {1: "small", 2: "middle", 3: "large"}
    frame["size"] = frame["size"].map({label: code for code, label in labels.items()})
    writer = pyreadstat.write_dta if suffix == ".dta" else pyreadstat.write_sav
    writer(frame, str(path), variable_value_labels={"size": labels})
    dataset = configured([path], 4)
    gathered = scatter.gather(dataset, reduced(dataset, tmp_path))
    other = in_memory(configured([path], None), "slope", "reml")
    assert_same(fitted(gathered, "slope", "reml", tmp_path), other)
    assert "size[large]" in other.terms


def test_collinear_columns_are_named(folder: Path, tmp_path: Path) -> None:
    dataset = configured([folder / "all.parquet"], 3, derive={"w": "x - 2000", "twice": "2 * x"})
    text = {"m": "y ~ x + twice + (1 | g)"}
    gathered = scatter.gather(dataset, reduced(dataset, tmp_path, text))
    with pytest.raises(MixedflowError, match="collinear fixed effects: 'twice' is a combination"):
        gathered.products("m", text["m"])


# Bad input


def damaged(source: Path, path: Path) -> Path:
    """The same file, the bytes of one row group overwritten."""
    content = bytearray(source.read_bytes())
    place = parquet.ParquetFile(source).metadata.row_group(5).column(1).data_page_offset
    content[place : place + 60] = bytes(60)
    path.write_bytes(content)
    return path


def test_an_unreadable_row_group_spares_the_other_chunks(folder: Path, tmp_path: Path) -> None:
    path = damaged(folder / "all.parquet", tmp_path / "bad.parquet")
    dataset = configured([path], 8)
    failed = []
    for part in range(1, 9):
        try:
            scatter.reduce(dataset, FORMULAS, 1, part)
        except SourceError as error:
            failed.append((part, str(error)))
    # Row group 5 of 370 rows begins at row 1850 and a chunk has 750.
    assert [part for part, _ in failed] == [3]
    assert failed[0][1].startswith(f"{path}, chunk 3 of 8: cannot be read: ")


def spoilt(frame: pd.DataFrame, kind: str) -> pd.DataFrame:
    match kind:
        case "text cluster":
            return frame.assign(g="s" + frame["g"].astype(str))
        case "text covariate":
            return frame.assign(x=frame["x"].astype(str))
        case "fraction":
            return frame.assign(g=frame["g"] + 0.5)
        case "level":
            return frame.assign(size="enormous")
        case "no column":
            return frame.drop(columns="girl")
    raise AssertionError(kind)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("fraction", "chunk 1 of 2: datasets.d.cluster: 'g' has numbers that are not whole"),
        ("level", "chunk 1 of 2: datasets.d.levels.size: the data have the level 'enormous'"),
        ("no column", "chunk 1 of 2: models.slope.formula: unknown variable 'girl'"),
        ("text covariate", "chunk 1 of 2: datasets.d.derive.w: "),
        ("text cluster", "chunk 1: the cluster 'g' is text, but in "),
    ],
)
def test_a_file_unlike_the_first_is_named(
    kind: str, message: str, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "other.parquet"
    spoilt(pd.read_parquet(folder / "two.parquet"), kind).to_parquet(path)
    dataset = configured([folder / "one.parquet", path], 2)
    with pytest.raises(MixedflowError) as caught:
        scatter.gather(dataset, reduced(dataset, tmp_path))
    line = str(caught.value)
    assert message in line
    assert str(path) in line
    assert "\n" not in line


def test_other_value_labels_are_named(tmp_path: Path) -> None:
    frame = rows(600, 20)
    frame["size"] = frame["size"].map({"small": 1, "middle": 2, "large": 3})
    paths = [tmp_path / "a.dta", tmp_path / "b.dta"]
    for path, last in zip(paths, ("large", "grand"), strict=True):
        labels = {"size": {1: "small", 2: "middle", 3: last}}
        pyreadstat.write_dta(frame, str(path), variable_value_labels=labels)
    dataset = configured(paths, 1, levels={"size": [1, 2, 3]})
    parts = reduced(dataset, tmp_path)
    with pytest.raises(DataError, match=r"b\.dta, chunk 1: 'size' has the labels"):
        scatter.gather(dataset, parts)


def test_text_without_declared_levels_is_refused(folder: Path) -> None:
    dataset = configured([folder / "all.parquet"], 2, levels={})
    with pytest.raises(DataError, match=r"chunk 1 of 2.*'size' is text.*datasets\.d\.levels"):
        scatter.reduce(dataset, FORMULAS, 1, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"derive": {"m": "x - mean(x, by=g)"}}, r"derive\.m: mean\(\) needs all rows at once"),
        ({"filter": "y > min(y)"}, r"filter: min\(\) needs all rows at once"),
        ({"first_per": ["g"]}, "first_per needs all rows at once"),
        ({"explore": {"outcome": "y", "predictor": "x"}}, "explore: needs all rows at once"),
        ({"source": {"file": "a.csv"}}, "'a.csv' cannot be read in chunks; convert it"),
        ({"source": {"rdataset": "mlmRev/Exam"}}, "need a file or files as the source"),
    ],
)
def test_what_needs_all_rows_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        configured([Path("a.parquet")], 2, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inference": {"intervals": "bootstrap"}}, "intervals: needs all rows at once"),
        ({"inference": {"gee": True}}, "gee: needs all rows at once"),
        ({"formula": "y ~ C(x) + (1 | g)"}, r"levels of C\(x\); list them under datasets\.d"),
    ],
)
def test_models_that_need_all_rows_are_refused(change: dict[str, object], message: str) -> None:
    dataset = {"source": {"file": "a.parquet"}, "cluster": "g", "chunks": 2}
    model = {"dataset": "d", "formula": "y ~ x + (1 | g)", **change}
    with pytest.raises(ConfigError, match=message):
        reading.load({"datasets": {"d": dataset}, "models": {"m": model}})


def test_a_chunk_that_failed_runs_again_alone(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Through Snakemake: one file of two is damaged, named, mended, and read anew."""
    for name in ("Snakefile", "workflow", "profiles"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copy(folder / "one.parquet", tmp_path / "a.parquet")
    damaged(folder / "two.parquet", tmp_path / "b.parquet")
    dataset = {
        "source": {"files": ["a.parquet", "b.parquet"]},
        "cluster": "g",
        "levels": {"size": ["small", "middle", "large"]},
        "chunks": 2,
    }
    model = {"dataset": "d", "formula": "y ~ x + size + (1 | g)"}
    config = {"datasets": {"d": dataset}, "models": {"m": model}}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config), "utf-8")
    run = snakemake(tmp_path, "--keep-going")
    assert run.returncode != 0
    said = run.stdout + run.stderr
    assert "b.parquet, chunk 2 of 2: cannot be read" in said
    assert "Traceback" not in said
    chunks = tmp_path / "results" / "datasets" / "d" / ".chunks"
    left = {path.name: path.stat().st_mtime_ns for path in chunks.iterdir()}
    assert set(left) == {"1-1.npz", "1-2.npz", "2-1.npz"}
    # Mended without a new time, as by a disk that answers again.
    times = (tmp_path / "b.parquet").stat()
    shutil.copy(folder / "two.parquet", tmp_path / "b.parquet")
    os.utime(tmp_path / "b.parquet", ns=(times.st_atime_ns, times.st_mtime_ns))
    run = snakemake(tmp_path)
    assert run.returncode == 0, run.stderr
    assert {name: (chunks / name).stat().st_mtime_ns for name in left} == left
    assert (chunks / "2-2.npz").exists()
    monkeypatch.chdir(tmp_path)
    assert main(["verify", "--config", "c.yaml"]) == 0, capsys.readouterr().out
    assert scatter.load_products(tmp_path / "results/models/m/products.npz").sums.n_obs > 5000


def snakemake(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--cores", "2", *options),
            *("--configfile", "c.yaml"),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_nothing_in_a_chunk_is_a_pickle(folder: Path, gathered: scatter.Gathered) -> None:
    with np.load(folder / "1-1.npz", allow_pickle=False) as stored:
        assert all(stored[name].dtype != object for name in stored.files)
        assert json.loads(stored["meta"].tobytes())["part"] == 1
    assert pa.types.is_integer(pa.from_numpy_dtype(gathered.labels.dtype))
