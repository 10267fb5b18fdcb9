"""Each engine from a data frame and a formula: loads, and returns its version and what fits."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from engines import Answer, Laps, Timed, answer
from engines.data import read_cluster, read_columns, read_frame


def mixedflow_engine(folder: Path, meta: dict[str, Any]) -> tuple[str, Timed]:
    mixedflow, frame = import_module("mixedflow"), read_frame(folder, meta)
    return str(mixedflow.__version__), lambda: told(lambda: mixedflow.fit(meta["formula"], frame))


def told(make: Callable[[], Any]) -> Answer:
    """The laps of a mixedflow fit, however it is made."""
    laps = Laps()
    fit = make()
    laps.end("fit")
    found = fit.solution
    effects = found.effects[0]
    _ = (found.beta, found.phi, found.s2, effects.G, effects.u, effects.C, fit.log_likelihood)
    laps.end("all")
    _ = (fit.fixed_effects, fit.variance_components)
    laps.end("more")
    _ = (fit.evidence, fit.converged)
    laps.end("verdict")
    return answer(laps, fit.log_likelihood, fit.converged)


def glmm_engine(folder: Path, meta: dict[str, Any]) -> tuple[str, Timed]:
    glmm, frame = import_module("glmm"), read_frame(folder, meta)

    def run() -> Answer:
        laps = Laps()
        fit = glmm.fit(frame, meta["formula"], reml=True)
        laps.end("fit")
        _ = (fit.beta, fit.se, fit.ranef)
        laps.end("all")
        return answer(laps, fit.loglik, fit.converged)

    return version("glmm"), run


def mixedlm_engine(folder: Path, meta: dict[str, Any]) -> tuple[str, Timed]:
    mixedlm, frame = import_module("mixedlm"), read_frame(folder, meta)

    def run() -> Answer:
        laps = Laps()
        fit = mixedlm.lmer(meta["formula"], frame)
        laps.end("fit")
        _ = (fit.fixef(), fit.vcov(), fit.VarCorr(), fit.sigma, mixedlm.ranef(fit, condVar=True))
        laps.end("all")
        return answer(laps, fit.logLik().value, fit.converged)

    return version("mixedlm"), run


def lme_python_engine(folder: Path, meta: dict[str, Any]) -> tuple[str, Timed]:
    lme_python, pl = import_module("lme_python"), import_module("polars")
    frame = pl.DataFrame([pl.Series(*pair) for pair in read_columns(folder, meta)])
    frame = frame.with_columns(pl.Series("g", read_cluster(folder)))

    def run() -> Answer:
        laps = Laps()
        fit = lme_python.lmer(meta["formula"], data=frame, reml=True)
        laps.end("fit")
        _ = (fit.coefficients, fit.std_errors, fit.theta, fit.sigma2, fit.var_corr, fit.ranef)
        laps.end("all")
        return answer(laps, fit.log_likelihood, fit.converged)

    return version("lme_python"), run


def mixedlm_rs_engine(folder: Path, meta: dict[str, Any]) -> tuple[str, Timed]:
    model, frame = import_module("mixedlm_rs").MixedLM, read_frame(folder, meta)
    return version("mixedlm-rs"), lambda: statsmodels_like(model, frame, meta["formula"], True)


def statsmodels_engine(folder: Path, meta: dict[str, Any]) -> tuple[str, Timed]:
    warnings.simplefilter("ignore")  # statsmodels' verdict on its search is read from the fit
    model = import_module("statsmodels.regression.mixed_linear_model").MixedLM
    frame = read_frame(folder, meta)
    return version("statsmodels"), lambda: statsmodels_like(model, frame, meta["formula"], False)


def statsmodels_like(model: Any, frame: Any, formula: str, arrays: bool) -> Answer:
    """MixedLM and what has its interface; ``arrays`` of effects where it offers them."""
    fixed = formula.partition(" + (")[0]
    laps = Laps()
    made = model.from_formula(fixed, frame, re_formula="~x1", groups=frame["g"])
    return statsmodels_laps(made, laps, arrays)


def statsmodels_laps(made: Any, laps: Laps, arrays: bool) -> Answer:
    fit = made.fit(reml=True)
    laps.end("fit")
    _ = (fit.fe_params, fit.bse_fe, fit.cov_re, fit.scale, fit.llf)
    kind = "_array" if arrays else ""
    _ = getattr(fit, f"random_effects{kind}")
    _ = fit.random_effects_cov_array if arrays else fit.random_effects_cov
    laps.end("all")
    _ = (fit.converged, fit.bse_cov_re if arrays else fit.bse_re)
    laps.end("more")
    return answer(laps, fit.llf, fit.converged)


LOADERS: dict[str, Callable[[Path, dict[str, Any]], tuple[str, Timed]]] = {
    "mixedflow": mixedflow_engine,
    "glmm": glmm_engine,
    "mixedlm": mixedlm_engine,
    "lme-python": lme_python_engine,
    "mixedlm-rs": mixedlm_rs_engine,
    "statsmodels": statsmodels_engine,
}
