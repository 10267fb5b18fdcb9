"""The grouping factors of a model as levels: letters, symbols, order, and what to call them.

Nested factors give y_ijk, i the row, j the finest factor; crossed ones y_i(jk), as Browne,
Goldstein and Rasbash (2001, Stat. Modelling 1, 103-124) and Raudenbush write them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from mixedflow.artifacts.fit_report import FitReport, GroupReport, ModelReport, ShareAt
from mixedflow.language import terms
from mixedflow.prose.markup import conjoined

_LETTERS = "jklmnopqrst"
_SYMBOLS = "uvwrsgh"


@dataclass(frozen=True)
class Level:
    """A grouping factor.

    ``subscript`` has its own letter and those of the factors it lies within, ``symbol`` that of its
    effects; ``constant`` are the covariates with one value in each of its clusters.
    """

    group: GroupReport
    letter: str
    subscript: str
    symbol: str
    constant: frozenset[str]

    @property
    def name(self) -> str:
        return self.group.name


@dataclass(frozen=True)
class Levels:
    """The levels of a model in the order of its formula, and ``row``, the subscript of its rows."""

    ordered: tuple[Level, ...]
    row: str

    @classmethod
    def of(cls, fit: FitReport) -> Levels:
        fine_first = by_nesting(fit.groups)
        letters = {
            group.name: _LETTERS[k % len(_LETTERS)] + "′" * (k // len(_LETTERS))
            for k, group in enumerate(fine_first)
        }
        symbols = {
            group.name: _SYMBOLS[k % len(_SYMBOLS)] + "′" * (k // len(_SYMBOLS))
            for k, group in enumerate(fine_first)
        }
        alone = {name for name, varies in (fit.varies_within or {}).items() if not varies}
        levels = []
        for group in fit.groups:
            above = [other for other in fine_first if other.name in group.within]
            levels.append(
                Level(
                    group,
                    letters[group.name],
                    _subscript([group, *above], letters),
                    symbols[group.name],
                    frozenset(alone if len(fit.groups) == 1 else group.constant),
                )
            )
        return cls(tuple(levels), "i" + _subscript(fine_first, letters))

    @property
    def constant(self) -> frozenset[str]:
        """Covariates that are the same in all rows of a cluster of some factor."""
        return frozenset().union(*(level.constant for level in self.ordered))

    def subscript_of(self, covariate: str) -> str:
        """The rows' subscript, or that of the coarsest level in which a covariate is constant."""
        where = [level for level in self.ordered if covariate in level.constant]
        for level in where:
            if not any(other.name in level.group.within for other in where):
                return level.subscript
        return self.row

    def together(self, names: Sequence[str]) -> str:
        """One subscript for the clusters of several levels, by the names of their factors."""
        chosen = [level.group for level in self.ordered if level.name in names]
        every = {name for group in chosen for name in (group.name, *group.within)}
        found = [group for group in by_nesting([level.group for level in self.ordered])
                 if group.name in every]  # fmt: skip
        return _subscript(found, {level.name: level.letter for level in self.ordered})


def by_nesting(groups: Sequence[GroupReport]) -> list[GroupReport]:
    """Fine before coarse: a factor before those in whose clusters its own lie."""
    return sorted(groups, key=lambda group: -len(group.within))


def _subscript(fine_first: Sequence[GroupReport], letters: dict[str, str]) -> str:
    """Letters in a row while a factor lies within all later ones; in brackets what is crossed."""
    rest, found = list(fine_first), ""
    while rest and all(other.name in rest[0].within for other in rest[1:]):
        found += letters[rest.pop(0).name]
    if not rest:
        return found
    parts: list[list[GroupReport]] = []
    for group in rest:
        akin = [part for part in parts if any(group.name in one.within for one in part)]
        parts = [part for part in parts if part not in akin]
        parts.append([*(one for part in akin for one in part), group])
    order = {group.name: k for k, group in enumerate(rest)}
    parts.sort(key=lambda part: order[part[0].name])
    comma = "," if any(len(part) > 1 for part in parts) else ""
    return f"{found}({comma.join(''.join(letters[one.name] for one in part) for part in parts)})"


class Called:
    """What sentences call the grouping factors of a fit and their clusters."""

    def __init__(self, fit: ModelReport) -> None:
        self.several = len(fit.groups) > 1
        self.groups = {group.name: group for group in fit.groups}
        parsed = terms.parsed(fit.formula)
        self.columns = {g.name: g.columns for g in parsed.groups} if parsed else {}

    def factor(self, name: str) -> Markup:
        """A factor by its own column: ``class`` of ``school:class``, if school is a factor too."""
        columns = self.columns.get(name, (name,))
        outer = ":".join(columns[:-1])
        own = columns[-1] if outer in self.groups and outer in self.groups[name].within else name
        return Markup("<code>{}</code>").format(own)

    def nearest(self, name: str) -> list[str]:
        """The factors that a factor lies within, without those that these lie within themselves."""
        within = self.groups[name].within
        above = {far for near in within for far in self.groups[near].within}
        return [near for near in within if near not in above]

    def below(self, name: str) -> list[str]:
        """The factors that lie within a factor."""
        return [group.name for group in self.groups.values() if name in group.within]

    def clusters(self, name: str) -> Markup:
        """``clusters``; of several factors, ``class clusters of one school``."""
        if not self.several:
            return Markup("clusters")
        found = Markup("{} clusters").format(self.factor(name))
        above = self.nearest(name)
        if not above:
            return found
        shown = Markup(" and one ").join(self.factor(one) for one in above)
        return Markup("{} of one {}").format(found, shown)

    def parts(self, vpc: ShareAt) -> Markup:
        """What of a share lies between the clusters of each of several factors."""
        told = [
            Markup("{}% between {}").format(round(100 * vpc.parts[name]), self.clusters(name))
            for name in self.groups
            if vpc.parts is not None
        ]
        return Markup(": {}").format(conjoined(told)) if told else Markup("")


def further(
    card: Mapping[str, Any], fits: Iterable[ModelReport]
) -> dict[str, tuple[GroupReport, Markup]]:
    """Grouping factors of a data set's models besides its cluster, and what to call them."""
    found: dict[str, tuple[GroupReport, Markup]] = {}
    for fit in fits:
        called = Called(fit)
        for group in fit.groups:
            if fit.dataset == card.get("dataset") and group.name != card["cluster"]:
                found.setdefault(group.name, (group, called.clusters(group.name)))
    return found


def described(fit: ModelReport) -> Markup:
    """What the subscripts stand for: ``row i of cluster j (school)``."""
    levels, called = Levels.of(fit), Called(fit)
    if not called.several:
        rows = "rows i and i′" if fit.residual else "row i"
        return Markup("{} of cluster j ({})").format(rows, fit.groups[0].name)
    fine = by_nesting(fit.groups)
    letters = {level.name: level.letter for level in levels.ordered}
    told = [Markup("{} {}").format(called.factor(g.name), letters[g.name]) for g in fine]
    if levels.row == "i" + "".join(letters[group.name] for group in fine):
        return Markup("row i of {}").format(Markup(" in ").join(told))
    *first, last = told
    return Markup("row i of {} and {}").format(Markup(", ").join(first), last)
