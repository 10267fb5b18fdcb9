"""The covariates behind a fitted model's terms, and how its factors are coded; no words yet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from mixedflow.artifacts.fit_report import ModelReport
from mixedflow.language import terms
from mixedflow.language.codings import COMPARES
from mixedflow.language.names import RESIDUAL
from mixedflow.language.terms import Factor
from mixedflow.prose.covariates import Covariate, Variables
from mixedflow.prose.levels import Called, Levels

Row = Mapping[str, Any]


class CodedModel:
    """A fitted model whose terms are read as covariates.

    It is long because terms go together in many ways, each of a few lines.

    Attributes
    ----------
    covariates, random
        Of each fixed term, of each random term: its covariates, more than one in an interaction.
    full, random_full
        Terms and levels that stand for themselves, because the reference has a term too.
    alone
        One covariate for each name, whatever its levels.
    without_reference
        Names of covariates all of whose terms stand for themselves.
    """

    def __init__(
        self,
        fit: ModelReport,
        fixed: Sequence[Row],
        components: Sequence[Row],
        card: Mapping[str, Any],
    ) -> None:
        self.fit, self.fixed, self.components = fit, fixed, components
        self.data = Variables(card)
        self.estimates = {str(row["term"]): row["estimate"] for row in fixed}
        parsed = terms.parsed(fit.formula)
        expression = self.expression = parsed.atoms if parsed else {}
        self.bases = parsed.bases if parsed else {}
        self.codings = parsed.codings if parsed else {}
        self.grouped, self.called = Levels.of(fit), Called(fit)
        self.varies = fit.varies_within
        if self.called.several:
            constant = self.grouped.constant
            self.varies = {name: name not in constant for name in fit.varies_within}
        names = [str(row["term"]) for row in fixed]
        self.factors = terms.split(names, parsed)
        random_factors = terms.split(fit.random_terms, parsed)

        def covariates(split: Mapping[str, tuple[Factor, ...]]) -> dict[str, list[Covariate]]:
            return {
                term: [
                    self.data.covariate(
                        factor, expression.get(factor.name, factor.name), self._reference(factor)
                    )
                    for factor in factors
                ]
                for term, factors in split.items()
            }

        self.covariates = covariates(self.factors)
        self.random = covariates(random_factors)
        self.full, self.random_full = self._full(self.factors), self._full(random_factors)
        self.alone = {c.name: c for found in self.covariates.values() for c in found}
        self.without_reference = set(self.alone) - {
            c.name
            for term, found in self.covariates.items()
            for c in found
            if (term, c.factor) not in self.full
        }

    def component(self, scale: str, *names: str, of: str | None = None) -> Row | None:
        """A row of the variance components, by its scale (var, sd, cov, corr) and its terms.

        ``of`` names the grouping factor, which tells apart what several have.
        """
        for row in self.components:
            if of is not None and self.called.several and row["group"] != of:
                continue
            if row["scale"] == scale and {row["term1"], row["term2"]} - {"", None} == set(names):
                return row
        return None

    @property
    def residual_sd(self) -> Row | None:
        """The row of the residuals' SD, the first of several."""
        rows = (row for row in self.components if row["group"] == RESIDUAL)
        return next((row for row in rows if row["scale"] == "sd"), None)

    def between(self, covariate: str) -> Markup:
        """The clusters that a covariate of a level tells apart."""
        subscript = self.grouped.subscript_of(covariate)
        for level in self.grouped.ordered:
            if level.subscript == subscript:
                return self.called.clusters(level.name)
        return Markup("clusters")

    def basis(self, term: str) -> str | None:
        """The polynomial or spline of which a term is one column, which says little alone."""
        return next((self.bases[f.name] for f in self.factors[term] if f.name in self.bases), None)

    def compares(self, term: str) -> tuple[str, str] | None:
        """A factor of a term without a reference, and what its coding compares."""
        for factor in self.factors[term]:
            coding = self.codings.get(factor.name)
            if coding is not None and coding.centred and factor.level is not None:
                return factor.name, COMPARES[coding.kind]
        return None

    # Factors

    def levels(self, name: str) -> dict[str, str]:
        """The levels of a factor that occur, with their labels."""
        intervals = self.data.intervals(self.expression.get(name, ""))
        if intervals:
            return dict(zip(intervals, intervals, strict=True))
        call = re.fullmatch(r"(?:C|factor)\((.*)\)", name, re.DOTALL)
        inside = self.expression.get(name, call[1]) if call else name
        found = self.data.levels(inside.strip().strip("`") if call else name)
        reference = self.codings[name].reference if name in self.codings else None
        if reference in found:
            found = {reference: found[reference], **found}
        return found

    def _reference(self, factor: Factor) -> str | None:
        coding = self.codings.get(factor.name)
        if factor.level is None or (coding is not None and coding.centred):
            return None
        return next(iter(self.levels(factor.name)), None)

    def _full(self, split: Mapping[str, tuple[Factor, ...]]) -> set[tuple[str, Factor]]:
        seen: dict[tuple[tuple[str, ...], str], set[str | None]] = {}
        for factors in split.values():
            names = tuple(sorted(f.name for f in factors))
            for factor in factors:
                seen.setdefault((names, factor.name), set()).add(factor.level)
        return {
            (term, factor)
            for term, factors in split.items()
            for factor in factors
            if factor.level is not None
            and self._reference(factor) in seen[tuple(sorted(f.name for f in factors)), factor.name]
        }

    # Covariates that go together

    def partners(self, term: str) -> list[Covariate]:
        """The other covariates of the interactions that hold all of this term's."""
        own = {factor.name for factor in self.factors[term]}
        found: dict[str, Covariate] = {}
        for other, factors in self.factors.items():
            names = {factor.name for factor in factors}
            if own < names:
                for c in self.covariates[other]:
                    # A factor whose levels all have a slope of their own leaves none at a reference
                    if c.name not in own and (other, c.factor) not in self.full:
                        found.setdefault(c.name, c)
        return list(found.values())

    def ordered(self, found: Iterable[Covariate]) -> list[Covariate]:
        """An interaction's covariates: the slope whose dependence on the others is told first."""
        return sorted(found, key=lambda c: (not self.varies.get(c.name, True), not c.a_slope))

    def sharing(self, c: Covariate) -> list[Covariate]:
        """Other covariates with a coefficient of their own on the same column of the data."""
        root = self.data.root(c) or (c.base, 1.0, 0.0)
        found = []
        for term, parts in self.covariates.items():
            if len(parts) != 1 or parts[0].name == c.name or parts[0].kind == "level":
                continue
            other = self.data.root(parts[0])
            if (other or (parts[0].base, 0, 0))[0] == root[0] and self.factors[term]:
                found.append(parts[0])
        if c.kind in ("level", "indicator", "within", "cluster mean", "pair", "other"):
            return [o for o in found if o.kind == c.kind == "indicator"]
        return found

    def has_cluster_mean(self, c: Covariate) -> bool:
        """Whether the model holds the cluster's mean of this covariate too."""
        return c.kind in ("number", "centred") and any(
            o.kind == "cluster mean" and o.base in (c.name, c.base) for o in self.alone.values()
        )

    def blended(self, c: Covariate) -> bool:
        """Whether one coefficient serves for differences within clusters and between them.

        A number of level 2 in the model may be the cluster's mean, stored and not derived.
        """
        centred = c.kind in ("within", "cluster mean") or any(
            self.varies.get(o.name) is False and o.kind not in ("indicator", "pair", "level")
            for o in self.alone.values()
        )
        return bool(self.varies.get(c.name)) and not centred

    # Where covariates are 0

    def zeros(self, chosen: Iterable[Covariate]) -> list[Covariate]:
        """Covariates whose 0 must be named: of those on one column, a spline adds nothing."""
        found: dict[str, Covariate] = {}
        roots: set[str] = set()
        for c in sorted(chosen, key=lambda c: c.kind in ("spline", "power", "log")):
            root = self.data.root(c)
            if c.kind in ("spline", "power") and root and root[0] in roots:
                continue
            roots |= {root[0]} if root else set()
            found.setdefault(c.name, c)
        order = list(self.alone)
        return sorted(found.values(), key=lambda c: order.index(c.name) if c.name in order else -1)

    def contradiction(self, chosen: Sequence[Covariate]) -> bool:
        """Two covariates on one column that cannot both be 0, such as x and (x - 5) ** 2."""
        points: dict[str, float] = {}
        found = [(c, self.data.root(c)) for c in chosen]
        for c, root in found:
            if root and c.kind in ("number", "power", "log"):
                at = 1.0 / root[1] if c.kind == "log" else root[2]
                if abs(points.setdefault(root[0], at) - at) > 1e-9 * max(1.0, abs(at)):
                    return True
        return any(
            root is not None
            and c.kind == "spline"
            and root[0] in points
            and root[1] * (points[root[0]] - root[2]) > 1e-9
            for c, root in found
        )
