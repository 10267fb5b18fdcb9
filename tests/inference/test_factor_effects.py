"""The clusters' effects of several factors, and intervals of the variances."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from tests.support.several import DESIGNS, WholeV, fitted, reference_fit, whole

from mixedflow.inference import profile
from mixedflow.inference.components import components
from mixedflow.inference.effects import cluster_effects
from mixedflow.inference.results import Reporting, Results


@pytest.fixture(scope="module", params=DESIGNS)
def case(request):
    fit = fitted(request.param)
    return fit, whole(fit)


def test_estimates_and_their_three_standard_errors(case):
    fit, dense = case
    table = cluster_effects(fit)
    P = dense.inverse - dense.inverse @ dense.X @ dense.phi @ dense.X.T @ dense.inverse
    for g, group in enumerate(fit.groups):
        rows = table[table["group"] == group.name]
        J, q = len(group.labels), group.Z.shape[1]
        assert list(rows["cluster"]) == list(np.repeat(group.clusters.astype(str), q))
        prior, half = dense.s2 * dense.D[g], dense.s2 * dense.D[g] @ dense.Z[g].T
        conditional = np.diag(prior - half @ dense.inverse @ half.T)
        diagnostic = np.diag(half @ P @ half.T)
        comparative = np.diag(prior) - diagnostic
        near = {"rel": 1e-5, "abs": 1e-5}
        assert rows["estimate"].to_numpy() == pytest.approx(half @ P @ fit.y, **near)
        for name, variance in (
            ("se_conditional", conditional),
            ("se_comparative", comparative),
            ("se_diagnostic", diagnostic),
        ):
            # Roots of what is 0 but for rounding are 1e-4 of it.
            assert rows[name].to_numpy() ** 2 == pytest.approx(variance, rel=1e-6, abs=1e-6)
        varies = np.repeat(np.diag(fit.solution.G[g])[None], J, 0).ravel()
        able = varies > 1e-6
        expected = (1 - conditional / np.where(able, varies, 1.0))[able]
        assert rows["reliability"].to_numpy()[able] == pytest.approx(expected, abs=1e-5)


def test_unshrunken_estimates_are_given_the_other_factors(case):
    """Each level's own least squares on what the fixed part and the others leave."""
    fit, dense = case
    table = cluster_effects(fit)
    every = [Z @ dense.u(g).ravel() for g, Z in enumerate(dense.Z)]
    r = fit.y - fit.X @ dense.beta - sum(every)
    for g, group in enumerate(fit.groups):
        own = table[table["group"] == group.name]["ols"].to_numpy().reshape(len(group.labels), -1)
        error = table[table["group"] == group.name]["ols_se"].to_numpy().reshape(own.shape)
        for j in range(len(group.labels)):
            rows = group.codes == j
            Z = group.Z[rows]
            if np.linalg.matrix_rank(Z) < Z.shape[1]:
                assert np.isnan(own[j]).all()
                continue
            inverse = np.linalg.inv(Z.T @ Z)
            if np.linalg.cond(Z) > 1e4:
                continue
            expected = inverse @ Z.T @ (r + every[g])[rows]
            assert own[j] == pytest.approx(expected, rel=1e-6, abs=1e-6)
            assert error[j] == pytest.approx(np.sqrt(dense.s2 * np.diag(inverse)), rel=1e-6)


def test_shrinkage_is_of_these_estimates():
    """One random intercept a factor: estimate = n / (n + s2 / v) times the unshrunken one."""
    fit = reference_fit("penicillin")
    table = fit.cluster_effects
    for group, G in zip(fit.groups, fit.solution.G, strict=True):
        rows = table[table["group"] == group.name]
        n = rows["n"].to_numpy()
        factor = n / (n + fit.solution.s2 / G[0, 0])
        assert rows["estimate"].to_numpy() == pytest.approx(factor * rows["ols"].to_numpy())


@pytest.fixture(scope="module")
def pastes():
    return reference_fit("pastes", "ml")


def test_ends_of_profile_intervals_are_on_the_edge(pastes):
    """The deviance of the definition, all else at its best, is 3.84 above its minimum there."""
    fit = pastes.fitted
    table = Results(fit, Reporting(intervals="profile")).variance_components
    variances = table[table["scale"] == "var"]
    estimates = variances["estimate"].to_numpy()

    def deviance(values):
        s2 = values[-1]
        halves = [np.sqrt(np.full((1, 1), v / s2)) for v in values[:-1]]
        return WholeV(fit.y, fit.X, fit.groups, halves, s2).deviance(False)

    lowest = deviance(estimates)
    assert lowest == pytest.approx(-2 * pastes.log_likelihood, abs=1e-6)
    for k, (low, high) in enumerate(variances[["conf_low", "conf_high"]].to_numpy()):
        for end in (low, high):
            if end < 1e-6:
                # The variance of batches may be 0: there the deviance is not yet on the edge.
                assert variances["group"].iloc[k] == "batch"
                end = 1e-12

            def at_end(logs, k=k, end=end):
                return deviance(np.insert(np.exp(logs), k, end))

            start = np.log(np.delete(estimates, k))
            found = minimize(at_end, start, method="Nelder-Mead", options={"fatol": 1e-9})
            rise = found.fun - lowest
            expected = profile.RISE if end > 1e-12 else pytest.approx(rise)
            assert rise == pytest.approx(expected, abs=1e-3) and rise < profile.RISE + 1e-3


def test_profile_intervals_of_published_values(pastes):
    """Bates (lme4 book, section 2.2): 95% intervals of the Pastes data's standard deviations."""
    found = Results(pastes.fitted, Reporting(intervals="profile"))
    table = found.variance_components
    sds = table[table["scale"] == "sd"].set_index("group")[["conf_low", "conf_high"]]
    assert sds.loc["batch:cask"].to_numpy() == pytest.approx([2.1579, 4.0536], abs=1e-3)
    assert sds.loc["batch"].to_numpy() == pytest.approx([0.0, 2.9466], abs=1e-3)
    assert sds.loc["Residual"].to_numpy() == pytest.approx([0.6520, 1.0854], abs=1e-3)
    fixed = found.fixed_effects[["conf_low", "conf_high"]].to_numpy()[0]
    assert fixed == pytest.approx([58.6637, 61.4430], abs=1e-3)


def test_every_component_has_a_row(case):
    fit, _ = case
    table = Results(fit).variance_components
    assert len(table) == len(components(fit.groups))
    assert table["std_error"].notna().all() == (not fit.solution.singular)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["nested", "crossed, slopes"])
def test_profile_intervals_hold_the_estimates(name):
    fit = fitted(name)
    table = Results(fit, Reporting(intervals="profile")).variance_components
    ends = table[["conf_low", "conf_high"]]
    inside = table["estimate"].between(ends["conf_low"] - 1e-4, ends["conf_high"] + 1e-4)
    assert (inside | table["estimate"].isna()).all()
