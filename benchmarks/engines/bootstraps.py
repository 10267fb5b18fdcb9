"""A parametric bootstrap of 200 draws: the engine's own, or a loop over its fits."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from engines import SEED, Answer, Laps, Timed
from engines.data import read_cluster, read_columns, read_frame

DRAWS = 200


def _answer(laps: Laps, slopes: Any) -> Answer:
    """What was drawn is compared by the standard error of x1's coefficient."""
    import numpy as np

    laps.end("all")
    slopes = np.asarray(slopes, dtype=float)
    error = float(np.nanstd(slopes, ddof=1))
    drawn = int(np.isfinite(slopes).sum())
    return {"seconds": laps.seconds, "wall": laps.wall, "error": error, "drawn": drawn}


def mixedflow_engine(folder: Path, meta: dict[str, Any]) -> tuple[str, Timed]:
    mixedflow, frame = import_module("mixedflow"), read_frame(folder, meta)
    fit = mixedflow.fit(meta["formula"], frame)
    simulate = import_module("mixedflow.inference.bootstrap").simulate

    def run() -> Answer:
        laps = Laps()
        return _answer(laps, simulate(fit.fitted, DRAWS, SEED).beta[:, 1])

    return str(mixedflow.__version__), run


def mixedlm_engine(folder: Path, meta: dict[str, Any]) -> tuple[str, Timed]:
    mixedlm, frame = import_module("mixedlm"), read_frame(folder, meta)
    fit = mixedlm.lmer(meta["formula"], frame)

    def run() -> Answer:
        laps = Laps()
        return _answer(laps, mixedlm.bootMer(fit, nsim=DRAWS, seed=SEED).beta_samples[:, 1])

    return version("mixedlm"), run


def lme_python_engine(folder: Path, meta: dict[str, Any]) -> tuple[str, Timed]:
    lme_python, pl = import_module("lme_python"), import_module("polars")
    frame = pl.DataFrame([pl.Series(*pair) for pair in read_columns(folder, meta)])
    frame = frame.with_columns(pl.Series("g", read_cluster(folder)))
    fit = lme_python.lmer(meta["formula"], data=frame, reml=True)

    def run() -> Answer:
        laps = Laps()
        found = lme_python.boot_lmer(meta["formula"], frame, fit, nsim=DRAWS, seed=SEED, n_jobs=1)
        return _answer(laps, [draw.coefficients[1] for draw in found.replicates])

    return version("lme_python"), run


def glmm_engine(folder: Path, meta: dict[str, Any]) -> tuple[str, Timed]:
    """It has no bootstrap: a loop over its fits, without their degrees of freedom."""
    glmm, frame = import_module("glmm"), read_frame(folder, meta)
    simulated = _simulation(frame)

    def refit(y: Any) -> float:
        found = glmm.fit(frame.assign(y=y), meta["formula"], reml=True, satterthwaite=False)
        return float(found.beta[1])

    return version("glmm"), _loop(simulated, refit)


def mixedlm_rs_engine(folder: Path, meta: dict[str, Any]) -> tuple[str, Timed]:
    """It has no bootstrap: a loop over its fits from arrays."""
    model, frame = import_module("mixedlm_rs").MixedLM, read_frame(folder, meta)
    simulated = _simulation(frame)
    X = frame[["y", *meta["columns"][1:]]].assign(y=1.0).to_numpy()
    cluster = frame["g"].to_numpy()

    def refit(y: Any) -> float:
        fit = model(y, X, cluster, exog_re=X[:, :2]).fit(reml=True)
        return float(fit.fe_params[1])

    return version("mixedlm-rs"), _loop(simulated, refit)


def _loop(simulated: Callable[[Any], Any], refit: Callable[[Any], float]) -> Timed:
    import numpy as np

    def run() -> Answer:
        laps, rng = Laps(), np.random.default_rng(SEED)
        return _answer(laps, [refit(simulated(rng)) for _ in range(DRAWS)])

    return run


def _simulation(frame: Any) -> Callable[[Any], Any]:
    """Outcomes of a model with the parameters of these data, told by mixedlm-rs."""
    import numpy as np

    model = import_module("mixedlm_rs").MixedLM
    X = frame.drop(columns=["y", "g"]).to_numpy()
    X = np.column_stack([np.ones(len(X)), X])
    cluster = frame["g"].to_numpy()
    fit = model(frame["y"].to_numpy(), X, cluster, exog_re=X[:, :2]).fit(reml=True)
    mean, sd = X @ np.asarray(fit.fe_params), float(np.sqrt(fit.scale))
    root, J = np.linalg.cholesky(np.asarray(fit.cov_re)), cluster.max() + 1

    def simulated(rng: Any) -> Any:
        u = rng.standard_normal((J, 2)) @ root.T
        effects = u[cluster, 0] + u[cluster, 1] * X[:, 1]
        return mean + effects + sd * rng.standard_normal(len(mean))

    return simulated


LOADERS: dict[str, Callable[[Path, dict[str, Any]], tuple[str, Timed]]] = {
    "mixedflow": mixedflow_engine,
    "glmm": glmm_engine,
    "mixedlm": mixedlm_engine,
    "lme-python": lme_python_engine,
    "mixedlm-rs": mixedlm_rs_engine,
}
