"""A fit with what is said about it: tables, tests and the report, each computed on first use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mixedflow.arrays import Array
from mixedflow.artifacts.fit_report import FitReport
from mixedflow.errors import ModelError, nearest, quote
from mixedflow.inference import fixed, robust, term_tests, variance
from mixedflow.inference.bootstrap import simulate, summary
from mixedflow.inference.effects import cluster_effects
from mixedflow.inference.gee import as_methods, estimates
from mixedflow.inference.report import fit_report
from mixedflow.inference.simulated import Draws
from mixedflow.inference.small_sample import METHODS, Method, SmallSample
from mixedflow.language import contrasts
from mixedflow.language.residuals import NOT_LINEAR, Residual
from mixedflow.language.working import read
from mixedflow.model.fitted import Fitted, Group
from mixedflow.model.solution import Solution
from mixedflow.model.verdict import Verdict

if TYPE_CHECKING:
    import pandas as pd

Intervals = Literal["wald", "profile", "bootstrap"]
INTERVALS: tuple[Intervals, ...] = ("wald", "profile", "bootstrap")


@dataclass(frozen=True)
class Reporting:
    """How a fit's tables give degrees of freedom and intervals.

    ``df``: normal, satterthwaite or kenward-roger. ``intervals``: wald, profile or bootstrap (the
    percentiles of ``draws`` refits, from ``seed``, by ``processes`` at once, or of those that the
    files ``drawn`` hold). The defaults give Stata's tables.
    """

    df: Method = "normal"
    intervals: Intervals = "wald"
    draws: int = 1000
    seed: int = 1
    processes: int = 1
    drawn: tuple[Path, ...] = ()

    def check(self, method: str, where: str, residual: Residual | None = None) -> None:
        """Refuse what a fit by ``method`` cannot report, before it is made."""
        if residual is not None:
            self._check_structure(residual, where)
        known_df(self.df)
        known_intervals(self.intervals)
        if self.df == "kenward-roger" and method != "reml":
            raise ModelError(
                where, "Kenward-Roger needs a REML fit", "use method: reml, or df: satterthwaite"
            )

    def _check_structure(self, residual: Residual, where: str) -> None:
        if self.df == "kenward-roger" and not residual.linear:
            raise ModelError(where, NOT_LINEAR, "use df: satterthwaite, or unstructured residuals")


def known_df(method: str) -> Method:
    """A method of degrees of freedom by its name; ModelError for any other."""
    for name in METHODS:
        if method == name:
            return name
    what = f"unknown method {quote(method)}"
    raise ModelError("degrees of freedom", what, nearest(method, METHODS))


def known_intervals(name: str) -> Intervals:
    """A kind of intervals by its name; ModelError for any other."""
    for kind in INTERVALS:
        if name == kind:
            return kind
    raise ModelError("intervals", f"unknown kind {quote(name)}", nearest(name, INTERVALS))


@dataclass(frozen=True)
class Results:
    """A fitted linear mixed model's tables, as ``reporting`` asks for them."""

    fitted: Fitted
    reporting: Reporting = field(default_factory=Reporting)

    # The state

    @property
    def solution(self) -> Solution:
        return self.fitted.solution

    @property
    def groups(self) -> tuple[Group, ...]:
        """The grouping factors, with the labels of their clusters and their rows."""
        return self.fitted.groups

    @property
    def method(self) -> str:
        """reml or ml."""
        return self.fitted.method

    @property
    def terms(self) -> tuple[str, ...]:
        """(p,) names of the fixed effects."""
        return self.fitted.terms

    @property
    def random_terms(self) -> tuple[str, ...]:
        """Names of the random effects of all grouping factors."""
        return self.fitted.random_terms

    @property
    def n_obs(self) -> int:
        return self.solution.objective.n_obs

    @property
    def n_parameters(self) -> int:
        objective = self.solution.objective
        return len(self.terms) + objective.n_parameters + (objective.known_s2 is None)

    @property
    def log_likelihood(self) -> float:
        """ML or REML log-likelihood; REML without the constant log|X'X|, as lme4 and Stata."""
        return self.solution.log_likelihood

    @property
    def linear_log_likelihood(self) -> float:
        """Of the model without random effects, by the same method."""
        return -0.5 * self.solution.objective.linear_deviance

    # The verdict

    @cached_property
    def verdict(self) -> Verdict:
        return Verdict(self.fitted)

    @property
    def evidence(self) -> dict[str, Any]:
        """How the optimum is known: searches, curvature, and the audit by MixedLM."""
        return self.verdict.evidence

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the fit is not accepted as the optimum; empty if it is."""
        return self.verdict.problems

    @property
    def converged(self) -> bool:
        return self.verdict.converged

    @property
    def singular(self) -> bool:
        """G is on its boundary: a combination of the random effects does not vary."""
        return self.verdict.singular

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.verdict.warnings

    # Tables and tests

    @cached_property
    def small_sample(self) -> SmallSample:
        """Satterthwaite's and Kenward-Roger's degrees of freedom."""
        return SmallSample(self.solution)

    @cached_property
    def covariance_inference(self) -> variance.CovarianceInference:
        # The searches' own evidence decides here: the audit needs every row, tables do not.
        return variance.CovarianceInference(
            self.solution, self.verdict.found and not self.verdict.boundary
        )

    def degrees_of_freedom(self, method: Method = "satterthwaite") -> Array:
        """(p,) degrees of freedom of the t tests of the fixed effects."""
        return self.small_sample.df(np.eye(len(self.terms)), known_df(method))

    @property
    def kenward_roger_covariance(self) -> Array:
        """(p, p) covariance of the fixed effects, adjusted (Kenward and Roger 1997)."""
        return self.small_sample.adjusted_phi

    def test(
        self, weights: Array | str | Sequence[str], df: Method = "satterthwaite"
    ) -> dict[str, Any]:
        """Joint test that contrasts of the fixed effects are 0.

        ``weights``: an (r, p) array, or expressions of coefficients such as
        ``"girl + lrt_groupc:girl"``. Returns statistic (F), df_num, df_den, p_value. Raises
        FormulaError for a coefficient that the model does not have.
        """
        if isinstance(weights, str):
            weights = [weights]
        if not isinstance(weights, np.ndarray) and all(isinstance(c, str) for c in weights):
            weights = np.array([contrasts.parse(str(c), self.terms, "test") for c in weights])
        return self.small_sample.test(np.asarray(weights, dtype=float), known_df(df))

    @cached_property
    def fixed_effects(self) -> pd.DataFrame:
        """One row a term: estimate, std_error, statistic, df, p_value and 95% interval."""
        how = self.reporting
        frame = fixed.fixed_effects(
            self.small_sample, self.terms, how.df, how.intervals == "profile"
        )
        return self._percentiles(frame, slice(0, len(self.terms)))

    @cached_property
    def variance_components(self) -> pd.DataFrame:
        """Variances, SDs, covariances and correlations with standard errors and 95% intervals."""
        frame = variance.variance_components(
            self.covariance_inference,
            self.groups,
            self.reporting.intervals == "profile",
            self.fitted.residuals,
        )
        return self._percentiles(frame, slice(len(self.terms), None))

    @cached_property
    def bootstrap(self) -> pd.DataFrame:
        """The parametric bootstrap: :func:`mixedflow.inference.bootstrap.summary`."""
        how = self.reporting
        if how.drawn:
            draws = Draws.read(how.drawn)
        else:
            draws = simulate(self.fitted, how.draws, how.seed, processes=how.processes)
        return summary(self.fitted, draws)

    def _percentiles(self, frame: pd.DataFrame, rows: slice) -> pd.DataFrame:
        if self.reporting.intervals != "bootstrap":
            return frame
        found = self.bootstrap.iloc[rows]
        return frame.assign(
            conf_low=found["percentile_low"].to_numpy(),
            conf_high=found["percentile_high"].to_numpy(),
        )

    def contrast_table(self, wanted: Mapping[str, Sequence[str]]) -> pd.DataFrame:
        """Tests of named contrasts, each one expression of coefficients or several tested jointly.

        One row a contrast: contrast, expression, estimate, std_error, conf_low, conf_high (single
        ones only), statistic (t, or F of a joint test), df_num, df (of the denominator), p_value.
        Raises FormulaError for a coefficient that the model does not have.
        """
        how = self.reporting
        return fixed.contrast_table(
            self.small_sample, self.terms, wanted, how.df, how.intervals == "profile"
        )

    @cached_property
    def fixed_correlations(self) -> pd.DataFrame:
        """How the estimates of fixed effects go together: a row for each two of them."""
        return fixed.correlations(self.small_sample, self.terms, self.reporting.df)

    def term_tests(self) -> pd.DataFrame:
        """Type III tests, one a term of the fixed part: :mod:`mixedflow.inference.term_tests`."""
        return term_tests.term_tests(self.fitted, self.small_sample, self.reporting.df)

    def alternatives(self, gee: bool | Sequence[str | Mapping[str, str]] = False) -> pd.DataFrame:
        """Cluster-robust standard errors (:mod:`mixedflow.inference.robust`), and GEE if asked.

        ``gee`` are working correlations, as ``["independence", "exchangeable", {"ar1": "visit"},
        {"unstructured": "visit"}]``; True is exchangeable: :mod:`mixedflow.inference.gee`.
        """
        found = estimates(self.fitted, read(gee))
        return robust.alternatives(self.fitted, as_methods(self.fitted, found))

    @cached_property
    def cluster_effects(self) -> pd.DataFrame:
        """EB effects: :func:`mixedflow.inference.effects.cluster_effects`."""
        return cluster_effects(self.fitted)

    def report(self) -> FitReport:
        """The numbers of fit.json that need no configuration."""
        return fit_report(self.fitted, self.verdict, self.covariance_inference)
