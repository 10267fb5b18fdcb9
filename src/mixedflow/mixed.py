"""Fitting a linear mixed model: search, evidence that it is the optimum, and the tables.

The search is :mod:`mixedflow.likelihood`; statsmodels MixedLM is then started at the optimum, so
that two independent implementations agree on every fit, or the fit says that they do not.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mixedflow import (
    contrast,
    effects,
    evidence,
    expressions,
    files,
    formula,
    inference,
    likelihood,
    smallsample,
)
from mixedflow.errors import DataError, FormulaError, ModelError, nearest, quote

if TYPE_CHECKING:
    import pandas as pd

    from mixedflow.data import Prepared
    from mixedflow.formula import Parsed
    from mixedflow.likelihood import Array
    from mixedflow.spec import DatasetSpec, ModelSpec


@dataclass(frozen=True)
class Reporting:
    """How a fit's tables give degrees of freedom and intervals.

    ``df``: normal, satterthwaite or kenward-roger. ``intervals``: wald, profile or bootstrap (the
    percentiles of ``draws`` refits, from ``seed``, by ``processes`` at once, or of those that the
    files ``drawn`` hold). The defaults give Stata's tables.
    """

    df: smallsample.Method = "normal"
    intervals: Literal["wald", "profile", "bootstrap"] = "wald"
    draws: int = 1000
    seed: int = 1
    processes: int = 1
    drawn: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Fit:
    """A fitted linear mixed model.

    Build it with :func:`fit` or :func:`fit_arrays`. ``evidence`` says how the optimum is known;
    ``converged`` is the verdict on it, ``singular`` that G is on its boundary. ``X``, ``Z``, ``y``
    and ``codes`` are those of all rows, or of the sample that was kept of a data set reduced in
    chunks (:func:`fit_products`); estimates never come from them.
    """

    solution: likelihood.Solution
    method: str
    group: str
    labels: Array
    terms: tuple[str, ...]
    random_terms: tuple[str, ...]
    blocks: tuple[int, ...]
    X: Array
    Z: Array
    y: Array
    codes: Array
    searches: Mapping[str, likelihood.Optimum]
    parsed: Parsed | None = None
    frame: pd.DataFrame | None = None
    rows: Array | None = None
    n_missing: int = 0
    reporting: Reporting = field(default_factory=lambda: Reporting())

    @property
    def complete(self) -> bool:
        """Every row of the fit is at hand, and not a sample."""
        return len(self.y) == self.n_obs

    @cached_property
    def clusters(self) -> Array:
        """(J,) names of the clusters, as text."""
        return (
            self.labels if self.labels.dtype == object else self.labels.astype(str).astype(object)
        )

    @cached_property
    def singular(self) -> bool:
        """G is on its boundary: a combination of the random effects does not vary."""
        return bool(self.solution.singular_values[-1] < evidence.SINGULAR)

    @cached_property
    def search_evidence(self) -> dict[str, Any]:
        """What the searches themselves say: gradient, curvature, starts."""
        return evidence.of_searches(self.solution, self.searches)

    @cached_property
    def evidence(self) -> dict[str, Any]:
        """How the optimum is known: the searches' evidence, and the audit by MixedLM."""
        audit = evidence.audit(self)
        diagnosis, next_step = evidence.diagnosis(self, evidence.audit_problems(audit))
        return {
            **self.search_evidence,
            "mixedlm": audit,
            "diagnosis": diagnosis,
            "next_step": next_step,
        }

    @cached_property
    def problems(self) -> tuple[str, ...]:
        """Why the fit is not accepted as the optimum; empty if it is."""
        return (
            *evidence.search_problems(self.search_evidence),
            *evidence.audit_problems(self.evidence["mixedlm"]),
        )

    @property
    def converged(self) -> bool:
        return not self.problems

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        notes = [f"not accepted as the optimum: {text}" for text in self.problems]
        if self.singular:
            notes.append(evidence.singular_note(self))
        return tuple(notes)

    @property
    def linear_log_likelihood(self) -> float:
        """Of the model without random effects, by the same method."""
        return -0.5 * self.solution.objective.linear_deviance

    @property
    def log_likelihood(self) -> float:
        """ML or REML log-likelihood; REML without the constant log|X'X|, as lme4 and Stata."""
        return self.solution.log_likelihood

    @property
    def n_obs(self) -> int:
        return self.solution.objective.products.n_obs

    @property
    def n_parameters(self) -> int:
        return len(self.terms) + len(self.solution.objective.free) + 1

    @cached_property
    def covariance_inference(self) -> inference.CovarianceInference:
        # The searches' own evidence decides here: the audit needs every row, tables do not.
        found = not evidence.search_problems(self.search_evidence)
        return inference.CovarianceInference(self.solution, found and not self.singular)

    @cached_property
    def small_sample(self) -> smallsample.SmallSample:
        """Satterthwaite's and Kenward-Roger's degrees of freedom."""
        return smallsample.SmallSample(self.solution)

    def degrees_of_freedom(self, method: smallsample.Method = "satterthwaite") -> Array:
        """(p,) degrees of freedom of the t tests of the fixed effects."""
        return self.small_sample.df(np.eye(len(self.terms)), _known(method))

    @property
    def kenward_roger_covariance(self) -> Array:
        """(p, p) covariance of the fixed effects, adjusted (Kenward and Roger 1997)."""
        return self.small_sample.adjusted_phi

    def test(
        self,
        contrasts: Array | str | Sequence[str],
        df: smallsample.Method = "satterthwaite",
    ) -> dict[str, Any]:
        """Joint test that contrasts of the fixed effects are 0.

        ``contrasts``: an (r, p) array, or expressions of coefficients such as
        ``"girl + lrt_groupc:girl"``. Returns statistic (F), df_num, df_den, p_value. Raises
        FormulaError for a coefficient that the model does not have.
        """
        if isinstance(contrasts, str):
            contrasts = [contrasts]
        if not isinstance(contrasts, np.ndarray) and all(isinstance(c, str) for c in contrasts):
            rows = [contrast.parse(str(c), self.terms, "test") for c in contrasts]
            contrasts = np.array(rows)
        return self.small_sample.test(np.asarray(contrasts, dtype=float), _known(df))

    @cached_property
    def fixed_effects(self) -> pd.DataFrame:
        """One row a term: estimate, std_error, statistic, df, p_value and 95% interval."""
        how = self.reporting
        frame = inference.fixed_effects(
            self.small_sample, self.terms, how.df, how.intervals == "profile"
        )
        return self._percentiles(frame, slice(0, len(self.terms)))

    @cached_property
    def variance_components(self) -> pd.DataFrame:
        """Variances, SDs, covariances and correlations with standard errors and 95% intervals."""
        frame = inference.variance_components(
            self.covariance_inference,
            self.group,
            self.random_terms,
            self.blocks,
            self.reporting.intervals == "profile",
        )
        return self._percentiles(frame, slice(len(self.terms), None))

    @cached_property
    def bootstrap(self) -> pd.DataFrame:
        """The parametric bootstrap of every parameter; see :func:`mixedflow.bootstrap.summary`."""
        from mixedflow import bootstrap

        how = self.reporting
        if how.drawn:
            draws = bootstrap.Draws.read(how.drawn)
        else:
            draws = bootstrap.simulate(self, how.draws, how.seed, processes=how.processes)
        return bootstrap.summary(self, draws)

    def _percentiles(self, frame: pd.DataFrame, rows: slice) -> pd.DataFrame:
        if self.reporting.intervals != "bootstrap":
            return frame
        found = self.bootstrap.iloc[rows]
        return frame.assign(
            conf_low=found["percentile_low"].to_numpy(),
            conf_high=found["percentile_high"].to_numpy(),
        )

    def contrast_table(self, contrasts: Mapping[str, Sequence[str]]) -> pd.DataFrame:
        """Tests of named contrasts, each one expression of coefficients or several tested jointly.

        One row a contrast: contrast, expression, estimate, std_error, conf_low, conf_high (single
        ones only), statistic (t, or F of a joint test), df_num, df (of the denominator), p_value.
        Raises FormulaError for a coefficient that the model does not have.
        """
        import pandas as pd

        how, rows = self.reporting, []
        for name, texts in contrasts.items():
            where = f"contrasts.{name}"
            weights = np.array([contrast.parse(text, self.terms, where) for text in texts])
            row: dict[str, Any] = {"contrast": name, "expression": "; ".join(texts)}
            if not weights.any(axis=1).all():
                raise FormulaError(where, "a contrast that is 0 whatever the coefficients")
            if len(weights) == 1:
                found = inference.contrasts(
                    self.small_sample, weights, how.df, how.intervals == "profile"
                ).iloc[0]
                row |= {str(key): value for key, value in found.items()} | {"df_num": 1}
            else:
                test = self.small_sample.test(weights, how.df)
                row |= {
                    "statistic": test["statistic"],
                    "df_num": test["df_num"],
                    "df": test["df_den"] if np.isfinite(test["df_den"]) else np.nan,
                    "p_value": test["p_value"],
                }
            rows.append(row)
        columns = [
            "contrast", "expression", "estimate", "std_error", "statistic", "df_num", "df",
            "p_value", "conf_low", "conf_high",
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=columns)

    def alternatives(self, gee: bool = False) -> pd.DataFrame:
        """Cluster-robust standard errors, and GEE; see :func:`mixedflow.inference.alternatives`."""
        return inference.alternatives(self, gee)[0]

    @cached_property
    def cluster_effects(self) -> pd.DataFrame:
        return effects.cluster_effects(self.solution, self.clusters, self.terms, self.random_terms)

    def rank(
        self,
        by: str | Mapping[str, float] = "Intercept",
        best: Literal["high", "low"] = "high",
        **options: Any,
    ) -> pd.DataFrame:
        """Ranks of the clusters with their uncertainty: :func:`mixedflow.ranking.rank`.

        ``by`` is a random term, or values of the covariates with random slopes at which clusters
        are compared; ``options`` are share, fdr and top.
        """
        from mixedflow import ranking

        return ranking.rank(ranking.Posterior.of(self), by, best, **options)

    def predict(self, frame: pd.DataFrame, conditional: bool = True) -> Array:
        """Predictions for the rows of ``frame``: (n,), in the outcome's units.

        ``conditional`` adds the EB effects of clusters that the fit has seen; an unseen cluster,
        and ``conditional=False``, give the population mean x'b.
        """
        X, Z, at = self._new_rows(frame, conditional)
        mean = X @ self.solution.beta
        if at is None:
            return mean
        added = np.einsum("nq,nq->n", Z, self.solution.u[at])
        return mean + np.where(at >= 0, added, 0.0)

    def predict_interval(
        self,
        frame: pd.DataFrame,
        conditional: bool = True,
        kind: Literal["confidence", "prediction"] = "confidence",
    ) -> pd.DataFrame:
        """Predictions with standard errors and 95% intervals, a row each of ``frame``.

        ``confidence`` is for the mean of the row's cluster (of the population, if not
        ``conditional``), ``prediction`` for a new row there. The variance parameters are taken as
        known; see :func:`mixedflow.inference.prediction`. Columns estimate, std_error, conf_low,
        conf_high.
        """
        import pandas as pd

        if kind not in ("confidence", "prediction"):
            raise ModelError(
                "predict", f"unknown kind {quote(kind)}", "it is 'confidence' or 'prediction'"
            )
        X, Z, at = self._new_rows(frame, conditional)
        mean, error = inference.prediction(self.solution, X, Z, at, kind == "prediction")
        half = smallsample.Z95 * error
        return pd.DataFrame(
            {
                "estimate": mean,
                "std_error": error,
                "conf_low": mean - half,
                "conf_high": mean + half,
            },
            index=frame.index,
        )

    def _new_rows(
        self, frame: pd.DataFrame, conditional: bool
    ) -> tuple[Array, Array, Array | None]:
        """X (n, p), Z (n, q), and each row's cluster (-1 for an unseen one; None: none wanted)."""
        if self.parsed is None or self.frame is None:
            raise ModelError("predict", "a fit from arrays has no formula", "use fit.solution")
        X, _ = formula.fixed_matrix(self.parsed, frame, self.frame, "predict")
        Z = formula.random_matrix(self.parsed, frame, self.frame, "predict")
        if not conditional:
            return X, Z, None
        if self.group not in frame.columns:
            raise DataError(
                "predict", f"no column {quote(self.group)}", "add it, or use conditional=False"
            )
        place = {label: j for j, label in enumerate(self.clusters)}
        return X, Z, np.array([place.get(str(label), -1) for label in frame[self.group]])

    @cached_property
    def varies_within(self) -> dict[str, bool]:
        """Of each covariate as the formula names it: does it vary within any cluster?

        False for covariates of level 2. Empty for a fit from arrays.
        """
        import pandas as pd

        if self.parsed is None or self.frame is None or self.rows is None:
            return {}
        found = {}
        for name, text in self.parsed.atoms.items():
            values = expressions.evaluate(text, self.frame).iloc[self.rows]
            codes = pd.Series(pd.factorize(values)[0])
            found[name] = bool((codes.groupby(self.codes).transform("first") != codes).any())
        return found

    @cached_property
    def _empty(self) -> likelihood.Solution | None:
        """The same random part with an intercept as the only fixed effect; None without one."""
        products = self.solution.objective.products.without_covariates()
        if products is None:
            return None
        objective = likelihood.Objective(products, self.blocks, self.method == "reml")
        found = likelihood.search(objective, objective.start("moments"))
        return likelihood.Solution(objective, found.parameters, found.evaluation)

    def report(self) -> dict[str, Any]:
        """The numbers of fit.json that need no configuration."""
        sizes = self.solution.objective.products.n
        n_covariance = len(self.solution.objective.free)
        k = self.n_parameters
        only_intercept = self.random_terms == ("Intercept",)
        return {
            "method": self.method,
            "group": self.group,
            "n_obs": self.n_obs,
            "n_groups": len(sizes),
            "n_missing": self.n_missing,
            "group_size": {
                "min": int(sizes.min()),
                "mean": float(sizes.mean()),
                "max": int(sizes.max()),
            },
            "fixed_terms": list(self.terms),
            "random_terms": list(self.random_terms),
            "varies_within": self.varies_within,
            "correlated": max(self.blocks) > 1,
            "n_parameters": k,
            "log_likelihood": self.log_likelihood,
            "aic": -2.0 * self.log_likelihood + 2.0 * k,
            "bic": -2.0 * self.log_likelihood + k * float(np.log(self.n_obs)),
            "wald": inference.wald(self.solution, self.terms),
            "lr_vs_linear": inference.lr_vs_linear(
                self.log_likelihood, self.linear_log_likelihood, n_covariance
            ),
            "icc": inference.icc(self.covariance_inference) if only_intercept else None,
            "r2": inference.r_squared(self.solution)
            | (
                inference.snijders_bosker(self.solution, self._empty)
                if only_intercept and self._empty
                else {}
            ),
            "converged": self.converged,
            "singular": self.singular,
            "evidence": self.evidence,
            "warnings": list(self.warnings),
        }

    def summary(self) -> str:
        """A Stata-like table of the fit, as text."""
        from mixedflow import summary

        return summary.text(self.report(), self.fixed_effects, self.variance_components)


def fit(
    text: str,
    frame: pd.DataFrame,
    method: str = "reml",
    where: str = "formula",
    reporting: Reporting | None = None,
) -> Fit:
    """Fit a linear mixed model given by a formula in lme4 notation.

    Parameters
    ----------
    text
        For example ``"y ~ x + (1 + x | g)"``: one grouping factor, ``||`` for uncorrelated effects.
    frame
        The data; rows with a missing value in a variable of the formula are left out.
    method
        ``"reml"`` or ``"ml"``.
    reporting
        Degrees of freedom and intervals of the tables; by default Stata's.

    Raises
    ------
    FormulaError, DataError, ModelError
        Before any search starts.
    """
    parsed, design = _design(text, frame, where)
    group = str(parsed.group)
    return _fit(design, method, group, where, parsed, frame, reporting or Reporting())


def examine(
    text: str, frame: pd.DataFrame, method: str = "reml", where: str = "formula"
) -> formula.Design:
    """The matrices of a model that :func:`fit` would accept; nothing is searched.

    Raises
    ------
    FormulaError, DataError, ModelError
        As ``fit``: unknown columns, rank, clusters, more random effects than the data can bear.
    """
    parsed, design = _design(text, frame, where)
    _posed(design, method, str(parsed.group), where)
    return design


def _design(text: str, frame: pd.DataFrame, where: str) -> tuple[Parsed, formula.Design]:
    parsed = formula.parse(text, where)
    if parsed.group is None:
        raise FormulaError(where, "no grouping factor", "add a random part: + (1 | group)")
    return parsed, formula.design(parsed, frame, where)


def fit_arrays(
    y: Array,
    X: Array,
    Z: Array,
    cluster: Array,
    method: str = "reml",
    blocks: tuple[int, ...] | None = None,
    reporting: Reporting | None = None,
) -> Fit:
    """The same from arrays: ``y`` (N,), ``X`` (N, p), ``Z`` (N, q), ``cluster`` (N,) labels.

    ``blocks`` are the sizes of the groups of correlated columns of Z; one group by default.
    """
    import pandas as pd

    y, X, Z = (_numbers(name, part) for name, part in (("y", y), ("X", X), ("Z", Z)))
    # A list with a missing value among texts would become the text "nan".
    labels = np.asarray(cluster, dtype=None if hasattr(cluster, "dtype") else object)
    if labels.dtype.kind == "O" and all(type(label) is int for label in labels.ravel()):
        labels = np.asarray(cluster)
    if y.ndim != 1 or X.ndim != 2 or Z.ndim != 2 or labels.ndim != 1:
        raise DataError("arrays", "shapes must be y (N,), X (N, p), Z (N, q), cluster (N,)")
    if not len(y) == len(X) == len(Z) == len(labels):
        raise DataError("arrays", "y, X, Z and cluster differ in their number of rows")
    if not X.shape[1] or not Z.shape[1]:
        raise DataError("arrays", "X and Z need a column each, such as the intercept")
    sizes = _sizes((Z.shape[1],) if blocks is None else blocks)
    if min(sizes, default=0) < 1 or sum(sizes) != Z.shape[1]:
        raise DataError("arrays", f"blocks must add up to the {Z.shape[1]} columns of Z")
    if labels.dtype.kind not in "iub" and pd.isna(labels).any():
        raise DataError("arrays", "missing cluster labels", "drop those rows")
    design = formula.Design(
        y=y,
        X=X,
        Z=Z,
        cluster=labels,
        terms=tuple(f"x{k}" for k in range(X.shape[1])),
        random_terms=tuple(f"z{k}" for k in range(Z.shape[1])),
        blocks=sizes,
        rows=np.arange(len(y)),
        n_missing=0,
    )
    return _fit(design, method, "cluster", "arrays", None, None, reporting or Reporting())


def _numbers(name: str, values: Any) -> Array:
    import pandas as pd

    try:
        part = np.asarray(values)
        if part.dtype.kind == "O" and pd.isna(part).any():
            raise DataError("arrays", f"missing or infinite values in {name}", "drop those rows")
        if part.dtype.kind in "biufO":
            return part.astype(np.float64, copy=False)
    except (TypeError, ValueError, OverflowError):
        pass
    raise DataError("arrays", f"{name} must be numbers")


def _sizes(blocks: Any) -> tuple[int, ...]:
    """Sizes of blocks as integers; nothing for what are no sizes."""
    try:
        return tuple(operator.index(size) for size in blocks)
    except TypeError:
        return ()


def _known(method: str) -> smallsample.Method:
    for name in smallsample.METHODS:
        if method == name:
            return name
    raise ModelError(
        "degrees of freedom",
        f"unknown method {quote(method)}",
        nearest(method, smallsample.METHODS),
    )


def _intervals(name: str) -> Literal["wald", "profile", "bootstrap"]:
    kinds: tuple[Literal["wald"], Literal["profile"], Literal["bootstrap"]]
    kinds = ("wald", "profile", "bootstrap")
    for kind in kinds:
        if name == kind:
            return kind
    raise ModelError("intervals", f"unknown kind {quote(name)}", nearest(name, kinds))


def natural(label: str) -> tuple[Any, ...]:
    """Sort key under which "2" comes before "10"."""
    parts = re.split(r"(\d+)", label)
    # Digits by their number and then as text: int() refuses thousands of them.
    kinds = ((p.lstrip("0") if p.isdecimal() else None, p) for p in parts if p)
    return tuple((1, 0, p) if digits is None else (0, len(digits), digits) for digits, p in kinds)


def _fit(
    design: formula.Design,
    method: str,
    group: str,
    where: str,
    parsed: Parsed | None,
    frame: pd.DataFrame | None,
    reporting: Reporting,
) -> Fit:
    _check_method(method, reporting, where)
    codes, labels, objective = _posed(design, method, group, where)
    solution, searches = _solved(objective, where)
    return Fit(
        solution=solution,
        method=method,
        group=group,
        labels=labels,
        terms=design.terms,
        random_terms=design.random_terms,
        blocks=design.blocks,
        X=design.X,
        Z=design.Z,
        y=design.y,
        codes=codes,
        searches=searches,
        parsed=parsed,
        frame=frame,
        rows=design.rows,
        n_missing=design.n_missing,
        reporting=reporting,
    )


def _check_method(method: str, reporting: Reporting, where: str) -> None:
    _known(reporting.df)
    _intervals(reporting.intervals)
    if reporting.df == "kenward-roger" and method != "reml":
        raise ModelError(
            where, "Kenward-Roger needs a REML fit", "use method: reml, or df: satterthwaite"
        )
    if method not in ("reml", "ml"):
        raise ModelError(where, f"unknown method {quote(method)}", "it is 'reml' or 'ml'")


def _solved(
    objective: likelihood.Objective, where: str
) -> tuple[likelihood.Solution, dict[str, likelihood.Optimum]]:
    """The best of several searches, and all of them."""
    searches: dict[str, likelihood.Optimum] = {}
    try:
        for name in likelihood.STARTS:
            # Two that agree are evidence; a third is only tried where they do not.
            if len(searches) < 2 or not evidence.agreeing(objective, searches):
                searches[name] = _searched(objective, objective.start(name), searches)
        for k, start in enumerate(likelihood.rivals(objective, evidence.best(searches)), 1):
            searches[f"valley {k}"] = _searched(objective, start, searches)
        if not evidence.agreeing(objective, searches):
            # Where one start alone ends at the best, another one near it must return to it.
            near = objective.off_boundary(2.0 * evidence.best(searches).parameters)
            searches["twice the best"] = _searched(objective, near, searches)
    except np.linalg.LinAlgError as error:
        raise ModelError(where, f"the likelihood cannot be evaluated: {error}") from None
    best = evidence.best(searches)
    if best.evaluation.rss / objective.n_effective < 1e-10:
        # Within clusters nothing is left, so that the likelihood rises for ever.
        raise ModelError(
            where, "the fixed effects and the clusters fit the outcome exactly: no residual is left"
        )
    return likelihood.Solution(objective, best.parameters, best.evaluation), searches


def _posed(
    design: formula.Design, method: str, group: str, where: str
) -> tuple[Array, Array, likelihood.Objective]:
    """Codes (N,) and labels (J,) of the clusters, and an objective that has one optimum."""
    assert design.cluster is not None
    codes, labels = _index(design.cluster)
    p, q = design.X.shape[1], design.Z.shape[1]
    _check(np.bincount(codes, minlength=len(labels)), p, q, group, where)
    try:
        products = likelihood.reduce(
            design.y, design.X, design.Z, codes, len(labels), design.blocks
        )
    except likelihood.CollinearError as error:
        raise collinear(error, design.terms, design.random_terms, where) from None
    except likelihood.NotFiniteError:
        raise _not_finite(design, where) from None
    _check_residual(products, design.y.min() == design.y.max(), where)
    objective = likelihood.Objective(products, design.blocks, method == "reml")
    _check_objective(objective, design.random_terms, where)
    return codes, labels, objective


def _check_residual(products: likelihood.CrossProducts, constant: bool, where: str) -> None:
    scales, n = products.scales, products.n_obs
    fitted = scales.R @ scales.b0
    if n * scales.y**2 <= 1e-20 * float(fitted @ fitted) or not products.FF[-1, -1] > 0:
        if constant:
            raise DataError(where, "the outcome is constant")
        raise ModelError(
            where, "the fixed effects fit the outcome exactly: nothing is left to model"
        )


@dataclass(frozen=True)
class Products:
    """The cross-products of a model whose rows were reduced in chunks, and whose they are.

    ``labels`` (J,) of the clusters, ``terms`` (p) and ``random_terms`` (q) of the columns;
    ``constant`` says that the outcome is.
    """

    sums: likelihood.CrossProducts
    labels: Array
    terms: tuple[str, ...]
    random_terms: tuple[str, ...]
    blocks: tuple[int, ...]
    n_missing: int
    constant: bool


def fit_products(
    text: str,
    products: Products,
    sample: pd.DataFrame,
    like: pd.DataFrame,
    method: str = "reml",
    where: str = "formula",
    reporting: Reporting | None = None,
) -> Fit:
    """Fit a model to the cross-products of rows that were reduced in chunks.

    Estimates, standard errors and empirical Bayes are those of :func:`fit` on all rows together.
    ``sample`` are the rows that were kept, for residuals, predictions and the audit; ``like`` holds
    every level of the categorical columns.

    Raises
    ------
    FormulaError, DataError, ModelError
        As ``fit``.
    """
    import pandas as pd

    reporting = reporting or Reporting()
    _check_method(method, reporting, where)
    parsed, sums = formula.parse(text, where), products.sums
    group = str(parsed.group)
    _check(sums.n, sums.p, sums.q, group, where)
    _check_residual(sums, products.constant, where)
    objective = likelihood.Objective(sums, products.blocks, method == "reml")
    _check_objective(objective, products.random_terms, where)
    solution, searches = _solved(objective, where)
    kept = formula.chunk_design(parsed, sample, like, where)
    place = pd.Index(products.labels.astype(str).astype(object))
    codes = place.get_indexer(sample[group].astype(str).to_numpy(dtype=object)[kept.rows])
    return Fit(
        solution=solution,
        method=method,
        group=group,
        labels=products.labels,
        terms=products.terms,
        random_terms=products.random_terms,
        blocks=products.blocks,
        X=kept.X,
        Z=kept.Z,
        y=kept.y,
        codes=codes,
        searches=searches,
        parsed=parsed,
        # Levels that no row of the sample has are known too.
        frame=pd.concat([sample, like], ignore_index=True),
        rows=kept.rows,
        n_missing=products.n_missing,
        reporting=reporting,
    )


def _searched(
    objective: likelihood.Objective, start: Array, earlier: Mapping[str, likelihood.Optimum]
) -> likelihood.Optimum:
    """A search to the last digit, unless it ends where an earlier one did."""
    if not earlier:
        return likelihood.search(objective, start)
    found = likelihood.search(objective, start, likelihood.AGREED)
    lowest = min(other.evaluation.deviance for other in earlier.values())
    if found.evaluation.deviance < lowest - 2.0 * evidence.SAME_LOG_LIKELIHOOD:
        return likelihood.search(objective, found.parameters)
    return found


def _index(labels: Array) -> tuple[Array, Array]:
    """Codes (N,) of the rows' clusters and the clusters' labels (J,), in natural order."""
    import pandas as pd

    if labels.dtype.kind in "iu":
        if bool((labels[1:] >= labels[:-1]).all()):
            new = np.empty(len(labels), dtype=bool)
            new[:1] = True
            np.not_equal(labels[1:], labels[:-1], out=new[1:])
            return np.cumsum(new) - 1, labels[new]
        found, codes = np.unique(labels, return_inverse=True)
        return codes, found
    # As objects: numpy's own text drops nulls at the end, and pads every label to the longest.
    texts = labels if labels.dtype.kind == "U" else [str(label) for label in labels.tolist()]
    inverse, found = pd.factorize(np.asarray(texts, dtype=object))
    order = sorted(range(len(found)), key=lambda i: (natural(str(found[i])), str(found[i])))
    position = np.empty(len(found), dtype=np.int64)
    position[order] = np.arange(len(found))
    return position[inverse], found[order]


def _check(sizes: Array, p: int, q: int, group: str, where: str) -> None:
    """Refuse what rows and clusters (their ``sizes``) cannot bear."""
    n, n_clusters = int(sizes.sum()), len(sizes)
    if n == 0:
        raise ModelError(where, "no rows")
    if n_clusters == 1:
        raise ModelError(
            where,
            f"the grouping factor {quote(group)} has one cluster only",
            "a mixed model needs several",
        )
    if n_clusters == n:
        raise ModelError(
            where,
            f"the grouping factor {quote(group)} has one row a cluster ({n} rows, {n} clusters)",
            "its variance cannot be told from the residual's",
        )
    if p >= n:
        raise ModelError(where, f"{p} fixed effects for {n} rows", "leave some out")
    if q * n_clusters >= n:
        largest = int(sizes.max())
        raise ModelError(
            where,
            f"more random effects than the clusters can bear: {q} a cluster make "
            f"{q * n_clusters} for {n} rows (largest cluster: {largest} rows)",
            "leave out a random slope",
        )


def _check_objective(
    objective: likelihood.Objective, random_terms: Sequence[str], where: str
) -> None:
    """Refuse what has no optimum, or many."""
    q, free = objective.products.q, objective.free_pairs
    if q > 1:
        # tr(A_j D A_j D) summed over clusters is 0 for a D that changes no covariance of rows.
        PP = objective.sums(np.zeros((q, q))).PP
        gram = (objective.pairs.traces @ PP.ravel()).reshape(objective.pairs.m, -1)[
            np.ix_(free, free)
        ]
        size = np.sqrt(np.diag(gram))
        values, vectors = np.linalg.eigh(gram / np.outer(size, size))
        if values[0] < 1e-12:
            among = np.abs(vectors[:, 0]) > 1e-4
            columns = {
                k for pair, used in zip(objective.free, among, strict=True) if used for k in pair
            }
            names = ", ".join(quote(random_terms[k]) for k in sorted(columns))
            raise ModelError(
                where,
                f"the (co)variances of {names} cannot be told apart in these data",
                "leave a random effect out",
            )


def collinear(
    error: likelihood.CollinearError, terms: Sequence[str], random_terms: Sequence[str], where: str
) -> ModelError:
    """What depends on what, by the names of the columns."""
    names = random_terms if error.random else terms
    kind = "random effects" if error.random else "fixed effects"
    name = quote(names[error.column])
    others = ", ".join(quote(names[k]) for k in error.others)
    what = f"{name} is a combination of {others}" if others else f"{name} is 0 in every row"
    return ModelError(where, f"collinear {kind}: {what}", f"leave {name} out")


def _not_finite(design: formula.Design, where: str) -> DataError:
    for name, part in (("y", design.y), ("X", design.X), ("Z", design.Z)):
        if not np.isfinite(part).all():
            return DataError(where, f"missing or infinite values in {name}", "drop those rows")
    return DataError(where, "values too large to be squared", "rescale them")


# A model of a configuration


@dataclass(frozen=True)
class ModelResult:
    """A configured model's fit and every table that its artifacts hold."""

    fit: Fit
    report: dict[str, Any]
    predictions: pd.DataFrame
    curves: pd.DataFrame
    variance_function: pd.DataFrame
    contrasts: pd.DataFrame
    alternatives: pd.DataFrame
    effects_diagnostic: pd.DataFrame
    influence: pd.DataFrame | None  # needs every row
    bootstrap: pd.DataFrame | None

    def drawn(self, frames: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
        """Tables as figures show them: of a data set in chunks the clusters of its sample."""
        if self.fit.complete:
            return dict(frames)
        kept = {"", *self.fit.clusters[np.unique(self.fit.codes)]}
        return {
            name: table[table["cluster"].astype(str).isin(kept)] if "cluster" in table else table
            for name, table in frames.items()
        }

    def write(self, folder: Path) -> None:
        """Write fit.json, the tables with their HTML twins, and posterior.npz into ``folder``."""
        from mixedflow import curves, tables

        folder.mkdir(parents=True, exist_ok=True)
        title = str(self.report["title"])
        frames = {
            "fixed_effects": self.fit.fixed_effects,
            "variance_components": self.fit.variance_components,
            "cluster_effects": self.fit.cluster_effects,
            "predictions": curves.rounded(self.predictions),
            "curves": self.curves,
            "variance_function": self.variance_function,
            "contrasts": self.contrasts,
            "alternatives": self.alternatives,
            "effects_diagnostic": self.effects_diagnostic,
        }
        if self.influence is not None:
            frames["influence"] = self.influence
        if self.bootstrap is not None:
            frames["bootstrap"] = self.bootstrap
        for name, frame in frames.items():
            shown = f"{title}: {name.replace('_', ' ')}"
            # What figures draw: six digits are more than an eye or most outcomes have.
            digits = 6 if name in ("predictions", "curves", "variance_function") else 10
            tables.write(frame, folder / f"{name}.csv", folder / f"{name}.html", shown, digits)
        text = json.dumps(
            self.report, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False
        )
        files.write_text(folder / "fit.json", text + "\n")
        with files.replacing(folder / "posterior.npz") as path, path.open("wb") as file:
            np.savez(file, allow_pickle=False, **effects.posterior(self.fit))


def fit_model(
    spec: ModelSpec,
    prepared: Prepared,
    dataset: DatasetSpec,
    drawn: Iterable[Path] = (),
    products: Products | None = None,
) -> ModelResult:
    """Fit a configured model and compute what its tables and figures show.

    ``drawn`` are the files of a bootstrap that was made in parts; without them it is made here.
    ``products`` are those of a data set reduced in chunks, and ``prepared`` then the sample of it.
    """
    from mixedflow import curves, data, diagnostics

    where, wanted = f"models.{spec.name}", spec.inference
    reporting = Reporting(
        df=_known(wanted.df),
        intervals=_intervals(wanted.intervals),
        draws=wanted.draws,
        seed=wanted.seed,
        drawn=tuple(drawn),
    )
    frame, place = prepared.frame, f"{where}.formula"
    if products is None:
        found = fit(spec.formula, frame, spec.method, place, reporting)
    else:
        like = data.every_level(data.levels_of(frame), frame.columns)
        found = fit_products(spec.formula, products, frame, like, spec.method, place, reporting)
    try:
        contrasts = found.contrast_table(wanted.contrasts)
    except (FormulaError, ModelError) as error:
        raise error.located(f"{where}.inference") from None
    alternatives, gee = inference.alternatives(found, wanted.gee)
    axes = curves.Axes.of(found, prepared, dataset)
    variance = curves.variance_table(found, axes)
    report = {
        **found.report(),
        "model": spec.name,
        "title": spec.title or spec.name,
        "dataset": spec.dataset,
        "formula": spec.formula,
        "outcome": found.parsed.outcome if found.parsed else "",
        "x": axes.x,
        "by": axes.by,
        "inference": {"df": wanted.df, "intervals": wanted.intervals},
        "gee": gee,
        "vpc": curves.vpc_at_mean(found, axes),
        "variance_function": curves.variance_parts(found, axes),
    }
    if products is not None:
        report["sample"] = {"rows": len(found.y), "clusters": len(np.unique(found.codes))}
    return ModelResult(
        fit=found,
        report=report,
        predictions=curves.predictions(found, axes),
        curves=curves.curves(found, axes),
        variance_function=variance,
        contrasts=contrasts,
        alternatives=alternatives,
        effects_diagnostic=diagnostics.effect_table(found),
        influence=diagnostics.influence(found) if products is None else None,
        bootstrap=found.bootstrap if wanted.intervals == "bootstrap" else None,
    )
