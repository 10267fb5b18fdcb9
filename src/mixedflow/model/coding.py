"""How the columns of a fixed part are made of levels and covariates, without any data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mixedflow.language.formula import Term
from mixedflow.model.atoms import category
from mixedflow.model.design import coded, indicators


@dataclass(frozen=True)
class Column:
    """A column of a term: the product of its covariates and of indicators of ``levels``.

    ``levels`` are numbers, by factor; a factor may be missing from it: what the other terms leave
    of a term can be the main effect of another factor.
    """

    term: Term
    levels: Mapping[str, int]


def columns(terms: tuple[Term, ...], levels: Mapping[str, Sequence[str]]) -> tuple[Column, ...]:
    """The columns of the fixed part, in order; ``levels`` are those of its factors.

    Of terms and levels alone, as coding does not depend on the data.
    """
    import pandas as pd

    atoms = {atom for term in terms for atom in term}
    if not atoms & levels.keys():
        return tuple(Column(term, {}) for term in terms)
    row = {
        atom: category(pd.Series(levels[atom][:1]), levels[atom], atom, "terms")
        if atom in levels
        else pd.Series([1.0])
        for atom in atoms
    }
    built, used = coded(terms, row, 1, "terms")
    known = {frozenset(term): term for term in terms}
    names = list(map(str, built.columns))
    found = []
    for term, part in built.model_spec.term_slices.items():
        of = {atom for atom, _ in indicators(str(term), used)} if str(term) != "1" else set()
        for name in names[part]:
            pairs = indicators(name, used)
            own = {atom: level for atom, level in pairs if level is not None}
            found.append(Column(known[frozenset(of)], own))
    return tuple(found)
