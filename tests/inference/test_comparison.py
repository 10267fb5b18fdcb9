"""Likelihood-ratio tests against standard tables, and models that cannot be compared."""

from __future__ import annotations

import pytest
from fit_reports import model_report

from mixedflow.config.specs import ComparisonSpec
from mixedflow.errors import ComparisonError
from mixedflow.inference.comparison import compare

SPEC = ComparisonSpec("c", "a", "b", bootstrap=0, seed=1)
NULL = {
    "method": "ml", "n_obs": 100, "n_parameters": 3, "fixed_terms": ["Intercept"],
    "log_likelihood": -50.0,
}  # fmt: skip


class TestComparisons:
    def row(self, null=None, **changes):
        values = {**NULL, **(null or {})}
        fits = {"a": model_report(**values), "b": model_report(**{**values, **changes})}
        return compare({"c": SPEC}, fits, {}).iloc[0]

    # Quantiles and tail probabilities of standard tables, to their seven digits.
    def test_fixed_effects(self):
        terms = ["Intercept", "x", "w"]
        row = self.row(fixed_terms=terms, n_parameters=5, log_likelihood=-50 + 5.991465 / 2)
        assert row["statistic"] == pytest.approx(5.991465)
        assert (row["df"], row["distribution"], row["warning"]) == (2, "chi2(2)", "")
        assert row["p_value"] == pytest.approx(0.05, rel=1e-6)

    def test_one_more_random_effect_is_a_mixture(self):
        row = self.row(
            random_terms=["Intercept", "x"], n_parameters=5, log_likelihood=-50 + 5.138 / 2
        )
        # Half of P(chi2_1 > 5.138) = .0234 and half of exp(-5.138 / 2) = .0766.
        assert row["p_value"] == pytest.approx(0.05, abs=1e-4)
        assert row["distribution"] == "half chi2(1), half chi2(2)"

    def test_an_uncorrelated_random_effect_is_half_of_nothing(self):
        changes = {"random_terms": ["Intercept", "x"], "n_parameters": 4}
        row = self.row(**changes, log_likelihood=-50 + 2.705543 / 2)
        assert row["p_value"] == pytest.approx(0.05, rel=1e-6)
        assert self.row(**changes, log_likelihood=-50.0)["p_value"] == 1.0

    def test_two_more_random_effects_are_conservative(self):
        terms = ["Intercept", "x", "w"]
        row = self.row(random_terms=terms, n_parameters=8, log_likelihood=-45.0)
        assert row["distribution"] == "chi2(5), conservative"

    def test_a_covariance_alone_is_not_at_a_boundary(self):
        """(1 + x || g) in (1 + x | g): 3.841459 is the 95% quantile of chi2(1)."""
        terms = ["Intercept", "x"]
        row = self.row(
            {"random_terms": terms, "n_parameters": 4},
            n_parameters=5,
            log_likelihood=-50 + 3.841459 / 2,
        )
        assert row["p_value"] == pytest.approx(0.05, rel=1e-6)
        assert row["distribution"] == "chi2(1)"

    def test_a_fit_that_did_not_converge_is_named(self):
        row = self.row(fixed_terms=["Intercept", "x"], n_parameters=4, converged=False)
        assert row["warning"] == "not converged: b"

    @pytest.mark.parametrize(
        ("null", "changes", "words"),
        [
            ({}, {"method": "reml"}, "a is fitted by ml, b by reml"),
            ({}, {"n_obs": 99}, r"different rows \(100 and 99\)"),
            (
                {"method": "reml"},
                {"fixed_terms": ["Intercept", "x"], "n_parameters": 4},
                "REML fits of different fixed parts",
            ),
        ],
    )
    def test_refusals(self, null, changes, words):
        with pytest.raises(ComparisonError, match=words):
            self.row(null, **changes)

    # Residual structures: 2 (log-likelihoods) = 2.706, whose tail of chi2(1) is .10.
    @pytest.mark.parametrize(
        ("null", "alternative", "p_value", "distribution"),
        [
            # A range of 0, a nugget of 0: the end of what they can be.
            (None, {"car1": "t"}, 0.05, "half chi2(0), half chi2(1)"),
            ({"car1": "t"}, {"exponential": "t", "nugget": True}, 0.05, "half chi2(0), half"),
            # A correlation of either sign.
            (None, {"ar1": "t"}, 0.1, "chi2(1)"),
            ({"ar1": "t"}, {"toeplitz": "t"}, 0.1, "chi2(1)"),
            # Without correlation there is no range.
            (None, {"exponential": "t", "nugget": True}, 0.1, "chi2(1), approximate"),
        ],
    )
    def test_residual_structures(self, null, alternative, p_value, distribution):
        row = self.row(
            {"residual": null and {"correlation": null}},
            residual={"correlation": alternative},
            n_parameters=4,
            log_likelihood=-50 + 2.705543 / 2,
        )
        assert row["p_value"] == pytest.approx(p_value, rel=1e-5)
        assert row["distribution"].startswith(distribution)

    def test_random_effects_whose_place_a_structure_takes(self):
        """From a random intercept, whose variance is positive, to unstructured visits."""
        row = self.row(
            {"random_terms": ["Intercept"]},
            random_terms=[],
            residual={"correlation": {"unstructured": "t"}},
            n_parameters=5,
            log_likelihood=-50 + 5.991465 / 2,
        )
        assert row["p_value"] == pytest.approx(0.05, rel=1e-5)
        assert row["distribution"] == "chi2(2)"
