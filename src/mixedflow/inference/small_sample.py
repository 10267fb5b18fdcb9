"""Degrees of freedom and tests of fixed effects in small samples: Satterthwaite, Kenward-Roger.

Everything follows from the sums over clusters that the likelihood keeps, so that no row is seen
and a million rows cost what a thousand do.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.special import chdtrc, fdtrc

from mixedflow.errors import ModelError
from mixedflow.model.whitened import Whitened

if TYPE_CHECKING:
    from mixedflow.arrays import Array
    from mixedflow.model.solution import Solution


Method = Literal["normal", "satterthwaite", "kenward-roger"]
METHODS: tuple[Method, ...] = ("normal", "satterthwaite", "kenward-roger")
_FLAT = 1e-8  # curvature, relative to the largest, below which a direction is on the boundary


class SmallSample:
    """Approximate degrees of freedom for linear functions of the fixed effects.

    Parameters
    ----------
    solution
        Of a model of ``p`` fixed effects, at its optimum.

    Notes
    -----
    On the boundary of the variance parameters, Satterthwaite's df take the direction that does not
    vary as known.
    """

    def __init__(self, solution: Solution) -> None:
        self.solution = solution

    def _needs_likelihood(self, method: str) -> None:
        if self.solution.sandwich is not None:
            what = "it is not available with sampling weights"
            raise ModelError(method, what, "use df: normal")

    # Satterthwaite: Giesbrecht and Burns (1985); Kuznetsova, Brockhoff and Christensen (2017)

    @cached_property
    def _covariance_of_parameters(self) -> Array:
        """2 H^-1 for (parameters, log s), without directions of no curvature."""
        values, vectors = np.linalg.eigh(self.solution.joint_hessian)
        kept = values > _FLAT * values[-1]
        return 2.0 * (vectors[:, kept] / values[kept]) @ vectors[:, kept].T

    @cached_property
    def _phi_derivatives(self) -> Array:
        """(k + 1, p, p) derivatives of phi in (parameters, log s), the data's units."""
        solution, at = self.solution, self.solution.at
        _, dS = solution.objective.differentials(solution.parameters, at)
        inverse, s2 = at.S_xx_inverse, solution.s2_scaled
        in_parameters = -s2 * (inverse @ dS[:, :-1, :-1] @ inverse)
        both = np.concatenate([in_parameters, 2.0 * s2 * inverse[None]])
        if solution.objective.known_s2 is not None:
            both = in_parameters
        back = solution.scales.R_inverse * solution.scales.y
        return np.asarray(back @ both @ back.T)

    def satterthwaite(self, contrasts: Array) -> Array:
        """(r,) df of the t tests of the rows of ``contrasts`` (r, p)."""
        self._needs_likelihood("Satterthwaite")
        variance = np.einsum("ra,ab,rb->r", contrasts, self.solution.phi, contrasts)
        gradient = np.einsum("ra,kab,rb->rk", contrasts, self._phi_derivatives, contrasts)
        spread = np.einsum("rk,kl,rl->r", gradient, self._covariance_of_parameters, gradient)
        with np.errstate(divide="ignore"):
            return np.asarray(2.0 * variance**2 / spread)

    # Kenward and Roger (1997, Biometrics 53)

    @cached_property
    def _kenward_roger(self) -> tuple[Array, Array, Array]:
        """(adjusted phi, W, phi P_i phi), in the core's scales."""
        self._needs_likelihood("Kenward-Roger")
        solution, objective = self.solution, self.solution.objective
        if not objective.reml:
            raise ModelError(
                "Kenward-Roger", "it needs a REML fit", "use method: reml, or satterthwaite"
            )
        P, Q, traces = objective.kenward_roger(solution.parameters, solution.at)
        phi = solution.s2_scaled * solution.at.S_xx_inverse
        turned = phi @ P
        information = 0.5 * (
            traces
            - 2.0 * np.einsum("ab,ijba->ij", phi, Q)
            + np.einsum("iab,jba->ij", turned, turned)
        )
        W = self._observed() if isinstance(objective, Whitened) else np.linalg.inv(information)
        PPP = P[:, None] @ phi @ P[None]
        adjustment = np.einsum("ij,ijab->ab", W, Q - PPP)
        adjusted = phi + 2.0 * phi @ adjustment @ phi
        return 0.5 * (adjusted + adjusted.T), W, turned @ phi

    def _observed(self) -> Array:
        """W of a residual structure: the covariance of V's elements by the observed information.

        Where rows are missing at random the expected information is that of other missing rows
        (Kenward and Molenberghs 1998, Statist. Sci. 13); SAS and R's mmrm take the observed one.
        """
        solution = self.solution
        assert isinstance(solution.objective, Whitened)
        J = solution.objective.covariance_slopes(solution.parameters, solution.s2_scaled)
        return np.asarray(J @ self._covariance_of_parameters @ J.T)

    def _to_data(self, covariance: Array) -> Array:
        back = self.solution.scales.R_inverse * self.solution.scales.y
        return np.asarray(back @ covariance @ back.T)

    @cached_property
    def adjusted_phi(self) -> Array:
        """(p, p) Kenward and Roger's covariance of the fixed effects, the data's units."""
        return self._to_data(self._kenward_roger[0])

    def kenward_roger(self, contrasts: Array) -> tuple[float, float]:
        """(denominator df, scale of F) of the joint test of ``contrasts`` (r, p) of rank r."""
        _, W, PhiPPhi = self._kenward_roger
        r, s2 = len(contrasts), self.solution.s2_scaled
        L = contrasts @ self.solution.scales.R_inverse
        middle = np.linalg.solve(L @ (s2 * self.solution.at.S_xx_inverse) @ L.T, L)
        theta = L.T @ middle
        products = theta @ PhiPPhi
        singles = np.einsum("iaa->i", products)
        A1 = float(singles @ W @ singles)
        A2 = float(np.sum(W * np.einsum("iab,jba->ij", products, products)))
        if A2 <= 0:
            return np.inf, 1.0
        B = (A1 + 6.0 * A2) / (2.0 * r)
        g = ((r + 1) * A1 - (r + 4) * A2) / ((r + 2) * A2)
        d = 3.0 * r + 2.0 * (1.0 - g)
        c1, c2, c3 = g / d, (r - g) / d, (r + 2 - g) / d
        E = 1.0 / (1.0 - A2 / r)
        V = (2.0 / r) * (1.0 + c1 * B) / ((1.0 - c2 * B) ** 2 * (1.0 - c3 * B))
        rho = V / (2.0 * E**2)
        df = 4.0 + (r + 2.0) / (r * rho - 1.0)
        return float(df), float(df / (E * (df - 2.0)))

    # Tests

    def covariance(self, method: Method) -> Array:
        """(p, p) covariance of the fixed effects that goes with ``method``."""
        return self.adjusted_phi if method == "kenward-roger" else self.solution.phi

    def df(self, contrasts: Array, method: Method) -> Array:
        """(r,) df of the t tests of single contrasts; infinite for ``normal``."""
        if method == "normal":
            return np.full(len(contrasts), np.inf)
        if method == "satterthwaite":
            return self.satterthwaite(contrasts)
        return np.array([self.kenward_roger(row[None])[0] for row in contrasts])

    def test(
        self, contrasts: Array, method: Method = "satterthwaite", as_given: bool = False
    ) -> dict[str, Any]:
        """Joint test that ``contrasts`` (r, p) of the fixed effects are 0.

        ``normal`` gives chi-squared / r with infinite denominator df, ``kenward-roger`` the scaled
        F, ``satterthwaite`` lmerTest's F with the rows of ``contrasts`` brought to unit standard
        error first: its denominator df would otherwise depend on their units. ``as_given`` leaves
        rows of one unit as they are. Raises ModelError if the contrasts depend on each other.
        """
        contrasts = np.atleast_2d(np.asarray(contrasts, dtype=float))
        if contrasts.shape[1] != len(self.solution.beta) or not np.isfinite(contrasts).all():
            p = len(self.solution.beta)
            raise ModelError("test", f"contrasts need {p} finite weights, one a fixed effect")
        estimate = contrasts @ self.solution.beta
        phi = self.covariance(method)
        covariance = contrasts @ phi @ contrasts.T
        scale = np.sqrt(np.diag(covariance))
        if not (scale > 0).all():
            raise ModelError("test", "a contrast is 0 in every coefficient")
        if as_given:
            scale = np.full(len(contrasts), scale.max())
        covariance, estimate = covariance / np.outer(scale, scale), estimate / scale
        values, vectors = np.linalg.eigh(covariance)
        r = len(contrasts)
        if values[0] < 1e-10:
            raise ModelError("test", "the contrasts depend on each other", "leave one out")
        t2 = (vectors.T @ estimate) ** 2 / values
        F, df = float(t2.mean()), np.inf
        if method == "satterthwaite":
            single = self.satterthwaite(vectors.T @ (contrasts / scale[:, None]))
            df = _joint(single)
        elif method == "kenward-roger":
            df, factor = self.kenward_roger(contrasts)
            F *= factor
        p_value = float(chdtrc(r, r * F)) if np.isinf(df) else float(fdtrc(r, df, F))
        return {"statistic": F, "df_num": r, "df_den": float(df), "p_value": p_value}


def _joint(single: Array) -> float:
    """Denominator df of a joint F from those of independent t tests, as lmerTest combines them."""
    if np.ptp(single) < 1e-8:
        return float(single.mean())
    if (single <= 2).any():
        return 2.0
    expectation = float(np.sum(single / (single - 2.0)))
    r = len(single)
    return 2.0 * expectation / (expectation - r)
