"""The verdict on a fit: is it the optimum, does it lie on the boundary, and what to do next."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from mixedflow.errors import quote
from mixedflow.language.names import INTERCEPT
from mixedflow.model import factor_notes
from mixedflow.model.audit import audit, audit_problems
from mixedflow.model.fitted import Fitted, Group
from mixedflow.model.many_factors import ManyFactors
from mixedflow.model.objective import Effects
from mixedflow.model.searches import of_searches, search_problems
from mixedflow.model.solution import SINGULAR

_FEW_CLUSTERS = 10  # a variance parameter
_FLAT = 1e-4  # curvature, relative, below which the likelihood hardly tells parameters apart


class Verdict:
    """What the searches and the audit say of a fit; each part is computed on first use."""

    def __init__(self, fitted: Fitted) -> None:
        self.fitted = fitted

    @cached_property
    def singular(self) -> bool:
        """G is on its boundary: a combination of the random effects does not vary."""
        return self.fitted.solution.singular

    @cached_property
    def vanished(self) -> tuple[str, str] | None:
        """What of the residuals' correlation is on its boundary, and what to do; None as a rule."""
        residuals = self.fitted.residuals
        if residuals is None:
            return None
        return residuals.vanished(self.fitted.solution.covariance.residual)

    @property
    def boundary(self) -> bool:
        """Some variance parameter is on its boundary, and they have no standard errors."""
        return self.singular or self.vanished is not None

    @cached_property
    def searches(self) -> dict[str, Any]:
        """What the searches themselves say: gradient, curvature, starts."""
        solution = self.fitted.solution
        found = of_searches(solution, self.fitted.searches)
        if isinstance(solution.objective, ManyFactors):
            slope = solution.objective.boundary_slope(solution.parameters, solution.at)
            if slope is not None:
                # Its curvature is of the rows' number at least: so is the square of what counts.
                rows = solution.objective.n_obs
                found["boundary_slope"] = slope / float(np.sqrt(rows))
        return found

    @cached_property
    def found(self) -> bool:
        """The searches' own evidence accepts the optimum; the audit needs rows, this does not."""
        return not search_problems(self.searches)

    @cached_property
    def evidence(self) -> dict[str, Any]:
        """How the optimum is known: the searches' evidence, and the audit by another route."""
        audited = audit(self.fitted)
        diagnosis, next_step = self._diagnosis(audit_problems(audited))
        return {
            **self.searches,
            "mixedlm": audited,
            "diagnosis": diagnosis,
            "next_step": next_step,
        }

    @cached_property
    def problems(self) -> tuple[str, ...]:
        """Why the fit is not accepted as the optimum; empty if it is."""
        return (
            *search_problems(self.searches),
            *audit_problems(self.evidence["mixedlm"]),
        )

    @property
    def converged(self) -> bool:
        return not self.problems

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        notes = [f"not accepted as the optimum: {text}" for text in self.problems]
        if self.singular:
            notes.append(
                f"singular fit: {self._flat_directions()}; {self._simpler()}; standard errors of "
                "the variances do not exist here"
            )
        if self.vanished is not None:
            what, next_step = self.vanished
            notes.append(f"{what}: {next_step}; standard errors of the variances do not exist here")
        return (*notes, *factor_notes.of_fit(self.fitted))

    def _diagnosis(self, audit_problems: list[str]) -> tuple[str, str]:
        """What the evidence says in words, and what to do next (empty: nothing)."""
        searched, few = search_problems(self.searches), self._few()
        if searched and self.searches["starts_agreeing"] < 2:
            return (
                f"The likelihood has more than one hill, or none that a search could climb{few}.",
                "fit a simpler random part, and see whether its starts agree",
            )
        if searched:
            return (
                f"The search ended before the optimum: {'; '.join(searched)}{few}.",
                "leave out a random slope, or look for a cluster or row that is far from all "
                "others",
            )
        if audit_problems:
            return (
                "The search is content, but an independent implementation computes another "
                "likelihood.",
                "do not use this fit; please report it with its data",
            )
        if self.singular:
            flat = self._flat_directions()
            return f"The optimum lies on the boundary: {flat}{few}.", self._simpler()
        if self.vanished is not None:
            what, next_step = self.vanished
            return f"The optimum lies on the boundary: {what}{few}.", next_step
        if self.searches["smallest_curvature"] < _FLAT * self.searches["largest_curvature"]:
            return (
                "The optimum is clear, but flat in one direction: variance parameters are known "
                f"only in combination{few}.",
                "use profile intervals, and expect wide ones",
            )
        return (
            "The optimum lies in the interior, and the likelihood is curved in every direction.",
            "",
        )

    def _few(self) -> str:
        """Which factor has few clusters for its variance parameters; empty if none has."""
        if len(self.fitted.groups) == 1:
            J = self.fitted.solution.objective.n_clusters
            k = self.fitted.solution.objective.n_parameters
            few = _FEW_CLUSTERS * k > J
            return f"; {J} clusters are few for {k} variance parameters" if few else ""
        counts = [
            (len(group.labels), sum(size * (size + 1) // 2 for size in group.blocks), group.name)
            for group in self.fitted.groups
        ]
        J, k, name = min(counts, key=lambda count: count[0] / count[1])
        if _FEW_CLUSTERS * k <= J:
            return ""
        what = f"{k} variance parameters" if k > 1 else "a variance"
        return f"; {J} clusters of {quote(name)} are few for {what}"

    def _flat(self) -> list[tuple[Group, Effects]]:
        """The grouping factors whose effects do not vary in some direction."""
        parts = zip(self.fitted.groups, self.fitted.solution.effects, strict=True)
        return [part for part in parts if _singular_values(part[1])[-1] < SINGULAR]

    def _flat_directions(self) -> str:
        """What does not vary, in words, of each factor where something does not."""
        several = len(self.fitted.groups) > 1
        return ", and ".join(
            _flat_direction(group, effects, f" between clusters of {quote(group.name)}")
            if several
            else _flat_direction(group, effects, "")
            for group, effects in self._flat()
        )

    def _simpler(self) -> str:
        """The nearest model that these data can bear, for a fit on the boundary."""
        flat = self._flat()
        gone = [
            group for group, effects in flat if not (_singular_values(effects) >= SINGULAR).any()
        ]
        if len(gone) == len(self.fitted.groups) and all(len(g.random_terms) == 1 for g in gone):
            if self.fitted.residuals is not None:
                return "the residual structure says all: leave the random effects out"
            return "the clusters differ no more than their rows do: a linear model says the same"
        if len(self.fitted.groups) == 1:
            return _without_direction(*flat[0])
        # A factor that is left out changes what the others take up: one at a time.
        if gone:
            return f"leave out {_bar(gone[0])}"
        group, effects = flat[0]
        return f"{_without_direction(group, effects)}, for {quote(group.name)}"


def _flat_direction(group: Group, effects: Effects, where: str) -> str:
    """Single random effects that do not vary, or a combination of them."""
    flat = int((_singular_values(effects) < SINGULAR).sum())
    zero = _without_variance(group, effects)
    if len(zero) == flat:
        names = ", ".join(quote(term) for term in zero)
        return f"the variance of {names}{where} is estimated as 0"
    if flat > 1:
        q = len(group.random_terms)
        some = f"{q - flat} direction{'s' * (q - flat > 1)} only"
        return f"the {q} random effects vary{where} in {some}"
    _, vectors = np.linalg.eigh(effects.L @ effects.L.T)
    # u = T^-1 u_s: a direction w without variance is T' w_s in the data's units.
    direction = effects.T.T @ vectors[:, 0]
    direction = direction / direction[np.abs(direction).argmax()]
    combination = " ".join(
        f"{weight:+.3g} {term}" for weight, term in zip(direction, group.random_terms, strict=True)
    )
    return f"the random effects do not vary{where} in the direction {combination}"


def _without_direction(group: Group, effects: Effects) -> str:
    """What to leave out among a factor's effects."""
    zero = _without_variance(group, effects)
    if zero:
        names = " and ".join(quote(term) for term in zero)
        return f"leave out {names} among the random effects"
    if max(group.blocks) == 1:
        return "leave out a slope"
    return "leave out a slope, or make the effects uncorrelated with ||"


def _bar(group: Group) -> str:
    """A factor as a formula has it."""
    if group.random_terms == (INTERCEPT,):
        return f"(1 | {group.name})"
    return f"the random effects of {quote(group.name)}"


def _singular_values(effects: Effects) -> np.ndarray:
    return np.linalg.svd(effects.L, compute_uv=False)


def _without_variance(group: Group, effects: Effects) -> list[str]:
    """The random effects whose own variance is 0, on the scale of their columns."""
    sizes = np.sqrt((effects.T**2).sum(axis=0))
    spread = np.linalg.norm(effects.T_inverse @ effects.L, axis=1) * sizes
    return [term for term, sd in zip(group.random_terms, spread, strict=True) if sd < SINGULAR]
