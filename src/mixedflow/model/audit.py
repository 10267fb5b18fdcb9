"""An independent implementation evaluates the optimum: statsmodels MixedLM.

Several grouping factors: :mod:`mixedflow.model.factor_audit`; a residual structure:
:mod:`mixedflow.model.residual_audit`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedflow.arrays import Array
from mixedflow.model.crossproducts import CollinearError, reduce
from mixedflow.model.factor_audit import audit_factors
from mixedflow.model.fitted import Fitted
from mixedflow.model.objective import Evaluation
from mixedflow.model.one_factor import OneFactor
from mixedflow.model.residual_audit import audit_residuals
from mixedflow.model.searches import SAME_LOG_LIKELIHOOD
from mixedflow.model.weighted_audit import audit_weighted

POLISHED_UP_TO = 2000  # clusters; MixedLM loops over them in Python
AUDITED_UP_TO = 20_000
_FLAT = 1e-5  # slope, a row, at which MixedLM's search ends
_RIDGE = 1e-8  # added to a singular G where MixedLM must invert it


def audit_problems(audit: Mapping[str, Any]) -> list[str]:
    """Why an :func:`audit` does not accept the optimum; empty if it does."""
    difference, by = audit["difference"], audit.get("by", "MixedLM")
    if difference is None:
        return [f"{by} could not be evaluated ({audit['how']})"]
    if abs(difference) > audit["tolerance"]:
        whose = "MixedLM's log-likelihood" if by == "MixedLM" else f"the log-likelihood by {by}"
        return [f"{whose} differs by {difference:.2e}"]
    return []


@dataclass(frozen=True)
class _Audited:
    """The rows that MixedLM sees, and the core's objective and evaluation of the same rows."""

    objective: OneFactor
    at: Evaluation
    L: Array
    y: Array
    X: Array
    Z: Array
    codes: Array
    how: str
    sampled: bool


def audit(fitted: Fitted) -> dict[str, Any]:
    """statsmodels MixedLM from the core's optimum, on the core's scales.

    Up to POLISHED_UP_TO clusters it may climb on from there; up to AUDITED_UP_TO its
    log-likelihood is evaluated once; above, both are evaluated on the rows of that many clusters
    spread over all, and of a data set in chunks on the rows that were kept. A singular G gets a
    ridge, because MixedLM inverts it.
    """
    if fitted.residuals is not None:
        return audit_residuals(fitted)
    weighted = fitted.weights
    if weighted is not None and (weighted.spec.known or weighted.spec.sampling):
        return audit_weighted(fitted)
    fitted = fitted.whitened  # of weighted rows
    if len(fitted.groups) > 1:
        return audit_factors(fitted)
    singular = fitted.solution.singular
    of = _audited(fitted)
    objective, scales, how = of.objective, of.objective.scales, of.how
    polish = not singular and not of.sampled and objective.n_clusters <= POLISHED_UP_TO
    value, told = _mixedlm(of, _RIDGE if singular else 0.0, polish)
    how = told or how
    if singular:
        how += f", G with a ridge of {_RIDGE:g}"
    in_data_units = value - objective.n_effective * float(np.log(scales.y))
    in_data_units += 0.5 * objective.products.log_weights
    if objective.reml:
        in_data_units -= scales.log_det_R
    if not np.isfinite(in_data_units):
        return {"how": how, "log_likelihood": None, "difference": None, "tolerance": None}
    ridge_cost = 1e-4 if singular else 0.0
    return {
        "how": how,
        "log_likelihood": in_data_units,
        "difference": in_data_units + 0.5 * objective.deviance_in_data_units(of.at),
        "tolerance": ridge_cost + max(SAME_LOG_LIKELIHOOD, 1e-9 * abs(in_data_units)),
    }


def _audited(fitted: Fitted) -> _Audited:
    """All rows, or those of AUDITED_UP_TO clusters."""
    solution, (group,) = fitted.solution, fitted.groups
    (effects,) = solution.effects
    objective, how = solution.objective, "evaluated at the optimum"
    assert isinstance(objective, OneFactor)
    X, Z, y, codes, J = fitted.X, group.Z, fitted.y, group.codes, len(group.labels)
    half = effects.T_inverse @ effects.L
    at, sampled = solution.at, J > AUDITED_UP_TO or not fitted.complete
    if sampled:
        present = np.arange(J) if fitted.complete else np.unique(codes)
        of = min(len(present), AUDITED_UP_TO)
        chosen = present[np.linspace(0, len(present) - 1, of).astype(np.int64)]
        kept = np.isin(codes, chosen)
        X, Z, y, codes = X[kept], Z[kept], y[kept], np.searchsorted(chosen, codes[kept])
        objective, X = _reduced(fitted, y, X, Z, codes)
        at = objective.evaluate_at(objective.scales.T @ half, False)
        how = f"evaluated at the optimum on {of} of the {J} clusters"
    L = objective.scales.T @ half
    return _Audited(objective, at, L, y, X, Z, codes, how, sampled)


def _mixedlm(of: _Audited, ridge: float, polish: bool) -> tuple[float, str]:
    """MixedLM's log-likelihood in the core's scales, and how it was come by (empty: evaluated)."""
    from statsmodels.regression.mixed_linear_model import MixedLM, MixedLMParams

    class Lean(MixedLM):
        """Without a dense matrix of all parameters for each fixed effect, which are not turned."""

        def _reparam(self) -> tuple[Sequence[Array], Sequence[Array]]:
            p = int(self.exog.shape[1])
            self.k_fe = 0
            lin, quad = super()._reparam()
            self.k_fe = p
            return _Padded(lin, p, np.eye(p)), _Padded(quad, p, None)

    objective, scales = of.objective, of.objective.scales
    cov_re = of.L @ of.L.T + (ridge * np.eye(len(of.L)) if ridge else 0.0)
    start = MixedLMParams.from_components(fe_params=of.at.b, cov_re=cov_re)
    value, how = np.nan, ""
    with warnings.catch_warnings():
        # Its warnings judge its own search, which starts at the end here.
        warnings.simplefilter("ignore")
        model = Lean(
            (of.y - of.X @ scales.b0) / scales.y,
            of.X @ scales.R_inverse,
            groups=of.codes,
            exog_re=of.Z @ scales.T_inverse,
        )
        # fit() sets these before its first evaluation; here the evaluation comes first.
        model.reml, model.cov_pen, model.fe_pen, model._cov_sing = objective.reml, None, None, 0
        try:
            value = float(model.loglike(start))
            if polish:
                value, how = max(value, _climbed(model, start, of)), "polished from the optimum"
        except (np.linalg.LinAlgError, ValueError, ZeroDivisionError, UnboundLocalError) as error:
            how = f"{of.how}; its own climb failed: {type(error).__name__}"
    return value, how


class _Padded(Sequence[Array]):
    """Arrays of the variance parameters as of all, ``p`` fixed effects first, each made when asked.

    Those of the fixed effects are the rows ``own``, or nothing but zeros.
    """

    def __init__(self, inner: Sequence[Array], p: int, own: Array | None) -> None:
        self._inner, self._p, self._own = inner, p, own

    def __len__(self) -> int:
        return self._p + len(self._inner)

    def __getitem__(self, k: Any) -> Any:
        p, of_covariances = self._p, self._inner[max(k - self._p, 0)]
        whole = np.zeros(tuple(p + size for size in of_covariances.shape))
        if k >= p:
            whole[(slice(p, None),) * whole.ndim] = of_covariances
        elif self._own is not None:
            whole[:p] = self._own[k]
        return whole


def _climbed(model: Any, start: Any, of: _Audited) -> float:
    """What MixedLM's own climb from ``start`` reaches; -inf if it would not leave it."""
    from statsmodels.regression.mixed_linear_model import MixedLMParams

    pattern = of.objective.matrix(np.ones(of.objective.n_parameters)) != 0
    free = MixedLMParams.from_components(
        fe_params=np.ones(len(of.at.b)), cov_re=(pattern | pattern.T) * 1.0
    )
    model._freepat = free
    slope = model.score(start.get_packed(use_sqrt=True, has_fe=False))
    if np.abs(slope).max() <= _FLAT * len(of.y):
        # Its search would end where it starts, and only cost the Hessian of standard errors.
        return -np.inf
    reml, how = of.objective.reml, ["bfgs"]
    climbed = model.fit(
        start_params=start, reml=reml, free=free, method=how, maxiter=20, gtol=_FLAT
    )
    return float(climbed.llf)


def _reduced(fitted: Fitted, y: Array, X: Array, Z: Array, codes: Array) -> tuple[OneFactor, Array]:
    """The objective of some of the rows, and X without columns that those cannot tell apart."""
    (group,) = fitted.groups
    while True:
        try:
            products = reduce(y, X, Z, codes, int(codes.max()) + 1, group.blocks)
        except CollinearError as error:
            if error.random:
                raise
            X = np.delete(X, error.column, axis=1)
        else:
            return OneFactor(products, group.blocks, fitted.method == "reml"), X
