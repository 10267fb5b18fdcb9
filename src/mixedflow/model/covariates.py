"""The random part's columns at given values of the covariates: z(x), the others held.

A covariate may enter several columns (age and age^2, a spline, an interaction with a factor). What
is set is the covariate; every column is evaluated there. Numbers that are not set are at their
mean, factors at their reference, and what is derived from others row by row follows these.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mixedflow.arrays import Array
from mixedflow.errors import RankingError, nearest, quote
from mixedflow.language import expressions, terms
from mixedflow.language.evaluation import Stored, evaluate, intervals
from mixedflow.language.formula import GroupTerm, Parsed, parse
from mixedflow.model.atoms import category
from mixedflow.model.design import random_matrix

if TYPE_CHECKING:
    import pandas as pd

Value = float | str  # of a covariate: a number, or the level of a factor


@dataclass(frozen=True)
class Covariates:
    """What the columns of one grouping factor's random part are computed of.

    It is long because a place in the covariates is asked for in many ways, each of a few lines.
    ``formula`` is None for a fit from arrays, whose columns are their own covariates. ``means`` and
    ``quantiles`` (5%, 50%, 95%) are the numbers' over the rows of the fit, or the ends where 5% and
    95% are one; ``factors`` the levels of columns of text, ``levels`` those of each atom that is
    coded as categories, the reference first. ``derived`` are expressions that compute a column from
    its own row, in order, with ``summaries`` over rows as they were; ``bound`` are columns that
    depend on others in a way that is not known for other values. ``covariates_of`` makes it.
    """

    group: int
    terms: tuple[str, ...]
    means: dict[str, float]
    quantiles: dict[str, tuple[float, ...]]
    formula: str | None = None
    factors: dict[str, tuple[str, ...]] = field(default_factory=dict)
    levels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    derived: dict[str, str] = field(default_factory=dict)
    summaries: dict[str, float | str | Stored] = field(default_factory=dict)
    bound: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        values = json.loads(text)
        for name in ("quantiles", "factors", "levels", "bound"):
            values[name] = {key: tuple(part) for key, part in values[name].items()}
        stored = values["summaries"].items()  # those of a basis are several numbers
        values["summaries"] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored}
        return cls(**{**values, "terms": tuple(values["terms"])})

    # What depends on what

    @cached_property
    def parsed(self) -> Parsed | None:
        return None if self.formula is None else parse(self.formula)

    @cached_property
    def atoms(self) -> dict[str, str]:
        """The atoms of the random part, and the expressions that evaluate them."""
        if self.parsed is None:
            return {}
        return atoms_of(self.parsed, self.parsed.groups[self.group])

    @cached_property
    def used(self) -> frozenset[str]:
        """Columns of the data that the random part uses."""
        if self.parsed is None:
            return frozenset(self.terms)
        return frozenset[str]().union(*map(expressions.row_names, self.atoms.values()))

    @cached_property
    def settable(self) -> frozenset[str]:
        """Covariates that values can be given to: those used, and what they follow from."""
        return self.used.union(*map(self.above, self.used))

    @cached_property
    def _ancestors(self) -> dict[str, frozenset[str]]:
        return ancestors(self.derived)

    def above(self, name: str) -> frozenset[str]:
        """All that a column follows from, row by row."""
        return self._ancestors.get(name, frozenset())

    def beside(self, name: str, other: str) -> bool:
        """Whether ``other`` depends on what ``name`` is derived from, but not through it."""
        if other == name or name in self.above(other):
            return False
        return bool(self.above(name) & {other, *self.above(other)})

    def whole(self, name: str) -> str:
        """``name``, or the number that it and other columns of the random part derive from."""
        kin = [{w, *self.above(w)} for w in sorted(self.used) if self.beside(name, w)]
        shared = {a for each in kin for a in each & self.above(name)} & self.means.keys()
        return min(shared, key=lambda a: (len(self.above(a)), a), default=name)

    def covariate_of(self, term: str) -> str | None:
        """The number that moves a column; None for an intercept or a factor."""
        if self.parsed is None:
            return term
        for factor in terms.split([term], self.parsed)[term]:
            if factor.level is None and factor.name in self.atoms:
                names = expressions.row_names(self.atoms[factor.name])
                for name in sorted(names & self.means.keys()):
                    return self.whole(name)
        return None

    def factor_of(self, term: str) -> tuple[str, str, str] | None:
        """Of the effect of a factor's level: the column, its reference and the level."""
        for name, (reference, *others) in self.factors.items():
            for level in others:
                if term == f"{name}[{level}]":
                    return name, reference, level
        return None

    # Evaluation

    def columns(self, at: Mapping[str, Value], where: str = "rank") -> Array:
        """(q,) the columns where the covariates have the values ``at``.

        Raises
        ------
        RankingError
            A covariate without a random effect, a value that it cannot have, or one of several
            columns that depend on each other.
        """
        return self._matrix(_checked(self, at, where), 1)[0]

    def along(self, name: str, values: Array, at: Mapping[str, Value] | None = None) -> Array:
        """(m, q) the columns over ``values`` (m,) of a covariate, others at ``at`` or held."""
        others = {key: value for key, value in (at or {}).items() if key != name}
        return self._matrix({**others, name: np.asarray(values, dtype=float)}, len(values))

    def held(self, at: Mapping[str, Value]) -> dict[str, Value]:
        """What is not set and does not follow from what is: means, and levels of factors."""
        if self.parsed is None:
            return {}
        found: dict[str, Value] = {}
        for name in sorted(self.used - set(at) - self._following(set(at))):
            coded = [atom for atom in self.levels if name in self._names(atom)]
            if name in self.factors:
                found[name] = self.factors[name][0]
            elif coded and len(coded) == sum(name in self._names(atom) for atom in self.atoms):
                found[coded[0]] = self.levels[coded[0]][0]
            else:
                found[name] = self.mean(name)
        for atom in self.within(set(at)):
            for text, key in expressions.group_summaries(self.atoms[atom]).items():
                usual = self.summaries[key]
                assert isinstance(usual, float | str)  # and no basis, which knows no groups
                found[text] = usual
        return found

    def mean(self, name: str) -> float:
        """Of a covariate; 0 where it is that but for rounding."""
        low, _, high = self.quantiles[name]
        return 0.0 if abs(self.means[name]) <= 1e-9 * (high - low) else self.means[name]

    def within(self, given: set[str]) -> list[str]:
        """Atoms that follow from ``given`` by another number in each cluster: x - mean(x, by=g)."""
        moved = given | self._following(given)
        atoms = [atom for atom in self.atoms if expressions.within_groups(self.atoms[atom])]
        return [atom for atom in atoms if self._names(atom) & moved]

    def tied(self, name: str, other: str, given: Collection[str] = ()) -> bool:
        """Whether two columns change together in a way that is not known, but for ``given``."""
        one, two = {name, *self.above(name)}, {other, *self.above(other)} - set(given)
        pairs = [(a, b) for a in one for b in two]
        return any(a in self.bound.get(b, ()) or b in self.bound.get(a, ()) for a, b in pairs)

    def _names(self, atom: str) -> set[str]:
        return expressions.row_names(self.atoms[atom])

    def _following(self, given: set[str]) -> set[str]:
        """Derived columns that are evaluated, because others of their kin are set or used."""
        found = set()
        for name in self.derived.keys() - given:
            others = self.used - {name}
            kin = self.above(name)
            if kin & (given | others) or any(kin & self.above(w) for w in others):
                found.add(name)
        return found

    def _frame(self, given: Mapping[str, Any], m: int) -> pd.DataFrame:
        import pandas as pd

        def column(name: str, values: Any) -> pd.Series:
            if name not in self.factors:
                return pd.Series(np.broadcast_to(np.asarray(values, dtype=float), (m,)))
            texts = np.broadcast_to(np.asarray(values, dtype=object), (m,))
            return pd.Series(pd.Categorical(texts, categories=list(self.factors[name])))

        usual = {name: levels[0] for name, levels in self.factors.items()}
        frame = {k: column(k, v) for k, v in {**self.means, **usual, **given}.items()}
        follow = self._following(set(given))
        for name, text in self.derived.items():
            if name in follow:
                known = pd.DataFrame(frame, index=range(m))
                frame[name] = column(name, evaluate(text, known, summaries=self.summaries))
        return pd.DataFrame(frame, index=range(m))

    def _matrix(self, given: Mapping[str, Any], m: int) -> Array:
        if self.parsed is None:
            Z = np.tile([self.means[term] for term in self.terms], (m, 1))
            for name, values in given.items():
                Z[:, self.terms.index(name)] = values
            return Z
        import pandas as pd

        frame, moved = self._frame(given, m), {*given, *self._following(set(given))}
        found = {}
        for atom, text in self.atoms.items():
            levels = self.levels.get(atom)
            if levels is None:
                values = evaluate(text, frame, summaries=self.summaries)
                found[atom] = values.astype("float64")
                continue
            # A number that is coded has a reference, not a mean.
            usual = pd.Series([levels[0]] * m)
            moves = bool(self._names(atom) & moved)
            values = intervals(text, frame, summaries=self.summaries) if moves else usual
            found[atom] = category(values, levels, atom, "rank", self.parsed.codings.get(atom))
        return random_matrix(self.parsed.groups[self.group], found, m, "rank")


def _checked(known: Covariates, at: Mapping[str, Value], where: str) -> dict[str, Value]:
    """Values that can be set together; RankingError for others."""
    given = {}
    for name, value in at.items():
        if name not in known.settable:
            raise _unknown(known, name, known.settable, where)
        given[name] = _value(known, name, value, where)
    for name in given:
        _alone(known, name, given, where)
    for atom in known.within(set(given)):
        what = f"{quote(atom)} is another number in each cluster where {quote(next(iter(given)))}"
        raise RankingError(where, f"{what} is set", "compute it under derive and set its column")
    return given


def _value(known: Covariates, name: str, value: Value, where: str) -> Value:
    number = isinstance(value, int | float | np.number)
    if name in known.factors:
        level, levels = f"{value:g}" if number else str(value), known.factors[name]
        if level not in levels:
            what = f"{quote(name)} has no level {quote(level)}"
            raise RankingError(where, what, nearest(level, levels, "levels"))
        return level
    if not number or not np.isfinite(float(value)):
        raise RankingError(where, f"{quote(name)} is a number, not {quote(value)}")
    return float(value)


def _unknown(known: Covariates, name: str, names: frozenset[str], where: str) -> RankingError:
    if name in known.atoms:
        of = " and ".join(map(quote, sorted(expressions.row_names(known.atoms[name]))))
        return RankingError(where, f"{quote(name)} is computed of {of}", f"set {of}")
    for other, of_these in sorted(known.bound.items()):
        if name in of_these:
            what = f"{quote(other)} cannot be computed anew from {quote(name)}"
            return RankingError(where, what, f"set {quote(other)} itself")
    what = f"no random effect depends on {quote(name)}"
    return RankingError(where, what, nearest(name, names, "covariates with one"))


def _alone(known: Covariates, name: str, given: Mapping[str, Value], where: str) -> None:
    """Refuse to move one column without those that move with it."""
    for other in sorted(known.used - set(given)):
        if known.tied(name, other, given):
            what = f"{quote(other)} changes with {quote(name)}, in a way that is not known"
            hint = "set both, or write it as a function in the formula: I(...)"
            raise RankingError(where, what, hint)
        if known.beside(name, other) and not known.above(other) & set(given):
            root = known.whole(name)
            what = f"{quote(other)} is derived from {quote(root)} too, as {quote(name)} is"
            raise RankingError(where, what, f"set {quote(root)}")


def ancestors(derived: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """Of each derived column, all that its value in a row follows from; expressions in order."""
    found: dict[str, frozenset[str]] = {}
    for name, text in derived.items():
        direct = expressions.row_names(text)
        found[name] = frozenset(direct).union(*(found.get(d, frozenset()) for d in direct))
    return found


def atoms_of(parsed: Parsed, group: GroupTerm) -> dict[str, str]:
    """The atoms of a grouping factor's random part, and their expressions."""
    names = dict.fromkeys(a for b in group.blocks for term in b.terms for a in term)
    return {name: parsed.atoms[name] for name in names}
