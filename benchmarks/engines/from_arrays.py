"""The engines that take arrays y, X, Z and clusters, and the yardstick beside them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from engines import Answer, Laps, Timed
from engines.data import read_arrays, read_cluster, read_columns
from engines.from_frame import statsmodels_laps, told


def products(folder: Path, meta: dict[str, Any]) -> tuple[str, Timed]:
    import numpy as np

    F = np.ones((meta["rows"], meta["p"] + 3))
    for k, (name, column) in enumerate(read_columns(folder, meta)):
        F[:, meta["p"] if name == "y" else k] = column
    F[:, -1] = F[:, 1]

    def run() -> Answer:
        laps = Laps()
        F.T @ F
        laps.end("all")
        return {"seconds": laps.seconds, "wall": laps.wall}

    return f"NumPy {np.__version__}", run


def mixedflow_engine(folder: Path, meta: dict[str, Any]) -> tuple[str, Timed]:
    mixedflow = import_module("mixedflow")
    fit_arrays, cluster = mixedflow.fit_arrays, read_cluster(folder)
    y, X, Z = read_arrays(folder, meta)
    return str(mixedflow.__version__), lambda: told(lambda: fit_arrays(y, X, Z, cluster))


def mixedlm_rs_engine(folder: Path, meta: dict[str, Any]) -> tuple[str, Timed]:
    model = import_module("mixedlm_rs").MixedLM
    return version("mixedlm-rs"), _statsmodels_like(model, folder, meta, True)


def statsmodels_engine(folder: Path, meta: dict[str, Any]) -> tuple[str, Timed]:
    warnings.simplefilter("ignore")  # statsmodels' verdict on its search is read from the fit
    model = import_module("statsmodels.regression.mixed_linear_model").MixedLM
    return version("statsmodels"), _statsmodels_like(model, folder, meta, False)


def _statsmodels_like(model: Any, folder: Path, meta: dict[str, Any], arrays: bool) -> Timed:
    y, X, Z = read_arrays(folder, meta)
    cluster = read_cluster(folder)

    def run() -> Answer:
        laps = Laps()
        return statsmodels_laps(model(y, X, cluster, exog_re=Z), laps, arrays)

    return run


LOADERS: dict[str, Callable[[Path, dict[str, Any]], tuple[str, Timed]]] = {
    "F'F": products,
    "mixedflow": mixedflow_engine,
    "mixedlm-rs": mixedlm_rs_engine,
    "statsmodels": statsmodels_engine,
}
