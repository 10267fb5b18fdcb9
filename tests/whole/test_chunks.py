"""A chunk that failed is named; its file is mended, and its chunks alone are read anew.

Models of the chunks are compared as those of all rows at once would be.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import warm_snakemake
import yaml
from chunk_data import damaged, write_files
from parsed_page import everything
from scipy.stats import chi2

from mixedflow import api
from mixedflow.artifacts import stored
from mixedflow.cli import main
from mixedflow.model.reduced import load_products

pytestmark = pytest.mark.usefixtures("warm_jobs")

ROOT = Path(__file__).resolve().parents[2]
COMPARED = {
    "small": "y ~ w + (1 | g)",
    "m": "y ~ w + size + (1 | g)",
    "slope": "y ~ w + size + (1 + w | g)",
}

TOGETHER = {"correlation": {"exchangeable": True}}
RESIDUAL = {
    "following": {"formula": "y ~ w + (1 | g)", "residual": {"correlation": {"ar1": "k"}}},
    "marginal": {"formula": "y ~ w + size", "residual": TOGETHER},
}


def test_the_chunks_of_a_mended_file_alone_are_read_anew(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One file of two is damaged, named, mended, and read anew."""
    folder = tmp_path / "whole"
    folder.mkdir()
    write_files(folder)
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
    model = {"dataset": "d", "method": "ml"}
    several = {"dataset": "d", "formula": "y ~ x + size + (1 | g/room) + (1 | room)"}
    models = {name: {**model, "formula": text} for name, text in COMPARED.items()}
    models |= {name: {"dataset": "d", **found} for name, found in RESIDUAL.items()}
    config = {
        "datasets": {"d": {**dataset, "derive": {"w": "x - 2000"}}},
        "models": {**models, "several": several},
        "comparisons": {
            "size": {"null": "small", "alternative": "m"},
            "slope": {"null": "m", "alternative": "slope"},
        },
    }
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config), "utf-8")
    run = snakemake(tmp_path, "--keep-going")
    assert run.returncode != 0
    said = run.stdout + run.stderr
    assert "b.parquet, chunk 2 of 2: cannot be read" in said
    assert "Traceback" not in said
    chunks = tmp_path / "results" / "datasets" / "d" / ".chunks"
    left = {path.name: path.stat().st_mtime_ns for path in chunks.iterdir()}
    assert set(left) == {"1-1.npz", "1-2.npz", "2-1.npz"}
    # Mended without a new time: a data file counts by its content.
    times = (tmp_path / "b.parquet").stat()
    shutil.copy(folder / "two.parquet", tmp_path / "b.parquet")
    os.utime(tmp_path / "b.parquet", ns=(times.st_atime_ns, times.st_mtime_ns))
    run = snakemake(tmp_path)
    assert run.returncode == 0, run.stderr
    anew = {name for name in left if (chunks / name).stat().st_mtime_ns != left[name]}
    assert anew == {"2-1.npz"}  # of the mended file, as the one that failed
    assert (chunks / "2-2.npz").exists()
    monkeypatch.chdir(tmp_path)
    assert main(["verify", "--config", "c.yaml"]) == 0, capsys.readouterr().out
    assert load_products(tmp_path / "results/models/m/products.npz").sums.n_obs > 5000
    compared_as_all_rows(tmp_path, pd.read_parquet(folder / "all.parquet"))
    folder_of_models = tmp_path / "results" / "models"
    # Several grouping factors come out as of all rows in memory.
    frame = pd.read_parquet(folder / "all.parquet")
    sizes = pd.Categorical(frame["size"], categories=dataset["levels"]["size"])
    frame = frame.assign(size=sizes)
    known = api.fit(several["formula"], frame)
    for name in ("fixed_effects", "variance_components", "cluster_effects"):
        found = pd.read_csv(folder_of_models / "several" / f"{name}.csv")["estimate"].to_numpy()
        assert found == pytest.approx(getattr(known, name)["estimate"].to_numpy(), rel=2e-7)
    structured_as_all_rows(tmp_path, frame)


def structured_as_all_rows(run: Path, frame: pd.DataFrame) -> None:
    """Residual structures come out as of all rows in memory."""
    frame = frame.assign(w=frame["x"] - 2000)
    # Which rows neighbour each other only shows in a sample.
    assert len(pd.read_csv(run / "results/models/following/normalised_acf.csv"))
    for name, model in RESIDUAL.items():
        known = api.fit(model["formula"], frame, residual=model["residual"], cluster="g")
        folder = run / "results/models" / name
        for table in ("fixed_effects", "variance_components"):
            found = pd.read_csv(folder / f"{table}.csv")["estimate"].to_numpy()
            assert found == pytest.approx(getattr(known, table)["estimate"].to_numpy(), rel=2e-7)


def compared_as_all_rows(run: Path, frame: pd.DataFrame) -> None:
    """Two levels more are chi2(2); a slope with its covariance half chi2(1), half chi2(2)."""
    found = stored.read(run / "results/comparisons.csv").set_index("comparison")
    frame = frame.assign(w=frame["x"] - 2000)
    fits = {name: api.fit(text, frame, "ml") for name, text in COMPARED.items()}
    for name, row in found.iterrows():
        null, larger = (fits[row[role]] for role in ("null", "alternative"))
        reports = null.report(), larger.report()
        statistic = 2 * (reports[1].log_likelihood - reports[0].log_likelihood)
        assert row["statistic"] == pytest.approx(statistic, rel=1e-5) and statistic > 5
        assert row["n_obs"] == reports[0].n_obs == reports[1].n_obs
        lower = chi2.sf(statistic, 1 if name == "slope" else 2)
        assert row["p_value"] == pytest.approx((lower + chi2.sf(statistic, 2)) / 2, rel=1e-3)
    assert dict(found["distribution"]) == {
        "size": "chi2(2)", "slope": "half chi2(1), half chi2(2)",
    }  # fmt: skip
    page = everything(run / "results")
    assert "Likelihood-ratio tests" in page


def snakemake(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(*warm_snakemake.COMMAND, "--cores", "2", *options),
            *("--configfile", "c.yaml"),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
