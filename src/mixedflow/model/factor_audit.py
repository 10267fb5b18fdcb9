"""A second computation of the likelihood of several grouping factors, by other mathematics.

Small data: statsmodels MixedLM, where every effect is a variance component of its own, or the
N x N covariance matrix. Larger data: Henderson's mixed model equations with a sparse LU
decomposition (SuperLU), built from the rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.sparse import csc_array, eye_array, hstack

from mixedflow.arrays import Array
from mixedflow.model.crossproducts import CollinearError
from mixedflow.model.fitted import Fitted, Group
from mixedflow.model.many_factors import ManyFactors
from mixedflow.model.objective import Evaluation
from mixedflow.model.searches import SAME_LOG_LIKELIHOOD

_SMALL = 1500  # rows whose N x N matrix is decomposed in a moment
_COMPONENTS = 300  # levels times effects; MixedLM holds them as dense columns
_CLIMBED = 300  # rows; from there on MixedLM's derivatives take seconds
_ROWS = 500_000  # of the sparse decomposition
_WIDTH = 1000  # of its part that fills in
MIXEDLM = "statsmodels MixedLM"
_DENSE = "the N x N covariance matrix"
_SPARSE = "Henderson's mixed model equations by sparse LU"


@dataclass(frozen=True)
class _Rows:
    """Rows with the engine's objective and evaluation of the same, in its scales.

    ``y`` (N,), ``X`` (N, p), and for each factor ``half`` (q, q) with D = half half' on ``Z``.
    """

    objective: ManyFactors
    at: Evaluation
    y: Array
    X: Array
    groups: tuple[Group, ...]
    half: tuple[Array, ...]
    how: str

    @property
    def F(self) -> Array:
        return np.column_stack([self.X, self.y])

    @property
    def n_columns(self) -> int:
        return sum(len(group.labels) * group.Z.shape[1] for group in self.groups)

    def wide(self) -> csc_array:
        """(N, columns) Z times half, of all levels and factors."""
        parts = []
        for group, half in zip(self.groups, self.half, strict=True):
            N, q = group.Z.shape
            columns = group.codes[:, None] * q + np.arange(q)
            rows = np.repeat(np.arange(N), q)
            shape = (N, len(group.labels) * q)
            parts.append(csc_array(((group.Z @ half).ravel(), (rows, columns.ravel())), shape))
        return csc_array(hstack(parts))


def audit_factors(fitted: Fitted) -> dict[str, Any]:
    """The log-likelihood at the optimum by a second route, and how it differs from the engine's.

    ``by`` says which route, ``how`` on which rows; where the rows are many, or too many columns
    would fill in, both sides are evaluated on the rows of some levels, spread over all.
    """
    none = {"log_likelihood": None, "difference": None, "tolerance": None}
    try:
        of = _rows(fitted)
    except (CollinearError, np.linalg.LinAlgError) as error:
        how = f"on rows of some levels: {type(error).__name__}"
        return {"by": _SPARSE, "how": how, **none}
    by, compute = _route(of, fitted.solution.singular)
    try:
        value, told = compute(of)
    except (np.linalg.LinAlgError, RuntimeError, ValueError) as error:
        return {"by": by, "how": f"{of.how}: {type(error).__name__}", **none}
    objective, scales = of.objective, of.objective.scales
    value -= objective.n_effective * float(np.log(scales.y))
    value -= scales.log_det_R if objective.reml else 0.0
    value += 0.5 * objective.products.parts[0].log_weights
    how = told or of.how
    if not np.isfinite(value):
        return {"by": by, "how": how, **none}
    return {
        "by": by,
        "how": how,
        "log_likelihood": value,
        "difference": value + 0.5 * objective.deviance_in_data_units(of.at),
        "tolerance": max(SAME_LOG_LIKELIHOOD, 1e-9 * abs(value)),
    }


def _route(of: _Rows, singular: bool) -> tuple[str, Callable[[_Rows], tuple[float, str]]]:
    if len(of.y) > _SMALL:
        return _SPARSE, _henderson
    independent = all(size == 1 for group in of.groups for size in group.blocks)
    # MixedLM divides by each variance.
    if independent and not singular and of.n_columns <= _COMPONENTS:
        return MIXEDLM, _mixedlm
    return _DENSE, _dense


def _closed(of: _Rows, S: Array, log_det: float) -> float:
    """The log-likelihood of S = s2 F'V^-1F and log|V / s2|, b and s2 at their best."""
    objective, n = of.objective, of.objective.n_effective
    b = np.linalg.solve(S[:-1, :-1], S[:-1, -1])
    rss = float(S[-1, -1] - S[:-1, -1] @ b)
    value = log_det + n * (1.0 + np.log(2.0 * np.pi * rss / n))
    if objective.reml:
        value += np.linalg.slogdet(S[:-1, :-1])[1]
    return -0.5 * float(value)


def _dense(of: _Rows) -> tuple[float, str]:
    wide = of.wide().toarray()
    V = np.eye(len(wide)) + wide @ wide.T
    root = np.linalg.cholesky(V)
    F = np.linalg.solve(root, of.F)
    return _closed(of, F.T @ F, 2.0 * float(np.log(np.diag(root)).sum())), ""


def _henderson(of: _Rows) -> tuple[float, str]:
    """log|V / s2| = log|I + Z'Z|, s2 V^-1 = I - Z (I + Z'Z)^-1 Z', Z with its half of D."""
    from scipy.sparse.linalg import splu

    wide, F = of.wide(), of.F
    inner = csc_array(wide.T @ wide + eye_array(wide.shape[1]))
    factor = splu(
        inner,
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    cross = wide.T @ F
    S = F.T @ F - cross.T @ factor.solve(np.ascontiguousarray(cross))
    return _closed(of, S, float(np.log(np.abs(factor.U.diagonal())).sum())), ""


def _mixedlm(of: _Rows) -> tuple[float, str]:
    from statsmodels.regression.mixed_linear_model import MixedLM, MixedLMParams, VCSpec

    names: list[str] = []
    columns, matrices, variances = [], [], []
    for group, half in zip(of.groups, of.half, strict=True):
        for k, sd in enumerate(np.abs(np.diag(half))):
            wide = np.zeros((len(of.y), len(group.labels)))
            wide[np.arange(len(of.y)), group.codes] = group.Z[:, k]
            names.append(f"{len(names)}")
            columns.append([[str(j) for j in range(wide.shape[1])]])
            matrices.append([wide])
            variances.append(float(sd) ** 2)
    with warnings.catch_warnings():
        # Its warnings judge its own search, which starts at the end here.
        warnings.simplefilter("ignore")
        model = MixedLM(
            of.y,
            of.X,
            groups=np.zeros(len(of.y)),
            exog_vc=VCSpec(names, columns, matrices),
        )
        # fit() sets these before its first evaluation; here the evaluation comes first.
        model.reml, model.cov_pen, model.fe_pen = of.objective.reml, None, None
        start = MixedLMParams.from_components(
            fe_params=of.at.b, cov_re=np.zeros((0, 0)), vcomp=np.array(variances)
        )
        value = float(model.loglike(start))
        if len(of.y) > _CLIMBED:
            return value, ""
        try:
            climbed = model.fit(start_params=start, reml=model.reml, method=["bfgs"], maxiter=20)
        except (np.linalg.LinAlgError, ValueError, ZeroDivisionError, UnboundLocalError) as error:
            return value, f"{of.how}; its own climb failed: {type(error).__name__}"
        return max(value, float(climbed.llf)), "polished from the optimum"


def _rows(fitted: Fitted) -> _Rows:
    """All rows, or those of some levels of each factor of which there are too many."""
    solution = fitted.solution
    objective, at, how = solution.objective, solution.at, "evaluated at the optimum"
    assert isinstance(objective, ManyFactors)
    halves = [e.T_inverse @ e.L for e in solution.effects]
    kept, told = _kept(fitted, objective)
    y, X, groups = fitted.y, fitted.X, fitted.groups
    if told:
        groups = tuple(_among(group, kept) for group in groups)
        y, X = y[kept], X[kept]
        objective, X = _reduced(y, X, groups, objective.reml)
        at = objective.evaluate_at(_turned(objective, halves))
        how += f" on {len(y)} of the {solution.objective.n_obs} rows: those of {told}"
    scales = objective.scales
    turned = _turned(objective, halves)
    return _Rows(
        objective=objective,
        at=at,
        y=(y - X @ scales.b0) / scales.y,
        X=X @ scales.R_inverse,
        groups=tuple(
            replace(group, Z=group.Z @ objective.products.parts[place].scales.T_inverse)
            for group, place in zip(groups, objective.place, strict=True)
        ),
        half=tuple(turned),
        how=how,
    )


def _turned(objective: ManyFactors, halves: Sequence[Array]) -> list[Array]:
    """Halves of D on the data's columns of Z, on the core's."""
    parts = [objective.products.parts[place].scales for place in objective.place]
    return [scales.T @ half for scales, half in zip(parts, halves, strict=True)]


def _kept(fitted: Fitted, objective: ManyFactors) -> tuple[Array, str]:
    """(N,) which rows are few enough, and of what they are, in words; empty if all are."""
    groups, plan = fitted.groups, objective.plan
    levels = [np.unique(group.codes) for group in groups]
    q = [group.Z.shape[1] for group in groups]
    crossed = [objective.order[t] for t in plan.dense]
    thinned: set[int] = set()
    rows = np.ones(len(fitted.y), dtype=bool)

    def columns(g: int) -> int:
        return len(levels[g]) * q[g]

    while True:
        if sum(map(columns, crossed)) > _WIDTH:
            widest = max(crossed, key=columns)
        elif int(rows.sum()) > _ROWS:
            widest = max(range(len(groups)), key=columns)
        else:
            break
        levels[widest] = levels[widest][::2]
        thinned.add(widest)
        rows &= np.isin(groups[widest].codes, levels[widest])
    told = " and ".join(
        f"{len(levels[g])} of the {len(groups[g].labels)} clusters of {groups[g].name}"
        for g in sorted(thinned)
    )
    return rows, told or ("" if fitted.complete else "the sample that was kept")


def _among(group: Group, rows: Array) -> Group:
    seen, codes = np.unique(group.codes[rows], return_inverse=True)
    return replace(group, Z=group.Z[rows], codes=codes, labels=group.labels[seen])


def _reduced(y: Array, X: Array, groups: Sequence[Group], reml: bool) -> tuple[ManyFactors, Array]:
    """The objective of some of the rows, and X without columns that those cannot tell apart."""
    while True:
        try:
            return ManyFactors.of(y, X, groups, reml), X
        except CollinearError as error:
            if error.random:
                raise
            X = np.delete(X, error.column, axis=1)
