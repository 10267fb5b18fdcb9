"""The Python interface: ``mixedflow.fit`` and the :class:`Fit` that it returns."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mixedflow.arrays import Z95, Array
from mixedflow.errors import DataError, ModelError, RankingError, quote
from mixedflow.inference import bootstrap
from mixedflow.inference.contextual import contextual_table
from mixedflow.inference.diagnostics import autocorrelation
from mixedflow.inference.influence import influence
from mixedflow.inference.means import MarginalMeans, marginal_means
from mixedflow.inference.posterior import posterior
from mixedflow.inference.prediction import given_rows, prediction
from mixedflow.inference.results import Reporting, Results
from mixedflow.language import residuals
from mixedflow.language.formula import parse
from mixedflow.language.means import Means
from mixedflow.language.names import INTERCEPT
from mixedflow.language.weights import read as read_weights
from mixedflow.model import factor_notes
from mixedflow.model.design import Design, GroupDesign, fixed_matrix, offset, random_matrices
from mixedflow.model.estimation import estimate, estimate_design
from mixedflow.model.new_rows import as_fitted, codes_of
from mixedflow.prose import stata
from mixedflow.prose.glance import Glance
from mixedflow.ranking import distribution
from mixedflow.ranking.posterior import Posterior

if TYPE_CHECKING:
    import pandas as pd


class Fit(Results):
    """A fitted linear mixed model: what :func:`fit` and :func:`fit_arrays` return.

    ``evidence`` says how the optimum is known; ``converged`` is the verdict on it, ``singular``
    that G is on its boundary.
    """

    def rank(
        self,
        by: str | Mapping[str, float | str] = INTERCEPT,
        best: Literal["high", "low"] = "high",
        group: str | None = None,
        with_: Sequence[str] = (),
        **options: Any,
    ) -> pd.DataFrame:
        """Ranks of clusters with their uncertainty: :func:`mixedflow.ranking.distribution.rank`.

        ``by`` is a random effect (``"f[b]"`` for a factor's level), or values of covariates with
        random effects at which clusters are compared (``{"age": 12, "f": "b"}``), the others at
        their mean or reference; ``group`` the grouping factor, the first by default, and ``with_``
        those in which each of its clusters lies and whose effects are added to its own;
        ``options`` are share, fdr and top.
        """
        if not self.random_terms:
            hint = "add a random part: + (1 | group)"
            raise RankingError("rank", "in a marginal model nothing varies between clusters", hint)
        added = (with_,) if isinstance(with_, str) else with_
        found = Posterior.of(posterior(self.fitted), group, added)
        return distribution.rank(found, by, best, **options)

    def predict(self, frame: pd.DataFrame, conditional: bool = True) -> Array:
        """Predictions for the rows of ``frame``: (n,), in the outcome's units.

        ``conditional`` adds the EB effects of clusters that the fit has seen and, with a residual
        correlation, what the residuals of a cluster's rows say of a new row beside them (by its
        time; :func:`mixedflow.inference.prediction.given_rows`): the best linear prediction of the
        row. An unseen cluster, and ``conditional=False``, give the population mean x'b. Columns are
        read as the fit read
        them, whatever their type here: levels and clusters by name, summaries over the fit's rows.
        Raises DataError for missing values and unknown levels.
        """
        X, Z, at = self._new_rows(frame, conditional)
        X, Z, told, _ = self._told(frame, X, Z, at)
        mean = told + self._offset(frame) + X @ self.solution.beta
        for k, codes in enumerate(at or ()):
            added = np.einsum("nq,nq->n", Z[k], self.solution.effects[k].u[codes])
            mean = mean + np.where(codes >= 0, added, 0.0)
        return np.asarray(mean)

    def predict_interval(
        self,
        frame: pd.DataFrame,
        conditional: bool = True,
        kind: Literal["confidence", "prediction"] = "confidence",
    ) -> pd.DataFrame:
        """Predictions with standard errors and 95% intervals, a row each of ``frame``.

        ``confidence`` is for the mean of the row's cluster (of the population, if not
        ``conditional``), x'b + z'u, ``prediction`` for a new row there, as :meth:`predict` has it:
        with a residual correlation the two differ. The variance parameters are taken as
        known; see :func:`mixedflow.inference.prediction.prediction`. Columns estimate, std_error,
        conf_low, conf_high.
        """
        import pandas as pd

        if kind not in ("confidence", "prediction"):
            raise ModelError(
                "predict", f"unknown kind {quote(kind)}", "it is 'confidence' or 'prediction'"
            )
        X, Z, at = self._new_rows(frame, conditional)
        told: Array | float = 0.0
        relative: Array | float = 1.0
        if kind == "prediction":
            X, Z, told, relative = self._told(frame, X, Z, at)
        mean, error = prediction(self.solution, X, Z, at, kind == "prediction", relative)
        mean = mean + told + self._offset(frame)
        half = Z95 * error
        return pd.DataFrame(
            {
                "estimate": mean,
                "std_error": error,
                "conf_low": mean - half,
                "conf_high": mean + half,
            },
            index=frame.index,
        )

    def _told(
        self, frame: pd.DataFrame, X: Array, Z: tuple[Array, ...], at: list[Array] | None
    ) -> tuple[Array, tuple[Array, ...], Array | float, Array | float]:
        """X, Z less what observed rows tell of new ones; what they tell, and what is left / s2."""
        residuals_, weights = self.fitted.residuals, self.fitted.weights
        if weights is not None:
            return X, Z, 0.0, weights.of(frame, "predict").relative_variance
        if residuals_ is None:
            return X, Z, 0.0, 1.0
        if at is None:
            known = self.solution.covariance.residual
            return X, Z, 0.0, residuals_.variance_of(known, frame, "predict")
        found = given_rows(self.fitted, frame, at[0], "predict")
        return X - found.X, (Z[0] - found.Z,), found.y, found.relative

    def _new_rows(
        self, frame: pd.DataFrame, conditional: bool
    ) -> tuple[Array, tuple[Array, ...], list[Array] | None]:
        """X (n, p), each group's Z (n, q) and codes (n,): -1 if unseen, None if not asked for."""
        parsed, known = self.fitted.parsed, self.fitted.frame
        if parsed is None or known is None:
            raise ModelError("predict", "a fit from arrays has no formula", "use fit.solution")
        rows = as_fitted(parsed, frame, known, "predict")
        X, _ = fixed_matrix(parsed, rows, known, "predict")
        Z = random_matrices(parsed, rows, known, "predict")
        if not conditional:
            return X, Z, None
        return X, Z, codes_of(self.fitted, rows, "predict")

    def _offset(self, frame: pd.DataFrame) -> Array:
        """(n,) what an offset of the formula adds to new rows."""
        parsed, known = self.fitted.parsed, self.fitted.frame
        assert parsed is not None and known is not None
        rows = as_fitted(parsed, frame, known, "predict")
        return offset(parsed, rows, known, "predict")

    def influence(self, group: str | None = None) -> pd.DataFrame:
        """What each cluster does to the estimates: :mod:`mixedflow.inference.influence`.

        ``group`` is the grouping factor, by default the one that the others lie within.
        """
        return influence(self.fitted, group)

    def means(
        self,
        by: str | Sequence[str],
        at: Mapping[str, Any] | None = None,
        slope: str | None = None,
        pairs: str | Sequence[str] = (),
        against: float | str | None = None,
        adjust: Literal["none", "holm", "bonferroni", "tukey"] = "holm",
    ) -> MarginalMeans:
        """Marginal (least-squares) means: :func:`mixedflow.inference.means.marginal_means`.

        Means at each combination of the factors ``by``: the others averaged with equal weights,
        covariates at their mean or ``at`` a value (``{"age": 12}``; several values of one in
        ``by``). ``slope`` gives the slope of a covariate instead. ``pairs`` are the factors whose
        levels are compared at each combination of the rest, ``against`` the level to compare the
        others with. Degrees of freedom and intervals are those of the fit's ``reporting``.
        """
        asked, how = Means.of(by, at, slope, pairs, against, adjust), self.reporting
        profiled = how.intervals == "profile"
        return marginal_means(self.fitted, self.small_sample, asked, how.df, profiled)

    def autocorrelation(self) -> pd.DataFrame:
        """Residuals' correlation by lag, before a residual structure and after it.

        As :func:`mixedflow.inference.diagnostics.autocorrelation` has it.
        """
        return autocorrelation(self.fitted)

    def contextual(self) -> pd.DataFrame:
        """Whether clusters' means of covariates matter beside their own values, a row a covariate.

        As :func:`mixedflow.inference.contextual.contextual` has it; a ranking does not allow for
        means that matter, nor for those of a covariate that is ``centred`` and has no test.
        """
        return contextual_table(self.fitted)

    def __repr__(self) -> str:
        """One screen of the fit."""
        return self._glance().text()

    def _repr_html_(self) -> str:
        """The same as a notebook shows it."""
        return self._glance().html()

    def _glance(self) -> Glance:
        parsed = self.fitted.parsed
        formula, outcome = (parsed.text, parsed.outcome) if parsed else ("", "")
        how, shown, note = self.reporting, self, ""
        if how.intervals == "bootstrap" and "bootstrap" not in vars(self):
            # Nobody waits for a thousand refits to see what a fit is.
            shown = Fit(self.fitted, Reporting(df=how.df))
            note = "Wald intervals; those of the bootstrap are made for .fixed_effects"
        tables = shown.fixed_effects, shown.variance_components
        return Glance(formula, outcome, self.report(), *tables, note=note)

    def summary(self, sd: bool = False) -> str:
        """A Stata-like table of the fit, as text; with ``sd`` SDs in place of variances."""
        parsed = self.fitted.parsed
        shown = stata.Tables(
            self.fixed_effects,
            self.variance_components,
            self.term_tests() if parsed else None,
            self.fixed_correlations,
            parsed.outcome if parsed else "",
        )
        return stata.text(self.report(), shown, sd)


def fit(
    text: str,
    frame: pd.DataFrame,
    method: str = "reml",
    where: str = "formula",
    reporting: Reporting | None = None,
    residual: Mapping[str, Mapping[str, str | bool]] | None = None,
    cluster: str | None = None,
    weights: Mapping[str, str] | None = None,
) -> Fit:
    """Fit a linear mixed model given by a formula in lme4 notation.

    Parameters
    ----------
    text
        For example ``"y ~ x + (1 + x | g)"`` or ``"y ~ x + (1 | school/class)"``; ``||`` for
        uncorrelated effects.
    frame
        The data; rows with a missing value in a variable of the formula are left out.
    method
        ``"reml"`` or ``"ml"``.
    reporting
        Degrees of freedom and intervals of the tables; by default Stata's.
    residual
        How residuals correlate within clusters, and what their variance depends on: one of
        ``{"correlation": {"ar1": "visit"}}``, ``{"car1": "age"}`` (uneven times),
        ``{"exponential": "age", "nugget": True}``, ``{"exchangeable": True}``,
        ``{"toeplitz": "visit"}`` and ``{"unstructured": "visit"}``, and one of
        ``{"variance": {"by": "girl"}}``, ``{"power": "age"}`` and ``{"exponential": "age"}``.
        Independent with one variance without it.
    cluster
        The column of clusters of a formula without a bar: a marginal model, with ``residual``.
    weights
        What the weights of rows mean, and their column: ``{"precision": "n"}`` for residual
        variances s2 / n, as lme4's ``weights``.

    Raises
    ------
    FormulaError, DataError, ModelError
        Before any search starts.
    """
    reporting = reporting or Reporting()
    structure = None if residual is None else residuals.read(residual, "residual")
    reporting.check(method, where, structure)
    if cluster is not None:
        _check_cluster(text, cluster, structure, where)
    weighted = None if weights is None else read_weights(weights, "weights")
    if weighted is not None:
        weighted.check("weights", method, reporting.df, reporting.intervals)
    found = Fit(estimate(text, frame, method, where, structure, cluster, weighted), reporting)
    for note in factor_notes.of_fit(found.fitted):
        warnings.warn(f"{where}: {note}", stacklevel=2)
    return found


def _check_cluster(text: str, cluster: object, structure: object, where: str) -> None:
    named = parse(text, where).groups
    if not isinstance(cluster, str):
        raise ModelError("cluster", f"it is the name of a column, not {quote(cluster)}")
    if named and cluster not in {group.name for group in named}:
        names = ", ".join(quote(group.name) for group in named)
        hint = "leave cluster out, or the bar of the formula"
        raise ModelError("cluster", f"the clusters are those of the formula ({names})", hint)
    if structure is None and not named:
        hint = "such as residual={'correlation': {'car1': 'age'}}"
        raise ModelError("cluster", "without a random part it needs a residual structure", hint)


def fit_arrays(
    y: Array,
    X: Array,
    Z: Array | Mapping[str, Array],
    cluster: Array | Mapping[str, Array],
    method: str = "reml",
    blocks: tuple[int, ...] | Mapping[str, tuple[int, ...]] | None = None,
    reporting: Reporting | None = None,
) -> Fit:
    """The same from arrays: ``y`` (N,), ``X`` (N, p), ``Z`` (N, q), ``cluster`` (N,) labels.

    ``blocks`` are the sizes of the groups of correlated columns of Z; one group by default. Of
    several grouping factors, ``Z``, ``cluster`` and ``blocks`` are mappings from their names.
    """
    y, X = _numbers("y", y), _numbers("X", X)
    several = Z if isinstance(Z, Mapping) else {"cluster": Z}
    labels = cluster if isinstance(cluster, Mapping) else {"cluster": cluster}
    if several.keys() != labels.keys() or not several:
        raise DataError("arrays", "Z and cluster must name the same grouping factors")
    sizes = blocks if isinstance(blocks, Mapping) else dict.fromkeys(several, blocks)
    groups = tuple(
        _group(name, y, X, columns, labels[name], sizes.get(name))
        for name, columns in several.items()
    )
    design = Design(
        y=y,
        X=X,
        terms=tuple(f"x{k}" for k in range(X.shape[1])),
        groups=groups,
        rows=np.arange(len(y)),
        n_missing=0,
    )
    reporting = reporting or Reporting()
    reporting.check(method, "arrays")
    return Fit(estimate_design(design, method, "arrays"), reporting)


def _group(
    name: str, y: Array, X: Array, Z: Array, cluster: Array, blocks: tuple[int, ...] | None
) -> GroupDesign:
    """A grouping factor of arrays, or what is wrong with them."""
    import pandas as pd

    Z = _numbers("Z", Z)
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
    return GroupDesign(
        name=name,
        random_terms=tuple(f"z{k}" for k in range(Z.shape[1])),
        blocks=sizes,
        Z=Z,
        cluster=labels,
        columns=(name,),
    )


def lr_test(
    null: Fit, alternative: Fit, draws: int = 1000, seed: int = 1, processes: int = 1
) -> dict[str, Any]:
    """Likelihood-ratio test by simulation: :func:`mixedflow.inference.bootstrap.lr_test`."""
    return bootstrap.lr_test(null.fitted, alternative.fitted, draws, seed, processes)


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
